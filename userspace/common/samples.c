// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>

#include "samples.h"

int samples_add(struct samples *samples, uint64_t value)
{
	if (samples->count == samples->room) {
		size_t room = samples->room ? samples->room * 2 : 256;
		uint64_t *values;

		values = realloc(samples->values, room * sizeof(*values));
		if (!values)
			return -ENOMEM;
		samples->values = values;
		samples->room = room;
	}
	samples->values[samples->count++] = value;
	return 0;
}

void samples_free(struct samples *samples)
{
	free(samples->values);
	*samples = (struct samples){ 0 };
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t samples_percentile(struct samples *samples, unsigned int percent)
{
	size_t rank;

	if (!samples->count)
		return 0;
	qsort(samples->values, samples->count, sizeof(*samples->values),
	      compare);
	rank = (samples->count * percent + 99) / 100;
	return samples->values[rank ? rank - 1 : 0];
}
