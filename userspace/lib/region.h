/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
#ifndef UFFDMR_REGION_H
#define UFFDMR_REGION_H

/*
 * A region, from inside.
 *
 * A page:
 *
 *	ABSENT -> QUEUED	note_fault(): userfaultfd has a message for it
 *	ABSENT -> ASKED		take_background()
 *	QUEUED -> ASKED		take_demand(): it is part of an extent
 *	ASKED -> PRESENT	settle(): the kernel has put it in place
 *	ASKED -> POISONED	settle(), after the source failed
 *	PRESENT -> QUEUED	note_fault(): somebody has thrown it away
 *	POISONED -> QUEUED	the same
 *	PRESENT -> ASKED	pages_discard(), which throws it away
 *	POISONED -> ASKED	the same
 *	ASKED -> ABSENT		the same, when that is done; QUEUED if somebody
 *				has begun to wait for it
 *	ASKED -> ABSENT		forget(): the source failed, and the region ends
 *	ASKED -> QUEUED		hand_back(): it failed, and others have their turn;
 *	ASKED -> ABSENT		the same, if nobody waits for it
 *
 * An extent is free, or with the source (fetch() until uffdmr_supply() or
 * uffdmr_fail()), or waits to be asked for again (@delayed).
 *
 * The region's thread reads messages and asks the source, nobody else does. Who
 * supplies an extent puts its pages in place in its own thread: until that is
 * done the extent and its pages, which are ASKED, are its own, so that no lock is
 * held meanwhile.
 */

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "published.h"
#include "uffdmr.h"

#define NS_PER_MS	1000000ULL
#define NS_PER_S	1000000000ULL

enum page_state { ABSENT, QUEUED, ASKED, PRESENT, POISONED };

struct extent {
	struct uffdmr_extent asked;	/* first: what the source sees of it */
	struct uffdmr *region;
	struct extent *next;		/* of those that are free, or delayed */
	char *buffer;
	uint64_t retry_at;
};

struct uffdmr {
	/* These stay as they are. */
	struct uffdmr_attr attr;
	pid_t pid;			/* whose it is; a child has no part in it */
	char *addr;
	size_t pages;
	uint64_t features;		/* of the userfaultfd */
	bool mapped;			/* by us */
	bool registered;		/* with the userfaultfd */
	bool dofork;			/* a child had the caller's memory before */
	bool shared;			/* with others who map the same file */
	int uffd, kick, pagemap;
	struct published_file *published;
	int published_fd;
	char *buffers;
	char *zeros;			/* an extent of them, if there is need */
	size_t extent_pages;
	struct extent *extents;
	pthread_t thread;

	pthread_mutex_t lock;		/* of all that follows */
	pthread_cond_t changed;		/* nothing_missing(), @telling */
	uint8_t *state;
	uint64_t *since;		/* when somebody began to wait, or 0 */
	unsigned int *failed;		/* so often, since it was settled */
	size_t *queue, head, tail;	/* pages, some of which were taken since */
	bool *in_queue;			/* each is there once */
	struct extent *free, *delayed;
	unsigned int background;	/* extents that nobody had waited for */
	unsigned int out;		/* extents with the source */
	bool populate, stop, finished;
	uint64_t rate;			/* bytes a second, 0: no limit */
	uint64_t next_background;	/* when */
	size_t cursor;			/* a page: all before it were looked at */
	void (*progress)(size_t present, size_t length, void *arg);
	void *progress_arg;
	uint64_t progress_every, progress_next;
	bool progress_all;		/* it was told of the last page */
	bool telling;			/* it runs */
	struct uffdmr_stats *stats;	/* of @published */
};

static inline bool is_huge(const struct uffdmr *region)
{
	return region->attr.page_size > (size_t)sysconf(_SC_PAGESIZE);
}

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* @lock is held. */
static inline bool nothing_missing(const struct uffdmr *region)
{
	const struct uffdmr_stats *stats = region->stats;

	return stats->present + stats->poisoned >= stats->length;
}

/* Have the region's thread look for something to do. */
void region_kick(struct uffdmr *region);

/*
 * Returns 0 in the region's process. In a child of it, whose copies of the lock and
 * of the descriptors are of no use or the parent's still: -1, errno and the message.
 */
static inline int region_check(const struct uffdmr *region)
{
	if (region->pid == getpid())
		return 0;
	return uffdmr_set_error(EINVAL, "the region is that of process %d",
				region->pid);
}

/* --- serve.c: the region's thread, whose argument is the region */
void *region_serve(void *arg);

/* --- pages.c */

/* Its entry in /proc/self/pagemap. Swapped also is what only has a marker. */
#define PAGEMAP_PRESENT		0x8000000000000000ULL
#define PAGEMAP_SWAPPED		0x4000000000000000ULL
#define PAGEMAP_PROTECTED	0x0200000000000000ULL	/* by userfaultfd */
uint64_t page_map(struct uffdmr *region, size_t page);

/* It is ABSENT, or QUEUED if somebody waits for it. @lock is held. */
void page_absent(struct uffdmr *region, size_t page);

/* Have them missing again; returns 0 or an errno. */
int pages_discard(struct uffdmr *region, size_t first, size_t n);

/* It is nobody's. @lock is held. */
void extent_free(struct extent *extent);

/* Wake who waits for them. */
void pages_wake(struct uffdmr *region, size_t first, size_t n);

#endif
