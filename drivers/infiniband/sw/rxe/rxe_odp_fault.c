// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Faulting in what an access to an ODP memory region needs.
 */

#include <linux/hmm.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>

#include "rxe.h"

/*
 * Pages of one call to HMM. The first write to each page of a shared file
 * mapping makes HMM start over, so a call should not be costly to repeat; and the
 * array is on the stack.
 */
#define RXE_ODP_FAULT_PAGES	32
#define RXE_ODP_BATCH		(RXE_ODP_FAULT_PAGES * PAGE_SIZE)

/*
 * A fault gives up when invalidations have undone it more often than this, and
 * for this long, and nothing was achieved in between.
 */
#define RXE_ODP_MIN_RETRIES	64
#define RXE_ODP_RETRY_TIME	msecs_to_jiffies(HMM_RANGE_DEFAULT_TIMEOUT)

/**
 * rxe_odp_may_retry - account for a retry that an invalidation caused
 * @retry: the fault's account
 *
 * Return: Whether there should be another try.
 */
bool rxe_odp_may_retry(struct rxe_odp_retry *retry)
{
	if (!retry->count++)
		retry->since = jiffies;

	return retry->count <= RXE_ODP_MIN_RETRIES ||
	       time_before(jiffies, retry->since + RXE_ODP_RETRY_TIME);
}

/*
 * Time that was slept in a page fault is not the invalidations' doing. A call
 * that took less than a jiffy or two did not sleep.
 */
static void rxe_odp_excuse(struct rxe_odp_retry *retry, unsigned long begun)
{
	unsigned long took = jiffies - begun;

	if (took > 1) {
		retry->since += took;
		retry->slept += took;
	}
}

static unsigned long rxe_odp_count_valid(const unsigned long *hmm_pfns,
					 unsigned long npages)
{
	unsigned long i, n = 0;

	for (i = 0; i < npages; i++)
		n += !!(hmm_pfns[i] & HMM_PFN_VALID);
	return n;
}

/*
 * Look @npages up, for which the caller holds a reference on the mm's users. With a
 * @waiter, which is left one that userfaultfd has to serve: -EIOCBQUEUED.
 */
static int rxe_odp_fault_pages(struct rxe_odp_child *child, unsigned long va,
			       unsigned long npages, enum rxe_odp_access access,
			       struct rxe_odp_retry *retry,
			       struct userfault_waiter *waiter)
{
	unsigned long hmm_pfns[RXE_ODP_FAULT_PAGES];
	struct mm_struct *mm = child->odp->process->mm;
	struct hmm_range range = {
		.notifier = &child->notifier,
		.start = va,
		.end = va + npages * PAGE_SIZE,
		.hmm_pfns = hmm_pfns,
		.waiter = waiter,
	};
	int err;

	if (access != RXE_ODP_SNAPSHOT)
		range.default_flags |= HMM_PFN_REQ_FAULT;
	if (access == RXE_ODP_WRITE)
		range.default_flags |= HMM_PFN_REQ_WRITE;

	do {
		unsigned long valid, begun;
		int locked = 1;

		memset(hmm_pfns, 0, npages * sizeof(*hmm_pfns));
		range.notifier_seq = mmu_interval_read_begin(range.notifier);
		err = mmap_read_lock_killable(mm);
		if (err)
			return err;

		begun = jiffies;
		err = hmm_range_fault_unlockable(&range, &locked);
		if (locked)
			mmap_read_unlock(mm);
		rxe_odp_excuse(retry, begun);

		if (!err && !locked) {
			/* A page was faulted in: progress. */
			retry->count = 0;
			err = -EAGAIN;
			continue;
		}

		valid = rxe_odp_count_valid(hmm_pfns, npages);
		if (!err && valid)
			err = rxe_odp_table_reserve(child, va, npages);
		if (!err && valid)
			err = rxe_odp_table_publish(child, range.notifier_seq,
						    va, hmm_pfns, npages);
		if (err != -EBUSY)
			return err;

		/* So are more pages than ever before, if not yet all. */
		if (valid > retry->best) {
			retry->best = valid;
			retry->count = 0;
		}
	} while (err == -EAGAIN || rxe_odp_may_retry(retry));

