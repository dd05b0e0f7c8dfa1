// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Page faults that nobody sleeps on.
 *
 * An operation that meets an absent page parks on a struct rxe_odp_pagefault,
 * and the task of its QP goes on with something else. A worker runs the page
 * fault. One that userfaultfd has to serve is left to its handler, and costs
 * no more than the struct until the answer.
 *
 * There is one for a page, whoever waits for it. Whatever happens to it - the
 * answer, an invalidation of its page, the end of the memory region - does no more
 * than to have it run again, and each run finds out what is true now:
 *
 *	none -> pending		rxe_odp_pagefault_add(), by an operation that misses
 *				the page, or ahead of one
 *	pending -> pending	rxe_odp_pagefault_run(): userfaultfd has to serve it,
 *				its handler was told
 *	pending -> ended	rxe_odp_pagefault_run(): the page is in the table; or
 *				it was supplied, and nobody waits for it; or there is
 *				an error; or the memory region is gone
 *
 *	what			who			under
 *	in odp->pagefaults,	rxe_odp_pagefault_add(),	odp->faults_lock
 *	 @parks			rxe_odp_pagefault_end(),
 *				rxe_odp_park(), _unpark()
 *	@waiter, @ended		rxe_odp_pagefault_run()	@running
 *	@waiter->uwq		also userfaultfd		its own locks
 *
 * odp->faults_lock nests outside of the locks of a QP's task, and inside of
 * @running. The wake of userfaultfd takes none.
 *
 * References are held by odp->pagefaults, a work that is queued, and a waiter
 * that userfaultfd has.
 */

#include <linux/interval_tree.h>
#include <linux/userfaultfd_k.h>

#include "rxe.h"
#include "rxe_odp_trace.h"

/* Pages that are asked for ahead of an operation at a time. */
#define RXE_ODP_AHEAD_PAGES	512UL

/*
 * Page faults of a process that may be pending before those that nobody is
 * parked on have to wait.
 */
#define RXE_ODP_AHEAD_PENDING	8192

/* And before those that an operation needs fail for lack of memory. */
#define RXE_ODP_MAX_PENDING	65536

/* As many are kicked without letting anybody else at the lock. */
#define RXE_ODP_KICKED_LOCKED	256

struct rxe_odp_pagefault {
	struct interval_tree_node	node;
	u64				id;
	ktime_t				begun;
	refcount_t			refs;
	struct rxe_odp			*odp;
	enum rxe_odp_access		access;
	bool				prefetch;
	bool				ended;
	struct mutex			running; /* of @waiter and @ended */
	struct work_struct		work;
	struct userfault_waiter		waiter;
	struct list_head		parks;
};

/* Told apart in a trace by this. */
static atomic64_t rxe_odp_pagefault_ids;

/*
 * Pages to be asked for, one after the other. Those of an operation that is over
 * are asked for no more: @cancelled, under odp->faults_lock. A reference each has
 * the work, and the park of the operation.
 */
struct rxe_odp_ahead {
	struct list_head	entry;
	struct work_struct	work;
	refcount_t		refs;
	struct rxe_odp		*odp;
	unsigned long		va;
	unsigned long		end;
	enum rxe_odp_access	access;
	bool			prefetch;
	bool			cancelled;
};

static void rxe_odp_pagefault_put(struct rxe_odp_pagefault *pf)
{
	if (!refcount_dec_and_test(&pf->refs))
		return;

	rxe_odp_put(pf->odp);
	kfree(pf);
}

/* Have it run. The caller holds a reference. Context: any. */
static void rxe_odp_pagefault_kick(struct rxe_odp_pagefault *pf)
{
	refcount_inc(&pf->refs);
	if (!queue_work(pf->odp->process->workers, &pf->work))
		refcount_dec(&pf->refs);
}

static void rxe_odp_pagefault_wake(struct userfault_waiter *waiter)
{
	rxe_odp_pagefault_kick(container_of(waiter, struct rxe_odp_pagefault,
					    waiter));
}

