// SPDX-License-Identifier: GPL-2.0
/*
 * How fast the time stamp counter of this machine counts. An emulated CPU has the same
 * one; but a guest that finds out for itself is easily wrong by half on a machine
 * that has other things to do, and its clock with it.
 */
#include "init.h"

#include <stdint.h>
#include <time.h>
#include <x86intrin.h>

struct instant {
	uint64_t ticks;
	uint64_t ns;
};

/* Of several tries the one that was interrupted least. */
static struct instant now(void)
{
	uint64_t shortest = UINT64_MAX;
	struct instant best = {};

	for (int i = 0; i < 20; i++) {
		struct timespec ts;
		uint64_t before = __rdtsc(), took;

		clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
		took = __rdtsc() - before;
		if (took < shortest) {
			shortest = took;
			best.ticks = before + took / 2;
			best.ns = ts.tv_sec * 1000000000ULL + ts.tv_nsec;
		}
	}
	return best;
}

unsigned long tsc_khz(void)
{
	struct instant begin = now(), end;

	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	end = now();
	return (end.ticks - begin.ticks) * 1000000 / (end.ns - begin.ns);
}
