/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOAK_H
#define SOAK_H

/*
 * The soak: a parent starts workers, and each lives one life that follows from
 * the seed and its number. main.c is the parent, life.c a worker, memory.c its
 * regions and the handler of its userfaultfd.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include "clock.h"
#include "failure.h"
#include "rc_pair.h"

#define PAGE		4096UL
#define MAX_REGIONS	4
#define MAX_CONNS	3
#define MAX_FLIGHTS	6	/* of a connection */

/* The longest that a completion may take. */
#define COMPLETION_MS	40000

enum verb { READ, WRITE, WRITE_IMM, SEND, CMP_SWAP, FETCH_ADD, VERBS };

/* What is done to operations that wait for pages that do not come. */
enum cancel {
	CANCEL_DESTROY, CANCEL_ERR, CANCEL_RESET, CANCEL_DEREG, CANCEL_UNMAP,
	CANCELS
};

enum happening {
	HAP_DROP, HAP_REMAP, HAP_MOVE, HAP_READ_ONLY, HAP_NO_ACCESS,
	HAP_PAGE_OUT, HAP_FORK, HAP_PREFETCH, HAP_CPU_WRITE,
	HAPPENINGS
};

enum end {
	END_CLEAN,	/* all is verified, and given back */
	END_CLOSE,	/* the device is closed with all that was made of it */
	END_UFFD,	/* the handler goes, and the worker a little later */
	END_EXIT, END_EXEC,
	END_KILL,	/* by the parent, at whatever time */
	END_HELD,	/* the same, but a child has all its descriptors */
	ENDS
};

struct totals {
	_Atomic unsigned long verbs[VERBS], cancels[CANCELS];
	_Atomic unsigned long happenings[HAPPENINGS];
	_Atomic unsigned long srq, bytes, checked, faults, failed;
};

/* Of one worker at a time. */
struct slot {
	/* In the milliseconds of ->clock: */
	_Atomic uint64_t alive;		/* when it did something last */
	_Atomic uint64_t ending;	/* when its process began to end, or 0 */
	const char *_Atomic doing;
	_Atomic bool verified;
	struct failure failure;
};

/* What the parent and its workers share. */
struct shared {
	struct totals totals;
	/*
	 * What bounds are measured by: the parent's own sleeps, so that a machine
	 * that does not get its CPUs is not taken for one that hangs.
	 */
	_Atomic uint64_t clock;
	_Atomic unsigned long injecting;	/* odd: faults are injected */
};

/* The begin of a life; all the rest of it comes from its @seed, too. */
struct plan {
	unsigned long number;
	unsigned int seed;
	enum end end;
	unsigned int kill_ms;
	bool pressed;			/* in the memcg with a limit */
};

/* How worker processes exit. */
enum { LIFE_GOOD, LIFE_BAD, LIFE_GAVE_UP };

extern struct shared *shared;
extern const char *const verb_name[VERBS];
extern bool tolerant;			/* faults are injected now and then */
extern uint64_t bound_ms;		/* of what ends something */

/* The memory cgroup of those who are pressed: how often it was at its end. */
long long memcg_ooms(void);

/* In a process of its own; returns what that exits with. */
int live(const struct plan *plan, struct slot *slot);

/* ---- memory.c */

enum region_kind { KIND_PINNED, KIND_ANON, KIND_SHMEM, KIND_HUGETLB };

struct region {
	enum region_kind kind;
	bool uffd;
	int memfd;
	char *addr;
	size_t unit, pages, len;	/* of @unit bytes each */
	char *image;			/* what is in it */
	uint64_t *seeds;		/* of each page when fresh; 0: zeros */
	bool *busy;			/* an operation is under way there */
	bool *touched;			/* it is there, or swapped out */
	pthread_mutex_t lock;		/* @seeds, against the handler */
	struct ibv_mr *mr;
};

enum mode { MODE_AT_ONCE, MODE_SLOW, MODE_SHUFFLED, MODE_SILENT };

struct memory {
	struct region regions[MAX_REGIONS];
	int n;
	unsigned int *rand;
	int uffd;
	pthread_t handler;
	bool handled;			/* there is a handler */
	_Atomic enum mode mode;
	_Atomic bool stop;
	struct failure *failure;
};

int memory_open(struct memory *mem, int regions, struct failure *failure,
		unsigned int *rand);

/* All that still waits for the handler ends. */
void memory_unhandle(struct memory *mem);
void memory_close(struct memory *mem);

/* Compare pages with the image. */
int region_check(struct memory *mem, struct region *r, size_t first, size_t n);

/* The pages are gone, and fresh ones come when they are wanted. */
int region_drop(struct memory *mem, struct region *r, size_t first, size_t n);

/* The same by another mapping in their place; shared memory loses nothing. */
int region_remap(struct memory *mem, struct region *r, size_t first, size_t n);

/* Nothing is mapped there until region_remap(). */
int region_unmap(struct memory *mem, struct region *r);

/* Away, and back again. */
int region_move(struct memory *mem, struct region *r, size_t first, size_t n);

static inline unsigned int below(unsigned int *seed, unsigned int n)
{
	return rand_r(seed) % n;
}

static inline size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

#endif