/* Some of those that wait because there are too many may go on. */
static void rxe_odp_feed(struct rxe_odp_process *process)
{
	struct rxe_odp_ahead *ahead;

	spin_lock(&process->lock);
	ahead = list_first_entry_or_null(&process->starved,
					 struct rxe_odp_ahead, entry);
	if (ahead && atomic_read(&process->pending) < RXE_ODP_AHEAD_PENDING) {
		list_del(&ahead->entry);
		queue_work(process->workers, &ahead->work);
	}
	spin_unlock(&process->lock);
}

/* The QP may be on its way out; then it will look at nothing any more. */
static void rxe_odp_park_wake(struct rxe_odp_park *park)
{
	struct rxe_qp *qp = park->task->qp;

	if (!rxe_get(qp))
		return;
	rxe_sched_task(park->task);
	rxe_put(qp);
}

static void rxe_odp_pagefault_end(struct rxe_odp_pagefault *pf, int err)
{
	struct rxe_odp *odp = pf->odp;
	struct rxe_odp_park *park, *next;

	lockdep_assert_held(&pf->running);
	pf->ended = true;
	trace_rxe_odp_fault_end(pf->id, odp->process->tgid, pf->node.start, err,
				ktime_to_ns(ktime_sub(ktime_get(), pf->begun)));
	if (!err)
		atomic64_add(1, pf->prefetch ? &odp->stats.prefetch :
					       &odp->stats.faults);

	spin_lock(&odp->faults_lock);
	interval_tree_remove(&pf->node, &odp->pagefaults);
	list_for_each_entry_safe(park, next, &pf->parks, entry) {
		list_del(&park->entry);
		trace_rxe_odp_wake(pf->id, qp_num(park->task->qp), park->va);
		/* An error of another access than its own says nothing. */
		park->err = park->access == pf->access ? err : 0;
		WRITE_ONCE(park->pagefault, NULL);
		rxe_odp_park_wake(park);
	}
	spin_unlock(&odp->faults_lock);

	atomic_dec(&odp->process->pending);
	rxe_odp_feed(odp->process);
	rxe_odp_pagefault_put(pf);
}

/*
 * Was the page asked for ahead, of an operation that is not there yet? Or is over: it
 * may have found the page as soon as that was supplied. Then whoever supplied it may
 * take it away again, and is not to be asked once more on behalf of nobody.
 */
static bool rxe_odp_pagefault_unwanted(struct rxe_odp_pagefault *pf)
{
	bool unwanted;

	spin_lock(&pf->odp->faults_lock);
	unwanted = !pf->prefetch && list_empty(&pf->parks);
	spin_unlock(&pf->odp->faults_lock);
	return unwanted;
}

/* @around: see rxe_odp_fault_page() */
static void rxe_odp_pagefault_run(struct rxe_odp_pagefault *pf, bool around)
{
	struct userfault_waiter *waiter = &pf->waiter;
	bool answered = false;
	int err;

	mutex_lock(&pf->running);
	if (userfault_waiter_queued(waiter)) {
		answered = !userfault_waiter_end(waiter);
		rxe_odp_pagefault_put(pf);
	}
	if (pf->ended)
		goto unlock;

	if (answered && rxe_odp_pagefault_unwanted(pf))
		waiter = NULL;
	/* What is set after this kicks all that are pending. */
	if (READ_ONCE(pf->odp->closed))
		err = -EFAULT;
	else
		err = rxe_odp_fault_page(pf->odp, pf->node.start, pf->access,
					 around, waiter);
	if (err == -EIOCBQUEUED) {
		refcount_inc(&pf->refs);
		trace_rxe_odp_fault_asked(pf->id, pf->odp->process->tgid,
					  pf->node.start);
	} else {
		rxe_odp_pagefault_end(pf, err);
	}
unlock:
	mutex_unlock(&pf->running);
}

static void rxe_odp_pagefault_work(struct work_struct *work)
{
	struct rxe_odp_pagefault *pf = container_of(work,
						    struct rxe_odp_pagefault,
						    work);

	rxe_odp_pagefault_run(pf, true);
	rxe_odp_pagefault_put(pf);
}

static struct rxe_odp_pagefault *rxe_odp_pagefault_find(struct rxe_odp *odp,
							unsigned long va)
{
	struct interval_tree_node *node;

	lockdep_assert_held(&odp->faults_lock);

	node = interval_tree_iter_first(&odp->pagefaults, va, va);
	return node ? container_of(node, struct rxe_odp_pagefault, node) : NULL;
}

