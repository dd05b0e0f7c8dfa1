// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "parse.h"
#include "util.h"

/* strtoull() without what it lets pass: spaces, signs, an empty string. */
static int digits(const char *text, uint64_t *value, const char **rest)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	*rest = end;
	return 0;
}

int parse_number(const char *text, uint64_t min, uint64_t max,
		 uint64_t *value)
{
	const char *rest;

	if (digits(text, value, &rest) || *rest)
		return -EINVAL;
	return *value < min || *value > max ? -EINVAL : 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* A number with one of @n units behind it. Only 0 needs none. */
static int with_unit(const char *text, const struct unit *units, size_t n,
		     uint64_t max, uint64_t *result)
{
	const char *unit;
	uint64_t value;
	size_t i;

	if (digits(text, &value, &unit))
		return -EINVAL;
	if (!value && !*unit) {
		*result = 0;
		return 0;
	}
	for (i = 0; i < n; i++) {
		if (strcmp(unit, units[i].name))
			continue;
		if (value > max / units[i].factor)
			return -EINVAL;
		*result = value * units[i].factor;
		return 0;
	}
	return -EINVAL;
}

int parse_time(const char *text, uint64_t max_ns, uint64_t *ns)
{
	static const struct unit units[] = {
		{ "ns", 1 },
		{ "us", NSEC_PER_USEC },
		{ "ms", NSEC_PER_MSEC },
		{ "s", NSEC_PER_SEC },
	};

	return with_unit(text, units, ARRAY_SIZE(units), max_ns, ns);
}

int parse_size(const char *text, uint64_t max, uint64_t *bytes)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "K", 1ULL << 10 },
		{ "M", 1ULL << 20 },
		{ "G", 1ULL << 30 },
	};

	return with_unit(text, units, ARRAY_SIZE(units), max, bytes);
}
