// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Accesses to memory that is paged on demand.
 */

#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hmm.h>
#include <linux/libnvdimm.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "rxe.h"

/* As much of a flush is done without letting invalidations in. */
#define RXE_ODP_FLUSH_LOCKED	((unsigned long)SZ_64K)

/**
 * rxe_odp_lock_range - get hold of all pages of a range
 * @odp:	the memory region
 * @va:		user virtual address
 * @length:	in bytes, not 0; within the region
 * @access:	RXE_ODP_READ or RXE_ODP_WRITE
 * @park:	where the access waits for a page that is absent, or NULL: it sleeps
 * @total:	what will be accessed from @va on, at least @length; it is not
 *		trusted
 *
 * All or nothing: an access is either done as a whole or has left no trace.
 *
 * Context: Process context without locks, may sleep for memory. On success
 * @odp->lock is held for reading.
 * Return: As rxe_odp_table_find(), or an ERR_PTR of rxe_odp_park(), or of
 * rxe_odp_fault().
 */
static const unsigned long *rxe_odp_lock_range(struct rxe_odp *odp,
					       unsigned long va, size_t length,
					       enum rxe_odp_access access,
					       struct rxe_odp_park *park,
					       u64 total)
{
	struct rxe_odp_retry retry = {};
	const unsigned long *entry;
	unsigned long missing;
	int err;

	if (!rxe_odp_is_user(odp, va, length))
		return ERR_PTR(-EFAULT);

	if (!rxe_odp_is_user(odp, va, total))
		total = length;
	if (park)
		rxe_odp_park_advance(odp, park, va, va + total, access);

	do {
		read_lock(&odp->lock);
		entry = rxe_odp_table_find(odp, va, length, access, &missing);
		if (entry) {
			if (park)
				park->waited = false;
			return entry;
		}
		read_unlock(&odp->lock);

		if (park)
			err = rxe_odp_park(odp, park, missing, va + total,
					   access);
		else
			err = rxe_odp_fault(odp, va, length, access, &retry);
		if (err)
			return ERR_PTR(err);
	} while (rxe_odp_may_retry(&retry));

	return ERR_PTR(-EBUSY);
}

/*
 * The page table entry need not be dirty when its page is written through us:
 * MADV_FREE and writeback clean it and leave it writable. Nobody can truncate
 * the page or reclaim it before odp->lock is dropped.
 */
static void rxe_odp_mark_dirty(struct page *page)
{
	struct folio *folio = page_folio(page);

	if (!folio_test_dirty(folio))
		folio_mark_dirty(folio);
}

/**
 * rxe_odp_mr_copy - copy to or from a memory region
 * @mr:		the memory region
 * @iova:	address within it, checked with mr_check_range()
 * @addr:	kernel address of the other side
 * @length:	in bytes
 * @dir:	RXE_TO_MR_OBJ or RXE_FROM_MR_OBJ
 * @park:	where it waits for a page that is absent
 * @total:	what will be copied from @iova on, as far as that is known; at
 *		least @length
 *
 * Context: Process context of @park->task, without locks, may sleep for memory.
 * Return: 0, or nothing was copied: -EIOCBQUEUED if @park->task is going to be
 * scheduled when it is worth to try again, or an error code of rxe_odp_fault().
 */
int rxe_odp_mr_copy(struct rxe_mr *mr, u64 iova, void *addr, int length,
		    enum rxe_mr_copy_dir dir, struct rxe_odp_park *park,
		    u64 total)
{
	enum rxe_odp_access access = dir == RXE_TO_MR_OBJ ? RXE_ODP_WRITE :
							    RXE_ODP_READ;
	unsigned long va = rxe_odp_va(mr, iova);
	struct rxe_odp *odp = mr->odp;
	const unsigned long *entry;
	bool last;

	if (!length)
		return 0;

	/* Of a WQE's element all may be wanted, and not be ours. */
	total = min(total, mr->ibmr.length - (iova - mr->ibmr.iova));
	last = total <= length;
	entry = rxe_odp_lock_range(odp, va, length, access, park, total);
	if (IS_ERR(entry))
		return PTR_ERR(entry);

	for (;;) {
		struct page *page = hmm_pfn_to_page(*entry);
		int bytes = min_t(int, length, PAGE_SIZE - offset_in_page(va));

		if (access == RXE_ODP_WRITE) {
			memcpy_to_page(page, offset_in_page(va), addr, bytes);
			rxe_odp_mark_dirty(page);
		} else {
			memcpy_from_page(addr, page, offset_in_page(va), bytes);
		}

		va += bytes;
		addr += bytes;
		length -= bytes;
		if (!length)
			break;
		entry = rxe_odp_table_next(odp, entry, va);
	}
	read_unlock(&odp->lock);

	if (park && last)
		rxe_odp_park_end(park);
	return 0;
}