static struct rxe_odp_pagefault *rxe_odp_pagefault_alloc(struct rxe_odp *odp,
							 unsigned long va,
							 enum rxe_odp_access access,
							 bool prefetch)
{
	struct rxe_odp_pagefault *pf = kzalloc_obj(*pf, GFP_KERNEL_ACCOUNT);

	if (!pf)
		return NULL;

	refcount_set(&pf->refs, 1);
	rxe_odp_get(odp);
	pf->odp = odp;
	pf->node.start = va;
	pf->node.last = va + PAGE_SIZE - 1;
	pf->access = access;
	pf->prefetch = prefetch;
	pf->waiter.wake = rxe_odp_pagefault_wake;
	mutex_init(&pf->running);
	INIT_WORK(&pf->work, rxe_odp_pagefault_work);
	INIT_LIST_HEAD(&pf->parks);
	return pf;
}

/* None is pending at its address: the caller holds faults_lock since it looked. */
static void rxe_odp_pagefault_add(struct rxe_odp_pagefault *pf)
{
	struct rxe_odp *odp = pf->odp;

	lockdep_assert_held(&odp->faults_lock);
	pf->id = atomic64_inc_return(&rxe_odp_pagefault_ids);
	pf->begun = ktime_get();
	trace_rxe_odp_fault_start(pf->id, odp->process->tgid, pf->node.start,
				  pf->access, pf->prefetch);
	interval_tree_insert(&pf->node, &odp->pagefaults);
	atomic_inc(&odp->process->pending);
}

/**
 * rxe_odp_kick - have page faults run again
 * @odp:	the memory region
 * @start:	user virtual address of the first byte
 * @last:	that of the last byte
 *
 * Something has happened to the memory that they wait for.
 *
 * Context: any that is not an interrupt; takes @odp->faults_lock.
 */
void rxe_odp_kick(struct rxe_odp *odp, unsigned long start, unsigned long last)
{
	struct interval_tree_node *node;
	int kicked;

	do {
		kicked = 0;
		spin_lock(&odp->faults_lock);
		node = interval_tree_iter_first(&odp->pagefaults, start, last);
		while (node && kicked++ < RXE_ODP_KICKED_LOCKED) {
			rxe_odp_pagefault_kick(container_of(node,
							    struct rxe_odp_pagefault,
							    node));
			/* What is added behind us needs no kick. */
			start = node->last + 1;
			node = interval_tree_iter_next(node, start, last);
		}
		spin_unlock(&odp->faults_lock);
	} while (node);
}

/**
 * rxe_odp_is_pending - does anybody wait for a page?
 * @odp:	the memory region
 * @start:	user virtual address of the first byte
 * @last:	that of the last byte
 *
 * Context: takes @odp->faults_lock.
 */
bool rxe_odp_is_pending(struct rxe_odp *odp, unsigned long start,
			unsigned long last)
{
	bool pending;

	spin_lock(&odp->faults_lock);
	pending = interval_tree_iter_first(&odp->pagefaults, start, last);
	spin_unlock(&odp->faults_lock);
	return pending;
}

static void rxe_odp_ahead_put(struct rxe_odp_ahead *ahead)
{
	if (!refcount_dec_and_test(&ahead->refs))
		return;

	rxe_odp_put(ahead->odp);
	kfree(ahead);
}

/* Leave the rest for later if there are too many. */
static bool rxe_odp_ahead_starves(struct rxe_odp_ahead *ahead)
{
	struct rxe_odp_process *process = ahead->odp->process;
	bool starves;

	spin_lock(&process->lock);
	starves = atomic_read(&process->pending) >= RXE_ODP_AHEAD_PENDING &&
		  !READ_ONCE(ahead->odp->closed);
	if (starves)
		list_add_tail(&ahead->entry, &process->starved);
	spin_unlock(&process->lock);

	/* The last of them may have ended before it was on the list. */
	if (starves)
		rxe_odp_feed(process);
	return starves;
}

