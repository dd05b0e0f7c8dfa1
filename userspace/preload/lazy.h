/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LAZY_H
#define LAZY_H

/*
 * Memory of a program that it has registered, made lazy: its pages are taken away, and
 * given back when somebody asks for them.
 *
 * Pages of private memory are moved elsewhere, to the range's shadow, all at one
 * time (MREMAP_DONTUNMAP), so that what others write meanwhile is not lost; they are
 * copied from there. Pages of shared memory stay in their file, and are only unmapped.
 *
 * A page:
 *
 *	AWAY -> WAITED	note_fault(): userfaultfd has a message for it
 *	AWAY -> HERE	give(): populated
 *	WAITED -> HERE	give(): its time has come
 *	HERE -> WAITED	note_fault(): the program has thrown it away
 *	WAITED -> AWAY	forget(): what waits has to ask once more
 *
 * A range goes when all its pages are HERE, or its memory does.
 *
 * Threads:
 *
 *	the program's	ask for memory to be made lazy, one at a time (arm.c:
 *			@request), and wait
 *	arming		(arm.c) takes the pages away; it makes ranges, and cuts them
 *	serving		(serve.c) reads messages, gives pages, splits, moves and ends
 *			ranges
 *
 * @lock, of serve.c, is for all ranges. Who holds it touches no memory that may be away:
 * none of the program's stacks, and no heap. For the same reason the two threads
 * use no malloc(), and the arming one does not hold it over a system call that ends
 * only when the serving one has read an event.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"
#include "published.h"
#include "util.h"

enum page_state { AWAY, WAITED, HERE };

#define PAGE_STATE	0x3
#define PAGE_ZERO	0x4	/* the program threw it away: it is zero */

struct range {
	uintptr_t start;
	size_t page_size;
	size_t pages;
	size_t missing;		/* of them: not HERE */
	size_t cursor;		/* for populating: those before it are HERE, or asked for */
	bool shared;
	bool ready;		/* its pages may be given: they have gone */
	bool hurry;		/* all of them at once, and then no more of it */
	uintptr_t shadow;	/* of private memory */
	size_t room;		/* bytes of all this */
	uint8_t state[];
};

/*
 * Memory, for the two threads. Libraries like UCX replace the functions of these system
 * calls by their own, which wait for locks that the caller of ibv_reg_mr() may hold.
 */

/* NULL: there is none. */
static inline void *memory_map(size_t length)
{
	long memory = syscall(SYS_mmap, NULL, length, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == -1 ? NULL : (void *)memory;
}

static inline void memory_unmap(const void *addr, size_t length)
{
	syscall(SYS_munmap, addr, length);
}

static inline int memory_drop(uintptr_t start, size_t length)
{
	return syscall(SYS_madvise, start, length, MADV_DONTNEED);
}

/* All its pages go elsewhere at one time, where Linux likes, and it stays mapped. */
static inline int memory_move_pages(uintptr_t start, size_t length)
{
	return syscall(SYS_mremap, start, length, length,
		       MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0) == -1 ? -1 : 0;
}

/* --- arm.c */

/* Make this memory lazy, what of it can be. What was lazy there before has ended. */
void lazy_arm(const void *addr, size_t length);

/* This memory was registered, and stays as it is. */
void lazy_stays(size_t length);

/*
 * A page that is missing until somebody accesses it, to try that: then it is zero. The
 * caller unmaps it. NULL: there is none.
 */
void *lazy_page(void);

/* Give all back at once that is away there, and end it. */
void lazy_disarm(const void *addr, size_t length);

/*
 * The same file by a high descriptor, which is no program's that closes or replaces low
 * ones. What is none, of an open() that failed, stays so.
 */
int out_of_the_way(int fd);

/* One line on stderr. */
__printf(1, 2)
void say(const char *fmt, ...);

/* --- ranges.c: @lock is held */
struct range *range_new(uintptr_t start, size_t pages, size_t page_size,
			bool shared);
void range_free(struct range *range);
int ranges_add(struct range *range);
void ranges_remove(struct range *range);

/* The first one that ends behind @at, which may begin behind it, too; or NULL. */
struct range *ranges_from(uintptr_t at);
struct range *ranges_next(const struct range *range);
struct range *ranges_at(uintptr_t at);

/* No range crosses @at any more. False: there is no memory for another one. */
bool ranges_cut(uintptr_t at);

static inline uintptr_t range_end(const struct range *range)
{
	return range->start + range->pages * range->page_size;
}

/* --- due.c: what is to be given when; @lock is held */
struct due {
	uint64_t when, since;
	uintptr_t at;
};

/* 0, or -1: there is no memory. */
int due_add(const struct due *due);
/* The earliest, or NULL; it stays until due_drop(). */
const struct due *due_first(void);
void due_drop(void);
void due_drop_all(void);

/* --- serve.c */
extern pthread_mutex_t lock;
extern pthread_cond_t range_gone;
extern int uffd;
extern struct published *published;

/* Start it, with that userfaultfd. */
int serve_start(const struct preload_config *config);

/* Have it look for something to do. */
void serve_kick(void);

/* A child of a fork() has neither the thread nor any range. */
void serve_forget(void);

#endif
