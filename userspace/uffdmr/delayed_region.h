/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DELAYED_REGION_H
#define DELAYED_REGION_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "uffdmr.h"

/*
 * A region of @length bytes, none of them present, that becomes @content, which has
 * to stay: each page comes @latency_ns after it was asked for, however many others are
 * on their way. NULL on failure.
 */
struct uffdmr *delayed_region(const void *content, size_t length,
			      uint64_t latency_ns, struct failure *failure);

#endif