	return err;
}

static unsigned long rxe_odp_child_end(const struct rxe_odp_child *child)
{
	return child->notifier.interval_tree.last + 1;
}

/**
 * rxe_odp_charge - what is allocated from here on is for the owner of the memory
 * @odp:	the memory region
 * @memcg:	for rxe_odp_uncharge()
 *
 * User pages go by the mm, all else by this. Current may be a worker.
 */
void rxe_odp_charge(struct rxe_odp *odp, struct rxe_odp_memcg *memcg)
{
	memcg->active = get_mem_cgroup_from_mm(odp->process->mm);
	memcg->before = set_active_memcg(memcg->active);
}

void rxe_odp_uncharge(struct rxe_odp_memcg *memcg)
{
	set_active_memcg(memcg->before);
	mem_cgroup_put(memcg->active);
}

/**
 * rxe_odp_fault - make pages of a memory region accessible
 * @odp:	the memory region
 * @va:		user virtual address
 * @length:	in bytes, not 0; [@va, @va + @length) is within the region
 * @access:	what is needed
 * @retry:	account of retries, all zero for the first call. It goes on when the
 *		caller has to call again for the same range
 *
 * On success all pages were in the table at some time during the call. They may
 * be gone again.
 *
 * Context: Process context of a user task, without locks. Sleeps, for a userfaultfd
 * as long as its handler likes; a signal that kills ends that.
 *
 * Return:
 * * 0		- done
 * * -EBUSY	- invalidated time and again, see rxe_odp_may_retry()
 * * -EFAULT	- no memory there, or the address space is dying or gone
 * * -EPERM	- write to a mapping that cannot be written
 * * -ENOMEM	- out of memory
 * * -EINTR	- the calling process was killed
 */
int rxe_odp_fault(struct rxe_odp *odp, unsigned long va, size_t length,
		  enum rxe_odp_access access, struct rxe_odp_retry *retry)
{
	unsigned long end = PAGE_ALIGN(va + length);
	struct rxe_odp_memcg memcg;
	unsigned long total;
	int err = 0;

	if (!mmget_not_zero(odp->process->mm))
		return -EFAULT;

	rxe_odp_charge(odp, &memcg);
	va = PAGE_ALIGN_DOWN(va);
	total = (end - va) >> PAGE_SHIFT;
	while (!err && va < end) {
		struct rxe_odp_retry own = {}, *account = &own;
		struct rxe_odp_child *child;
		unsigned long stop, npages;

		child = rxe_odp_child_get(odp, va);
		if (IS_ERR(child)) {
			err = PTR_ERR(child);
			break;
		}
		stop = min(end, rxe_odp_child_end(child));
		npages = min((stop - va) >> PAGE_SHIFT, RXE_ODP_FAULT_PAGES);

		/*
		 * One batch of several has an account of its own, so that what
		 * it achieves lets the caller start over no more often. But what
		 * it slept is excused for the caller, too.
		 */
		if (npages == total)
			account = retry;
		err = rxe_odp_fault_pages(child, va, npages, access, account,
					  NULL);
		retry->since += own.slept;
		rxe_odp_child_put(child);
		va += npages * PAGE_SIZE;
		cond_resched();
	}

	rxe_odp_uncharge(&memcg);

	/*
	 * Not mmput(): the last one closes the process's files, and that waits
	 * for the verb that this may be.
	 */
	mmput_async(odp->process->mm);
	return err;
}

/* Not all of HMM's loops, if invalidations get in the way: it is only a look. */
static void rxe_odp_look(struct rxe_odp_child *child, unsigned long va,
			 unsigned long end)
{
	struct rxe_odp_retry retry = { .count = RXE_ODP_MIN_RETRIES };

	rxe_odp_fault_pages(child, va, (end - va) >> PAGE_SHIFT,
			    RXE_ODP_SNAPSHOT, &retry, NULL);
}