/**
 * rxe_odp_lock_u64 - get hold of a naturally aligned 64 bit word
 * @mr:		the memory region
 * @iova:	address of the word
 * @word:	where its kernel address goes, to be undone with
 *		rxe_odp_unlock_u64()
 * @park:	where it waits for a page that is absent
 *
 * Context: Process context of @park->task, without locks, may sleep for memory. On
 * RESPST_NONE the lock of the memory region is held.
 * Return: RESPST_NONE, RESPST_ERR_MISALIGNED_ATOMIC, or as rxe_odp_resp_state(),
 * RESPST_ERR_RKEY_VIOLATION otherwise.
 */
static enum resp_states rxe_odp_lock_u64(struct rxe_mr *mr, u64 iova,
					 u64 **word, struct rxe_odp_park *park)
{
	const unsigned long *entry;
	struct page *page;
	unsigned long va;

	if (unlikely(mr->state != RXE_MR_STATE_VALID)) {
		rxe_dbg_mr(mr, "mr not in valid state\n");
		return RESPST_ERR_RKEY_VIOLATION;
	}

	/* See IBA oA19-28 */
	if (unlikely(mr_check_range(mr, iova, sizeof(**word)))) {
		rxe_dbg_mr(mr, "iova out of range\n");
		return RESPST_ERR_RKEY_VIOLATION;
	}

	/* See IBA A19.4.2 */
	va = rxe_odp_va(mr, iova);
	if (unlikely(!IS_ALIGNED(va, sizeof(**word)))) {
		rxe_dbg_mr(mr, "misaligned address\n");
		return RESPST_ERR_MISALIGNED_ATOMIC;
	}

	entry = rxe_odp_lock_range(mr->odp, va, sizeof(**word), RXE_ODP_WRITE,
				   park, sizeof(**word));
	if (IS_ERR(entry))
		return rxe_odp_resp_state(PTR_ERR(entry),
					  RESPST_ERR_RKEY_VIOLATION);

	page = hmm_pfn_to_page(*entry);
	rxe_odp_mark_dirty(page);
	*word = kmap_local_page(page) + offset_in_page(va);
	return RESPST_NONE;
}

static void rxe_odp_unlock_u64(struct rxe_mr *mr, u64 *word)
{
	kunmap_local(word);
	read_unlock(&mr->odp->lock);
}

/**
 * rxe_odp_atomic_op - execute COMPARE_SWAP or FETCH_ADD
 * @mr:		the memory region
 * @iova:	address of the operand
 * @opcode:	IB_OPCODE_RC_COMPARE_SWAP or IB_OPCODE_RC_FETCH_ADD
 * @compare:	compare operand of COMPARE_SWAP
 * @swap_add:	swap or add operand
 * @orig_val:	where the value before goes
 * @park:	where it waits for a page that is absent
 *
 * Context: As rxe_odp_mr_copy().
 * Return: RESPST_NONE; or nothing was done, and it is RESPST_PARKED,
 * RESPST_ERR_PARKED, RESPST_ERR_RKEY_VIOLATION or RESPST_ERR_MISALIGNED_ATOMIC.
 */
enum resp_states rxe_odp_atomic_op(struct rxe_mr *mr, u64 iova, int opcode,
				   u64 compare, u64 swap_add, u64 *orig_val,
				   struct rxe_odp_park *park)
{
	enum resp_states state;
	u64 *word;

	state = rxe_odp_lock_u64(mr, iova, &word, park);
	if (state != RESPST_NONE)
		return state;

	spin_lock_bh(&atomic_ops_lock);
	*orig_val = *word;
	if (opcode != IB_OPCODE_RC_COMPARE_SWAP)
		*word += swap_add;
	else if (*word == compare)
		*word = swap_add;
	spin_unlock_bh(&atomic_ops_lock);

	rxe_odp_unlock_u64(mr, word);
	return RESPST_NONE;
}

/**
 * rxe_odp_do_atomic_write - execute ATOMIC_WRITE
 * @mr:		the memory region
 * @iova:	address of the word
 * @value:	what to store
 * @park:	where it waits for a page that is absent
 *
 * Context, Return: As rxe_odp_atomic_op().
 */
