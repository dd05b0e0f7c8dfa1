// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The parts that a memory region is made of: one that lives as long as it does,
 * or, for "implicit ODP", the whole address space, as many as are in use.
 *
 *	none -> there	rxe_odp_child_create(), by the fault that wants it
 *	there -> none	rxe_odp_reclaim(), in a worker, when it has no entries, no
 *			users and no page fault pending; or with the memory region
 */

#include <linux/sched/mm.h>

#include "rxe.h"

/*
 * How often children that are empty are freed, at most: it costs more to make
 * one than to keep it for a while.
 */
#define RXE_ODP_RECLAIM_DELAY	HZ

static void rxe_odp_child_free(struct rxe_odp_child *child)
{
	/* Waits for an invalidation that is running. */
	mmu_interval_notifier_remove(&child->notifier);
	rxe_odp_table_free(child);
	kfree(child);
}

/**
 * rxe_odp_child_create - add a part to a memory region
 * @odp:	the memory region
 * @start:	user virtual address of the first page
 * @end:	that of the first page behind the last
 *
 * Context: Process context, may sleep. The caller holds a reference on the users
 * of @odp->process->mm, and does not hold its mmap lock.
 * Return: The child, without a user, or an ERR_PTR: -EEXIST if it is there now,
 * -ENOMEM, -EINTR.
 */
struct rxe_odp_child *rxe_odp_child_create(struct rxe_odp *odp,
					   unsigned long start,
					   unsigned long end)
{
	struct rxe_odp_child *child;
	int err;

	child = kzalloc_obj(*child, GFP_KERNEL_ACCOUNT);
	if (!child)
		return ERR_PTR(-ENOMEM);

	child->odp = odp;
	xa_init_flags(&child->chunks, XA_FLAGS_ACCOUNT);
	err = mmu_interval_notifier_insert(&child->notifier, odp->process->mm, start,
					   end - start, &rxe_odp_notifier_ops);
	if (err) {
		kfree(child);
		return ERR_PTR(err);
	}

	err = xa_insert(&odp->children, rxe_odp_child_index(odp, start), child,
			GFP_KERNEL_ACCOUNT);
	if (err) {
		rxe_odp_child_free(child);
		return ERR_PTR(err == -EBUSY ? -EEXIST : err);
	}

	return child;
}

static struct rxe_odp_child *rxe_odp_child_find(struct rxe_odp *odp,
						unsigned long va)
{
	struct rxe_odp_child *child;

	write_lock(&odp->lock);
	child = xa_load(&odp->children, rxe_odp_child_index(odp, va));
	if (child)
		child->users++;
	write_unlock(&odp->lock);
	return child;
}

/**
 * rxe_odp_child_get - get hold of the part that an address is in
 * @odp:	the memory region
 * @va:		user virtual address within it
 *
 * Context: As for rxe_odp_child_create().
 * Return: The child, for rxe_odp_child_put(), or an ERR_PTR: -ENOMEM, -EINTR.
 */
struct rxe_odp_child *rxe_odp_child_get(struct rxe_odp *odp, unsigned long va)
{
	struct rxe_odp_child *child;

	while (!(child = rxe_odp_child_find(odp, va))) {
		unsigned long start = ALIGN_DOWN(va, RXE_ODP_CHILD_SIZE);

		child = rxe_odp_child_create(odp, start,
					     start + RXE_ODP_CHILD_SIZE);
		if (IS_ERR(child) && PTR_ERR(child) != -EEXIST)
			return child;
	}
	return child;
}

void rxe_odp_child_put(struct rxe_odp_child *child)
{
	struct rxe_odp *odp = child->odp;
	bool empty;

	write_lock(&odp->lock);
	empty = !--child->users && !child->npages;
	write_unlock(&odp->lock);

	/* The caller holds the memory region, if not the child any more. */
	if (empty)
		rxe_odp_child_emptied(odp);
}

/* Some child has no entries any more. Context: any that may not sleep, too. */
void rxe_odp_child_emptied(struct rxe_odp *odp)
{
	if (!odp->implicit)
		return;

	read_lock(&odp->lock);
	if (!odp->closing)
		queue_delayed_work(system_dfl_wq, &odp->reclaim,
				   RXE_ODP_RECLAIM_DELAY);
	read_unlock(&odp->lock);
}

static void rxe_odp_reclaim(struct work_struct *work)
{
	struct rxe_odp *odp = container_of(to_delayed_work(work),
					   struct rxe_odp, reclaim);
	struct rxe_odp_child *child;
	unsigned long i;

	xa_for_each(&odp->children, i, child) {
		bool idle;

		/* Whoever looks it up holds the lock. */
		write_lock(&odp->lock);
		/* The notifier has to tell those that wait what becomes of the page. */
		idle = !child->users && !child->npages &&
		       !rxe_odp_is_pending(odp,
					   child->notifier.interval_tree.start,
					   child->notifier.interval_tree.last);
		if (idle)
			xa_erase(&odp->children, i);
		write_unlock(&odp->lock);

		if (idle)
			rxe_odp_child_free(child);
		cond_resched();
	}
}

void rxe_odp_children_init(struct rxe_odp *odp)
{
	rwlock_init(&odp->lock);
	xa_init_flags(&odp->children, XA_FLAGS_ACCOUNT);
	INIT_DELAYED_WORK(&odp->reclaim, rxe_odp_reclaim);
}

/* When nobody uses the memory region any more. */
void rxe_odp_children_free(struct rxe_odp *odp)
{
	struct rxe_odp_child *child;
	unsigned long i;

	/* Invalidations go on until the last notifier is removed. */
	write_lock(&odp->lock);
	odp->closing = true;
	write_unlock(&odp->lock);
	cancel_delayed_work_sync(&odp->reclaim);

	xa_for_each(&odp->children, i, child)
		rxe_odp_child_free(child);
	xa_destroy(&odp->children);
}
