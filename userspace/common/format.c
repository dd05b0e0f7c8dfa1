// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "format.h"

const char *format_time(uint64_t ns, char *text, size_t size)
{
	uint64_t value = ns;
	const char *unit = "ns";

	if (!ns) {
		unit = "";
	} else if (!(ns % NSEC_PER_SEC)) {
		value = ns / NSEC_PER_SEC;
		unit = "s";
	} else if (!(ns % NSEC_PER_MSEC)) {
		value = ns / NSEC_PER_MSEC;
		unit = "ms";
	} else if (!(ns % NSEC_PER_USEC)) {
		value = ns / NSEC_PER_USEC;
		unit = "us";
	}
	snprintf(text, size, "%" PRIu64 "%s", value, unit);
	return text;
}

const char *format_size(uint64_t bytes, char *text, size_t size)
{
	static const char units[] = "KMG";
	size_t i = 0;

	while (i < sizeof(units) - 1 && bytes && !(bytes % 1024)) {
		bytes /= 1024;
		i++;
	}
	snprintf(text, size, "%" PRIu64 "%.*s", bytes, i ? 1 : 0,
		 i ? &units[i - 1] : "");
	return text;
}