enum resp_states rxe_odp_do_atomic_write(struct rxe_mr *mr, u64 iova,
					 u64 value, struct rxe_odp_park *park)
{
	enum resp_states state;
	u64 *word;

	state = rxe_odp_lock_u64(mr, iova, &word, park);
	if (state != RESPST_NONE)
		return state;

	/* Not before all that came before it. */
	smp_store_release(word, value);

	rxe_odp_unlock_u64(mr, word);
	return RESPST_NONE;
}

/* What a flush finds at an address. */
struct rxe_odp_vma {
	unsigned long	start;
	unsigned long	end;
	bool		dax;
};

static int rxe_odp_find_vma(struct rxe_odp *odp, unsigned long va,
			    unsigned long end, struct rxe_odp_vma *found)
{
	struct vm_area_struct *vma;
	int err;

	if (!mmget_not_zero(odp->process->mm))
		return -EFAULT;

	err = mmap_read_lock_killable(odp->process->mm);
	if (err)
		goto put;

	vma = find_vma_intersection(odp->process->mm, va, end);
	if (vma) {
		found->start = max(va, vma->vm_start);
		found->end = min(end, vma->vm_end);
		found->dax = vma_is_dax(vma);
	} else {
		err = -EFAULT;
	}
	mmap_read_unlock(odp->process->mm);
put:
	mmput_async(odp->process->mm);
	return err;
}

/* @done: from where on, and moves on with what is done. */
static int rxe_odp_flush_dax(struct rxe_odp *odp, unsigned long *done,
			     unsigned long end, struct rxe_odp_park *park)
{
	while (*done < end) {
		unsigned long va = *done;
		unsigned long stop = min(end, va + RXE_ODP_FLUSH_LOCKED);
		const unsigned long *entry;

		/* A flush modifies nothing, so reading is enough. */
		entry = rxe_odp_lock_range(odp, va, stop - va, RXE_ODP_READ,
					   park, end - va);
		if (IS_ERR(entry))
			return PTR_ERR(entry);

		for (;;) {
			size_t bytes = min(stop - va,
					   PAGE_SIZE - offset_in_page(va));
			void *vaddr = kmap_local_page(hmm_pfn_to_page(*entry));

			arch_wb_cache_pmem(vaddr + offset_in_page(va), bytes);
			kunmap_local(vaddr);
			va += bytes;
			if (va == stop)
				break;
			entry = rxe_odp_table_next(odp, entry, va);
		}
		read_unlock(&odp->lock);
		*done = va;
		cond_resched();
	}
	return 0;
}

/**
 * rxe_odp_flush_pmem_iova - make what was written to a range persistent
 * @mr:		the memory region
 * @iova:	address within it
 * @length:	in bytes; may be all of the region, however large
 * @park:	where it waits for a page that is absent, and keeps how far it came
 *
 * Only a DAX mapping has memory that outlives the machine, and its pages are
 * brought in, as they are in the file whether they are mapped or not. Nothing is
 * to be done for any other: a flush of it waits for no userfaultfd, and takes
 * as long as it takes to look at the mappings.
 *
 * Context: As rxe_odp_mr_copy().
 * Return: 0, -EINVAL when out of range, -EFAULT where nothing is mapped (but all
 * of implicit ODP flushes what there is), or as rxe_odp_mr_copy().
 */
int rxe_odp_flush_pmem_iova(struct rxe_mr *mr, u64 iova, u64 length,
			    struct rxe_odp_park *park)
{
	struct rxe_odp *odp = mr->odp;
	bool all = odp->implicit && length == mr->ibmr.length;
	unsigned long start, va, end;
	int err;

	err = mr_check_range(mr, iova, length);
	if (err)
		return err;

	start = rxe_odp_va(mr, iova);
	if (all)
		length = odp->process->mm->task_size;
	else if (!rxe_odp_is_user(odp, start, length))
		return -EFAULT;

	va = start;
	end = start + length;
	if (park && park->waited)
		va += min(park->flushed, length);
	while (va < end) {
		struct rxe_odp_vma vma;

		err = rxe_odp_find_vma(odp, va, end, &vma);
		if (err == -EFAULT && all) {
			err = 0;
			break;
		}
		if (!err && vma.start > va && !all)
			err = -EFAULT;
		if (!err && vma.dax) {
			va = vma.start;
			err = rxe_odp_flush_dax(odp, &va, vma.end, park);
		}
		if (err == -EIOCBQUEUED) {
			park->flushed = va - start;
			return err;
		}
		if (err)
			break;
		va = vma.end;
		cond_resched();
	}

	/* What comes next starts at its own beginning. */
	if (park) {
		park->waited = false;
		park->flushed = 0;
	}
	return err;
}
