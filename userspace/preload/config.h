/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PRELOAD_CONFIG_H
#define PRELOAD_CONFIG_H

#include <inttypes.h>

/* How "uffdmr run" tells the library that it preloads what to do. */
#define CONFIG_VARIABLE	"UFFDMR_RUN"

enum distribution { UNIFORM, NORMAL, EXPONENTIAL };

struct preload_config {
	uint64_t latency_ns;	/* from a fault to its page */
	uint64_t jitter_ns;	/* how far it is from that, in the shape of: */
	uint32_t distribution;
	uint32_t fail_ppm;	/* of a million pages asked for so many fail */
	uint64_t populate;	/* pages a second that nobody asks for; 0: none */
	uint64_t seed;
	/* Where statistics go: that descriptor of that process. */
	uint32_t pid, fd;
};

/* The variable's value, written by printf() and read by scanf(). */
#define CONFIG_FORMAT(u64, u32) \
	"latency=%" u64 " jitter=%" u64 " distribution=%" u32 " fail=%" u32 \
	" populate=%" u64 " seed=%" u64 " stats=%" u32 "/%" u32
#define CONFIG_FIELDS	8

#endif