/* One page, if nobody asks for it already. */
static int rxe_odp_ahead_page(struct rxe_odp_ahead *ahead, unsigned long va)
{
	/*
	 * A page that is there and may not be written waits for the write itself:
	 * whoever protects it wants to know of writes, not of intentions.
	 */
	enum rxe_odp_access there = ahead->prefetch ? ahead->access :
						      RXE_ODP_READ;
	struct rxe_odp *odp = ahead->odp;
	struct rxe_odp_pagefault *pf;
	bool wanted;

	read_lock(&odp->lock);
	wanted = !rxe_odp_table_find(odp, va, PAGE_SIZE, there, NULL);
	read_unlock(&odp->lock);
	if (wanted) {
		spin_lock(&odp->faults_lock);
		wanted = !rxe_odp_pagefault_find(odp, va);
		spin_unlock(&odp->faults_lock);
	}
	if (!wanted)
		return 0;

	pf = rxe_odp_pagefault_alloc(odp, va, ahead->access, ahead->prefetch);
	if (!pf)
		return -ENOMEM;

	/* One for us. */
	refcount_inc(&pf->refs);
	spin_lock(&odp->faults_lock);
	wanted = !ahead->cancelled && !rxe_odp_pagefault_find(odp, va);
	if (wanted)
		rxe_odp_pagefault_add(pf);
	spin_unlock(&odp->faults_lock);

	if (wanted)
		rxe_odp_pagefault_run(pf, false);
	else
		rxe_odp_pagefault_put(pf);
	rxe_odp_pagefault_put(pf);
	return 0;
}

/* As many as are looked at together. Return: whether there are more. */
static bool rxe_odp_ahead_some(struct rxe_odp_ahead *ahead)
{
	unsigned long step, stop, va;

	stop = rxe_odp_snapshot(ahead->odp, ahead->va, ahead->end, &step);
	if (!stop)
		return false;

	for (va = ahead->va; va < stop; va = ALIGN_DOWN(va, step) + step) {
		if (ahead->access == RXE_ODP_SNAPSHOT)
			break;
		if (rxe_odp_ahead_page(ahead, va))
			return false;
		cond_resched();
	}
	WRITE_ONCE(ahead->va, max(stop, va));
	return ahead->va < ahead->end;
}

static void rxe_odp_ahead_work(struct work_struct *work)
{
	struct rxe_odp_ahead *ahead = container_of(work, struct rxe_odp_ahead,
						   work);
	struct rxe_odp *odp = ahead->odp;
	struct rxe_odp_memcg memcg;
	bool more;

	if (READ_ONCE(odp->closed) || READ_ONCE(ahead->cancelled))
		goto out;
	if (rxe_odp_ahead_starves(ahead))
		return;

	rxe_odp_charge(odp, &memcg);
	more = rxe_odp_ahead_some(ahead);
	rxe_odp_uncharge(&memcg);
	if (more) {
		/* Behind the page faults that came meanwhile. */
		queue_work(odp->process->workers, &ahead->work);
		return;
	}
out:
	rxe_odp_feed(odp->process);
	rxe_odp_ahead_put(ahead);
}

/* Return: with a reference for the caller, or NULL. */
static struct rxe_odp_ahead *rxe_odp_ahead_start(struct rxe_odp *odp,
						 unsigned long va,
						 unsigned long end,
						 enum rxe_odp_access access,
						 bool prefetch)
{
	struct rxe_odp_ahead *ahead = kzalloc_obj(*ahead, GFP_KERNEL_ACCOUNT);

	if (!ahead)
		return NULL;

	refcount_set(&ahead->refs, 2);
	rxe_odp_get(odp);
	ahead->odp = odp;
	ahead->va = va;
	ahead->end = end;
	ahead->access = access;
	ahead->prefetch = prefetch;
	INIT_WORK(&ahead->work, rxe_odp_ahead_work);
	queue_work(odp->process->workers, &ahead->work);
	return ahead;
}

/**
 * rxe_odp_prefetch - ask for pages ahead of who will need them
 * @odp:	the memory region
 * @va:		user virtual address of the first page
 * @end:	behind the last
 * @access:	what they are needed for
 *
 * Context: Process context, may sleep for memory.
 * Return: 0 or -ENOMEM.
 */
int rxe_odp_prefetch(struct rxe_odp *odp, unsigned long va, unsigned long end,
		     enum rxe_odp_access access)
{
	struct rxe_odp_ahead *ahead = rxe_odp_ahead_start(odp, va, end, access,
							  true);

