/* SPDX-License-Identifier: GPL-2.0 */
#ifndef STATISTICS_H
#define STATISTICS_H

/* What processes publish of their lazy memory, for people and as JSON. */

#include <jansson.h>

#include "published.h"

/* Add @slot up to @sum, which is all zero in the begin. */
void statistics_add(struct published *sum, const struct published *slot);

/* The same of the latencies alone. */
void statistics_add_latencies(struct uffdmr_stats *to,
			      const struct uffdmr_stats *from);

/* NULL: there is no memory. */
json_t *statistics_json(const struct published *slot);

/* "1.5 MiB", "250.000 us"; valid until it was called four times more. */
const char *text_bytes(uint64_t bytes);
const char *text_time(uint64_t ns);

#endif
