// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "pattern.h"

/* One bijective mixing step: neighbours in the stream share no visible bits. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9fb21c651e98df25ULL;
	x ^= x >> 29;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	return x;
}

static uint64_t word(uint64_t seed, uint64_t index)
{
	return mix(mix(seed + 1) + index);
}

void pattern_fill(void *buf, size_t len, uint64_t seed, uint64_t offset)
{
	unsigned char *out = buf;

	while (len) {
		uint64_t value = word(seed, offset / sizeof(value));
		size_t skip = offset % sizeof(value);
		size_t n = sizeof(value) - skip;

		if (n > len)
			n = len;
		memcpy(out, (unsigned char *)&value + skip, n);
		out += n;
		offset += n;
		len -= n;
	}
}

bool bytes_equal(const void *want, const void *have, size_t len,
		 size_t *first_difference)
{
	const unsigned char *a = want, *b = have;
	size_t i;

	if (!memcmp(a, b, len))
		return true;
	for (i = 0; i < len - 1 && a[i] == b[i]; i++)
		;
	*first_difference = i;
	return false;
}