	if (!ahead)
		return -ENOMEM;

	rxe_odp_ahead_put(ahead);
	return 0;
}

/**
 * rxe_odp_close - end all page faults of a memory region
 * @odp: the memory region, which nobody finds any more
 *
 * Does not wait for them. Each holds a reference on @odp for as long as it takes.
 *
 * Context: Process context.
 */
void rxe_odp_close(struct rxe_odp *odp)
{
	struct rxe_odp_process *process = odp->process;
	struct rxe_odp_ahead *ahead, *next;

	spin_lock(&process->lock);
	WRITE_ONCE(odp->closed, true);
	list_for_each_entry_safe(ahead, next, &process->starved, entry) {
		if (ahead->odp != odp)
			continue;
		list_del(&ahead->entry);
		queue_work(process->workers, &ahead->work);
	}
	spin_unlock(&process->lock);

	rxe_odp_kick(odp, 0, ULONG_MAX);
}

static void rxe_odp_ahead_cancel(struct rxe_odp_ahead *ahead)
{
	struct rxe_odp *odp = ahead->odp;

	spin_lock(&odp->faults_lock);
	WRITE_ONCE(ahead->cancelled, true);
	spin_unlock(&odp->faults_lock);
	rxe_odp_ahead_put(ahead);
}

/**
 * rxe_odp_ask_no_more - the operation has got all that it asked for, or is over
 * @park: that of the operation
 *
 * Context: as rxe_odp_unpark().
 */
void rxe_odp_ask_no_more(struct rxe_odp_park *park)
{
	park->asked = NULL;
	if (!park->ahead)
		return;

	rxe_odp_ahead_cancel(park->ahead);
	park->ahead = NULL;
}

/*
 * Ask for what the operation will want next: from the first page that is absent, for
 * a window, and again when half of that has been used. Never for more than it
 * said it will access. A failure costs time, no more.
 */
static void rxe_odp_park_ask(struct rxe_odp *odp, struct rxe_odp_park *park,
			     unsigned long va, unsigned long end,
			     enum rxe_odp_access access)
{
	unsigned long window = RXE_ODP_AHEAD_PAGES << PAGE_SHIFT;
	unsigned long from, until;

	va = PAGE_ALIGN_DOWN(va);
	if (park->asked != odp || va < park->from || va > park->until) {
		from = va;
	} else if (park->until < end && park->until - va < window / 2) {
		from = park->until;
		/* It may be on its way yet. */
		if (park->ahead)
			from = clamp(READ_ONCE(park->ahead->va), va, from);
	} else {
		return;
	}

	rxe_odp_ask_no_more(park);
	until = end - va > window ? va + window : PAGE_ALIGN(end);
	park->asked = odp;
	park->from = va;
	park->until = until;
	/* A single page that is waited for is asked for anyway. */
	if (until - from > PAGE_SIZE)
		park->ahead = rxe_odp_ahead_start(odp, from, until, access,
						  false);
}

/**
 * rxe_odp_park_advance - an operation has found its pages
 * @odp:	the memory region
 * @park:	that of the operation
 * @va:		user virtual address of what is accessed now
 * @end:	behind what the operation will access in all
 * @access:	RXE_ODP_READ or RXE_ODP_WRITE
 *
 * Context: Process context without locks, may sleep for memory.
 */
void rxe_odp_park_advance(struct rxe_odp *odp, struct rxe_odp_park *park,
			  unsigned long va, unsigned long end,
			  enum rxe_odp_access access)
{
	struct rxe_odp_memcg memcg;

	/* Nothing was absent so far, or nothing is left to be asked for. */
	if (park->asked != odp || va < park->from || va > park->until ||
	    park->until >= end ||
	    park->until - va >= RXE_ODP_AHEAD_PAGES << PAGE_SHIFT >> 1)
		return;

	rxe_odp_charge(odp, &memcg);
	rxe_odp_park_ask(odp, park, va, end, access);
	rxe_odp_uncharge(&memcg);
}

