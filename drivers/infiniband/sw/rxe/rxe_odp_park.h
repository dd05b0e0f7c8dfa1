/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What a queue pair needs to wait for a page without a thread that sleeps.
 */

#ifndef RXE_ODP_PARK_H
#define RXE_ODP_PARK_H

#include <linux/list.h>
#include <linux/types.h>

struct rxe_odp;
struct rxe_odp_ahead;
struct rxe_odp_pagefault;
struct rxe_task;

/* Packets of one direction of a parked QP that are kept; more come again. */
#define RXE_ODP_PARK_PACKETS	256

/**
 * struct rxe_odp_park - where an operation waits for a page
 * @task:	what is scheduled when the page fault has ended
 * @whole:	what is left of a WQE is what the operation will access. Not so
 *		for a receive WQE, which may be larger than the message
 * @pagefault:	what is waited for, or NULL. Set by @task, cleared by it or by
 *		the end of the page fault; under @odp->faults_lock
 * @entry:	in @pagefault->parks
 * @odp:	where @pagefault is, with a reference: from rxe_odp_park() to
 *		rxe_odp_unpark()
 * @waited_in:	the memory region of the page that was waited for last, only to be
 *		compared
 * @va:		the page
 * @access:	for what
 * @err:	what its page fault has ended with
 * @waited:	the access has waited, and was not repeated since
 * @flushed:	as much of a FLUSH, in bytes, was done before that
 * @asked:	the memory region of which the operation has asked for pages, only
 *		to be compared
 * @from:	the first of them
 * @until:	behind the last
 * @ahead:	asks for them, with a reference, or NULL
 *
 * There is one in a QP for each place that accesses memory: responder, requester
 * and completer. All of it but @pagefault, @entry and @err is @task's own.
 */
struct rxe_odp_park {
	struct rxe_task			*task;
	bool				whole;
#ifdef CONFIG_RDMA_RXE_ODP
	struct rxe_odp_pagefault	*pagefault;
	struct list_head		entry;
	struct rxe_odp			*odp;
	const struct rxe_odp		*waited_in;
	unsigned long			va;
	int				access;
	int				err;
	bool				waited;
	u64				flushed;
	const struct rxe_odp		*asked;
	unsigned long			from;
	unsigned long			until;
	struct rxe_odp_ahead		*ahead;
#endif
};

static inline void rxe_odp_park_init(struct rxe_odp_park *park,
				     struct rxe_task *task, bool whole)
{
	park->task = task;
	park->whole = whole;
}

#ifdef CONFIG_RDMA_RXE_ODP

/*
 * Does an operation wait? The end of the wait comes with a rxe_sched_task() after
 * it, so @park->task may be told that it still does, and not look again.
 */
static inline bool rxe_odp_parked(const struct rxe_odp_park *park)
{
	return READ_ONCE(park->pagefault);
}

void rxe_odp_ask_no_more(struct rxe_odp_park *park);

/* An operation has got all that it wanted. */
static inline void rxe_odp_park_end(struct rxe_odp_park *park)
{
	if (park->asked)
		rxe_odp_ask_no_more(park);
}

/* Another one starts. What the one before has asked for is not its own. */
static inline void rxe_odp_park_begin(struct rxe_odp_park *park)
{
	if (!park->waited)
		rxe_odp_park_end(park);
}

bool rxe_odp_unpark(struct rxe_odp_park *park);
bool rxe_odp_put_off(struct rxe_odp_park *park);
bool rxe_odp_resume(struct rxe_odp_park *park);

#else /* CONFIG_RDMA_RXE_ODP */

static inline bool rxe_odp_parked(const struct rxe_odp_park *park)
{
	return false;
}

static inline void rxe_odp_park_begin(struct rxe_odp_park *park)
{
}

static inline bool rxe_odp_unpark(struct rxe_odp_park *park)
{
	return false;
}

static inline bool rxe_odp_put_off(struct rxe_odp_park *park)
{
	return false;
}

static inline bool rxe_odp_resume(struct rxe_odp_park *park)
{
	return false;
}

#endif /* CONFIG_RDMA_RXE_ODP */

#endif /* RXE_ODP_PARK_H */
