/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PARSE_H
#define PARSE_H

#include <stdint.h>

/* All return 0, or -EINVAL for text that is not a number in the range. */

/* A whole number from @min to @max, decimal. */
int parse_number(const char *text, uint64_t min, uint64_t max,
		 uint64_t *value);

/* A whole number with a unit, "250us", "10ms", "2s", or a plain "0". */
int parse_time(const char *text, uint64_t max_ns, uint64_t *ns);

/* Bytes, in powers of 1024: "4096", "64K", "256M", "1G". */
int parse_size(const char *text, uint64_t max, uint64_t *bytes);

#endif