/**
 * rxe_odp_park - let an operation wait for a page
 * @odp:	the memory region
 * @park:	where it waits; not parked
 * @va:		user virtual address of the page
 * @end:	behind what the operation will access in all
 * @access:	RXE_ODP_READ or RXE_ODP_WRITE
 *
 * @park->task is scheduled when the page is there, or will not come; then the
 * operation tries again. Until then rxe_odp_unpark() takes it back at any time, at
 * once.
 *
 * Context: Process context of @park->task, without locks. May sleep for memory.
 * Return: -EIOCBQUEUED when it waits. Otherwise it does not:
 * * -ENOMEM	- out of memory, or too many are pending
 * * other	- what the page fault that it waited for before has ended with, see
 *		  rxe_odp_fault()
 */
int rxe_odp_park(struct rxe_odp *odp, struct rxe_odp_park *park,
		 unsigned long va, unsigned long end,
		 enum rxe_odp_access access)
{
	struct rxe_odp_pagefault *pf, *new;
	struct rxe_odp_memcg memcg;
	int err = park->err;

	park->err = 0;
	if (err && park->waited_in == odp && park->va == va &&
	    park->access == access)
		return err;

	if (atomic_read(&odp->process->pending) >= RXE_ODP_MAX_PENDING)
		return -ENOMEM;

	rxe_odp_charge(odp, &memcg);
	new = rxe_odp_pagefault_alloc(odp, va, access, false);
	if (!new) {
		rxe_odp_uncharge(&memcg);
		return -ENOMEM;
	}

	rxe_odp_get(odp);
	park->odp = odp;
	park->waited_in = odp;
	park->va = va;
	park->access = access;
	park->waited = true;

	spin_lock(&odp->faults_lock);
	pf = rxe_odp_pagefault_find(odp, va);
	if (!pf) {
		pf = new;
		rxe_odp_pagefault_add(pf);
		rxe_odp_pagefault_kick(pf);
		new = NULL;
	}
	trace_rxe_odp_park(pf->id, qp_num(park->task->qp), va);
	list_add_tail(&park->entry, &pf->parks);
	WRITE_ONCE(park->pagefault, pf);
	spin_unlock(&odp->faults_lock);

	if (new)
		rxe_odp_pagefault_put(new);
	rxe_odp_park_ask(odp, park, va, end, access);
	rxe_odp_uncharge(&memcg);
	return -EIOCBQUEUED;
}

/* Return: whether it has waited. */
static bool rxe_odp_leave(struct rxe_odp_park *park, bool put_off)
{
	struct rxe_odp *odp = park->odp;

	if (!odp)
		return false;

	spin_lock(&odp->faults_lock);
	if (park->pagefault) {
		if (put_off)
			trace_rxe_odp_put_off(park->pagefault->id,
					      qp_num(park->task->qp), park->va);
		else
			trace_rxe_odp_cancel(park->pagefault->id,
					     qp_num(park->task->qp), park->va);
		list_del(&park->entry);
		WRITE_ONCE(park->pagefault, NULL);
	}
	spin_unlock(&odp->faults_lock);

	park->odp = NULL;
	rxe_odp_put(odp);
	return true;
}

/**
 * rxe_odp_unpark - the operation will not be repeated
 * @park: where it has waited, or has not
 *
 * The page fault goes on.
 *
 * Context: Process context of @park->task, or when that does not run. No spinlock
 * is held.
 * Return: whether it has waited, and was not resumed since.
 */
bool rxe_odp_unpark(struct rxe_odp_park *park)
{
	bool waited = rxe_odp_leave(park, false);

	park->err = 0;
	park->waited = false;
	park->flushed = 0;
	rxe_odp_ask_no_more(park);
	return waited;
}

/**
 * rxe_odp_put_off - the operation will be repeated by somebody else
 * @park: where it waits
 *
 * What it has asked for stays asked for.
 *
 * Context, Return: as rxe_odp_unpark().
 */
bool rxe_odp_put_off(struct rxe_odp_park *park)
{
	bool waited = rxe_odp_leave(park, true);

	park->err = 0;
	park->flushed = 0;
	return waited;
}

/**
 * rxe_odp_resume - the operation is going to be repeated
 * @park: where it has waited, or has not; not rxe_odp_parked()
 *
 * Context, Return: as rxe_odp_unpark().
 */
bool rxe_odp_resume(struct rxe_odp_park *park)
{
	return rxe_odp_leave(park, false);
}