/* Into the table with the neighbours that are there, and is the page? */
static bool rxe_odp_look_around(struct rxe_odp_child *child, unsigned long va,
				enum rxe_odp_access access)
{
	unsigned long start = max(child->notifier.interval_tree.start,
				  ALIGN_DOWN(va, RXE_ODP_BATCH));
	unsigned long end = min(rxe_odp_child_end(child),
				ALIGN_DOWN(va, RXE_ODP_BATCH) + RXE_ODP_BATCH);
	struct rxe_odp *odp = child->odp;
	bool found;

	rxe_odp_look(child, start, end);

	read_lock(&odp->lock);
	found = rxe_odp_table_find(odp, va, PAGE_SIZE, access, NULL);
	read_unlock(&odp->lock);
	return found;
}

/**
 * rxe_odp_fault_page - run the page fault of one page
 * @odp:	the memory region
 * @va:		user virtual address of the page
 * @access:	RXE_ODP_READ or RXE_ODP_WRITE
 * @around:	have a look at the pages around it first, which have often been
 *		supplied together with it
 * @waiter:	what is left a page fault that userfaultfd has to serve. NULL: there is
 *		to be no page fault, only the look
 *
 * Context: A kernel thread, without locks. Sleeps, but for no userfaultfd.
 * Return: 0 if the page was in the table at some time during the call, or was only
 * looked for; -EIOCBQUEUED if @waiter was queued; or an error of rxe_odp_fault().
 */
int rxe_odp_fault_page(struct rxe_odp *odp, unsigned long va,
		       enum rxe_odp_access access, bool around,
		       struct userfault_waiter *waiter)
{
	struct rxe_odp_retry retry = {};
	struct rxe_odp_child *child;
	struct rxe_odp_memcg memcg;
	int err = 0;

	if (!mmget_not_zero(odp->process->mm))
		return -EFAULT;

	rxe_odp_charge(odp, &memcg);
	child = rxe_odp_child_get(odp, va);
	if (IS_ERR(child)) {
		err = PTR_ERR(child);
	} else {
		if (!(around && rxe_odp_look_around(child, va, access)) &&
		    waiter)
			err = rxe_odp_fault_pages(child, va, 1, access, &retry,
						  waiter);
		rxe_odp_child_put(child);
	}
	rxe_odp_uncharge(&memcg);
	mmput_async(odp->process->mm);
	return err;
}

/* One message to a userfaultfd is for as much. */
static unsigned long rxe_odp_fault_size(struct mm_struct *mm, unsigned long va)
{
	unsigned long size = PAGE_SIZE;
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, va);
	if (vma)
		size = vma_kernel_pagesize(vma);
	mmap_read_unlock(mm);
	return size;
}

/**
 * rxe_odp_snapshot - take over what is in the page table
 * @odp:	the memory region
 * @va:		user virtual address of the first page
 * @end:	behind the last
 * @step:	where it goes how many bytes a page fault brings in there
 *
 * Nothing is faulted in.
 *
 * Context: Process context without locks, may sleep.
 * Return: how far it came before @end, or 0: the address space is gone, or there is
 * no memory.
 */
unsigned long rxe_odp_snapshot(struct rxe_odp *odp, unsigned long va,
			       unsigned long end, unsigned long *step)
{
	struct mm_struct *mm = odp->process->mm;
	struct rxe_odp_child *child;
	unsigned long stop = 0;

	if (!mmget_not_zero(mm))
		return 0;

	child = rxe_odp_child_get(odp, va);
	if (!IS_ERR(child)) {
		*step = rxe_odp_fault_size(mm, va);
		stop = min3(end, rxe_odp_child_end(child),
			    ALIGN_DOWN(va, RXE_ODP_BATCH) + RXE_ODP_BATCH);
		rxe_odp_look(child, va, stop);
		rxe_odp_child_put(child);
	}
	mmput_async(mm);
	return stop;
}
