/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <stddef.h>
#include <stdint.h>

/* A growing list of measured values. All zero is an empty one. */
struct samples {
	uint64_t *values;
	size_t count;
	size_t room;
};

int samples_add(struct samples *samples, uint64_t value);
void samples_free(struct samples *samples);

/*
 * The smallest value that @percent per cent of the values do not exceed (the
 * nearest rank); 0 if there are no values. Sorts the list.
 */
uint64_t samples_percentile(struct samples *samples, unsigned int percent);

#endif
