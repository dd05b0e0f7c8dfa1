/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Write bytes [@offset, @offset + @len) of the pseudo-random stream @seed. */
void pattern_fill(void *buf, size_t len, uint64_t seed, uint64_t offset);

/* Compare; false and the position of the first different byte if it is not. */
bool bytes_equal(const void *want, const void *have, size_t len,
		 size_t *first_difference);

#endif
