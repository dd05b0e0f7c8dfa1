/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
#ifndef UFFDMR_PUBLISHED_H
#define UFFDMR_PUBLISHED_H

/*
 * The statistics of a process, for whoever may look at its files: "uffdmr stat"
 * finds them in /proc/PID/fd by their name. Written by one process, one slot each
 * for what has statistics of its own, and never locked: each number is right, two
 * of them may be of different moments.
 */

#include <stdbool.h>
#include <stdint.h>

#include "uffdmr.h"

#define PUBLISHED_NAME	"uffdmr-stats"
#define PUBLISHED_MAGIC	0x31746174732d6d75ULL
/* Of a file for many processes. */
#define PUBLISHED_SLOTS	64

struct published {
	uint32_t pid;		/* 0: nobody's */
	uint32_t regions;	/* it is about so many */
	uint64_t addr;		/* 0: they are in more than one place */
	uint64_t registrations;	/* with a device, of those that a program asked for */
	uint64_t page_size;
	uint64_t unmanaged;	/* bytes registered that stay as they are */
	uint64_t dropped;	/* of those in @stats: unmapped when they were missing */
	char program[16];
	struct uffdmr_stats stats;
};

struct published_file {
	uint64_t magic;
	uint32_t slot_size;
	uint32_t slots;
	struct published slot[];
};

static inline size_t published_size(uint32_t slots)
{
	return sizeof(struct published_file) +
	       slots * sizeof(struct published);
}

/* NULL and errno, or the file and its descriptor. */
struct published_file *published_create(uint32_t slots, int *fd);
void published_end(struct published_file *file, int fd);

/* If it is free, it is this process's from now on. */
bool published_take(struct published *slot);

#endif
