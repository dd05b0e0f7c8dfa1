// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * What the memory regions of one process share: its address space, and the workers
 * that run its page faults. One whose page faults take long, as its files are on
 * a server that is gone, delays nobody else's.
 */

#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/wait.h>

#include "rxe.h"

/*
 * Page faults of a process that run at the same time. Those that wait for
 * userfaultfd do not run.
 */
#define RXE_ODP_WORKERS		16

static LIST_HEAD(rxe_odp_processes);
static DEFINE_MUTEX(rxe_odp_processes_lock);
static DECLARE_WAIT_QUEUE_HEAD(rxe_odp_no_process);

/* Frees them, which no worker of theirs can do. */
static struct workqueue_struct *rxe_odp_reaper;

static void rxe_odp_process_free(struct work_struct *work)
{
	struct rxe_odp_process *process = container_of(work,
						       struct rxe_odp_process,
						       free);

	/* The worker that dropped the last reference may still be on its way. */
	destroy_workqueue(process->workers);
	mmdrop(process->mm);
	kfree(process);
}

static struct rxe_odp_process *rxe_odp_process_find(struct mm_struct *mm)
{
	struct rxe_odp_process *process;

	lockdep_assert_held(&rxe_odp_processes_lock);

	list_for_each_entry(process, &rxe_odp_processes, entry) {
		if (process->mm == mm) {
			refcount_inc(&process->refs);
			return process;
		}
	}
	return NULL;
}

static struct rxe_odp_process *rxe_odp_process_create(struct mm_struct *mm)
{
	struct rxe_odp_process *process;

	process = kzalloc_obj(*process, GFP_KERNEL_ACCOUNT);
	if (!process)
		return NULL;

	process->workers = alloc_workqueue("rxe_odp", WQ_UNBOUND,
					   RXE_ODP_WORKERS);
	if (!process->workers) {
		kfree(process);
		return NULL;
	}

	mmgrab(mm);
	process->mm = mm;
	process->tgid = task_tgid_nr(current);
	refcount_set(&process->refs, 1);
	spin_lock_init(&process->lock);
	INIT_LIST_HEAD(&process->starved);
	INIT_WORK(&process->free, rxe_odp_process_free);
	list_add(&process->entry, &rxe_odp_processes);
	return process;
}

/**
 * rxe_odp_process_get - what the memory regions of an address space share
 * @mm: the address space
 *
 * Context: Process context, may sleep.
 * Return: it, for rxe_odp_process_put(), or NULL without memory.
 */
struct rxe_odp_process *rxe_odp_process_get(struct mm_struct *mm)
{
	struct rxe_odp_process *process;

	mutex_lock(&rxe_odp_processes_lock);
	process = rxe_odp_process_find(mm);
	if (!process)
		process = rxe_odp_process_create(mm);
	mutex_unlock(&rxe_odp_processes_lock);
	return process;
}

/* Context: Process context, may sleep. May be called by one of the workers. */
void rxe_odp_process_put(struct rxe_odp_process *process)
{
	if (!refcount_dec_and_mutex_lock(&process->refs,
					 &rxe_odp_processes_lock))
		return;

	list_del(&process->entry);
	queue_work(rxe_odp_reaper, &process->free);
	if (list_empty(&rxe_odp_processes))
		wake_up(&rxe_odp_no_process);
	mutex_unlock(&rxe_odp_processes_lock);
}

int rxe_odp_init(void)
{
	rxe_odp_reaper = alloc_workqueue("rxe_odp_reaper", WQ_UNBOUND, 0);
	return rxe_odp_reaper ? 0 : -ENOMEM;
}

/* After the last memory region is gone. Page faults of it may still be running. */
void rxe_odp_exit(void)
{
	wait_event(rxe_odp_no_process, list_empty(&rxe_odp_processes));
	/* Whoever made it empty is done with what goes with this module. */
	mutex_lock(&rxe_odp_processes_lock);
	mutex_unlock(&rxe_odp_processes_lock);
	destroy_workqueue(rxe_odp_reaper);
}
