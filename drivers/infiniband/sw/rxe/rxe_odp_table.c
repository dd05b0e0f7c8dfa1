// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The translation table of a memory region that is paged on demand.
 *
 * An entry is a page frame with HMM_PFN_VALID and HMM_PFN_WRITE, or 0. It is
 * there because the user's page table said so at some point after the last
 * invalidation of its address, and it is used without a reference on the page:
 * an invalidation waits for @lock before the page can go anywhere.
 *
 *	entry		0 -> valid	rxe_odp_table_publish()	 lock for writing
 *			valid -> 0	rxe_odp_invalidate()	 lock for writing
 *	sequence	moves on	rxe_odp_invalidate()	 lock for writing
 *	use of entry			rxe_odp_table_find()	 lock for reading
 *
 * The table is cut into chunks of one page each. A chunk is allocated when
 * a page in it is first found, and stays as long as its child: an MR over sparse
 * memory costs what is touched of it.
 */

#include <linux/hmm.h>

#include "rxe.h"

#define RXE_ODP_CHUNK_ENTRIES	(PAGE_SIZE / sizeof(unsigned long))

/* Index of the entry of @va, counted from the page that @child starts in. */
static unsigned long rxe_odp_index(struct rxe_odp_child *child,
				   unsigned long va)
{
	return (va - child->notifier.interval_tree.start) >> PAGE_SHIFT;
}

/* Return: how many of the entries were valid. */
static unsigned long rxe_odp_clear(unsigned long *entries, unsigned long n)
{
	unsigned long i, valid = 0;

	for (i = 0; i < n; i++)
		valid += !!entries[i];
	memset(entries, 0, n * sizeof(*entries));
	return valid;
}

static bool rxe_odp_invalidate(struct mmu_interval_notifier *notifier,
			       const struct mmu_notifier_range *range,
			       unsigned long cur_seq)
{
	struct rxe_odp_child *child = container_of(notifier,
						   struct rxe_odp_child,
						   notifier);
	unsigned long start = max(range->start, notifier->interval_tree.start);
	unsigned long last = min(range->end - 1, notifier->interval_tree.last);
	unsigned long first_index = rxe_odp_index(child, start);
	unsigned long last_index = rxe_odp_index(child, last);
	struct rxe_odp *odp = child->odp;
	unsigned long total = 0;
	bool emptied = false;
	unsigned long *chunk;
	unsigned long i;

	/* From here on nothing that was looked up before can be published. */
	write_lock(&odp->lock);
	mmu_interval_set_seq(notifier, cur_seq);
	write_unlock(&odp->lock);

	/* A chunk at a time, so that accesses elsewhere do not wait for all. */
	xa_for_each_range(&child->chunks, i, chunk,
			  first_index / RXE_ODP_CHUNK_ENTRIES,
			  last_index / RXE_ODP_CHUNK_ENTRIES) {
		unsigned long base = i * RXE_ODP_CHUNK_ENTRIES;
		unsigned long from = max(first_index, base) - base;
		unsigned long to = min(last_index - base + 1,
				       RXE_ODP_CHUNK_ENTRIES);
		unsigned long gone;

		write_lock(&odp->lock);
		gone = rxe_odp_clear(&chunk[from], to - from);
		child->npages -= gone;
		total += gone;
		emptied |= gone && !child->npages;
		write_unlock(&odp->lock);
		if (mmu_notifier_range_blockable(range))
			cond_resched();
	}

	if (total)
		atomic64_add(total, &odp->stats.invalidations);
	if (emptied)
		rxe_odp_child_emptied(odp);

	/* munmap() and the like tell nobody who waits for the page there. */
	rxe_odp_kick(odp, start, last);
	return true;
}

const struct mmu_interval_notifier_ops rxe_odp_notifier_ops = {
	.invalidate = rxe_odp_invalidate,
};

/* After the notifier was removed. */
void rxe_odp_table_free(struct rxe_odp_child *child)
{
	unsigned long *chunk;
	unsigned long i;

	xa_for_each(&child->chunks, i, chunk)
		kfree(chunk);
	xa_destroy(&child->chunks);
}

/**
 * rxe_odp_table_reserve - allocate what rxe_odp_table_publish() will store into
 * @child:	the part of the memory region
 * @va:		user virtual address of the first page
 * @npages:	number of pages of PAGE_SIZE
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int rxe_odp_table_reserve(struct rxe_odp_child *child, unsigned long va,
			  unsigned long npages)
{
	unsigned long first = rxe_odp_index(child, va);
	unsigned long i;

	for (i = first / RXE_ODP_CHUNK_ENTRIES;
	     i <= (first + npages - 1) / RXE_ODP_CHUNK_ENTRIES; i++) {
		unsigned long *chunk;
		int err;

		if (xa_load(&child->chunks, i))
			continue;

		chunk = kcalloc(RXE_ODP_CHUNK_ENTRIES, sizeof(*chunk),
				GFP_KERNEL_ACCOUNT);
		if (!chunk)
			return -ENOMEM;

		err = xa_insert(&child->chunks, i, chunk, GFP_KERNEL);
		if (err) {
			kfree(chunk);
			/* -EBUSY: another fault was faster, and that is fine. */
			if (err != -EBUSY)
				return err;
		}
	}
	return 0;
}

/**
 * rxe_odp_table_publish - make the result of a fault usable
 * @child:	the part of the memory region
 * @seq:	mmu_interval_read_begin() from before the page table was read
 * @va:		user virtual address of the first page
 * @hmm_pfns:	result of hmm_range_fault_unlockable(); entries that are not
 *		HMM_PFN_VALID are passed over
 * @npages:	number of @hmm_pfns, for which rxe_odp_table_reserve() was called
 *
 * Context: Process context. Takes @child->odp->lock.
 * Return: 0, or -EBUSY when there was an invalidation after @seq; nothing is
 * published then.
 */
int rxe_odp_table_publish(struct rxe_odp_child *child, unsigned long seq,
			  unsigned long va, const unsigned long *hmm_pfns,
			  unsigned long npages)
{
	unsigned long index = rxe_odp_index(child, va);
	struct rxe_odp *odp = child->odp;
	unsigned long i;
	int err = 0;

	write_lock(&odp->lock);
	if (mmu_interval_read_retry(&child->notifier, seq)) {
		err = -EBUSY;
		goto unlock;
	}
	for (i = 0; i < npages; i++, index++) {
		unsigned long *chunk, *entry;

		if (!(hmm_pfns[i] & HMM_PFN_VALID))
			continue;

		chunk = xa_load(&child->chunks, index / RXE_ODP_CHUNK_ENTRIES);
		entry = &chunk[index % RXE_ODP_CHUNK_ENTRIES];
		child->npages += !*entry;
		*entry = hmm_pfns[i] &
			 (HMM_PFN_VALID | HMM_PFN_WRITE | ~HMM_PFN_FLAGS);
	}
unlock:
	write_unlock(&odp->lock);
	return err;
}

/**
 * rxe_odp_table_next - walk the entries of consecutive pages
 * @odp:	the memory region
 * @entry:	the entry of the page before, or NULL
 * @va:		user virtual address
 *
 * Context: @odp->lock is held. The entry is good for as long as it is.
 * Return: The entry of the page at @va, or NULL if there is none.
 */
const unsigned long *rxe_odp_table_next(struct rxe_odp *odp,
					const unsigned long *entry,
					unsigned long va)
{
	struct rxe_odp_child *child;
	const unsigned long *chunk;
	unsigned long index;

	lockdep_assert_held(&odp->lock);

	/* The size of a chunk is a page, so it is aligned to one. */
	if (entry && !PAGE_ALIGNED(entry + 1))
		return entry + 1;

	child = xa_load(&odp->children, rxe_odp_child_index(odp, va));
	if (!child)
		return NULL;

	index = rxe_odp_index(child, va);
	chunk = xa_load(&child->chunks, index / RXE_ODP_CHUNK_ENTRIES);
	return chunk ? &chunk[index % RXE_ODP_CHUNK_ENTRIES] : NULL;
}

/**
 * rxe_odp_table_find - translate a range of addresses
 * @odp:	the memory region
 * @va:		user virtual address
 * @length:	in bytes, not 0
 * @access:	RXE_ODP_READ or RXE_ODP_WRITE
 * @missing:	where the address of the first page goes that is not known to allow
 *		@access; may be NULL
 *
 * Context: @odp->lock is held. The pages may be used for as long as it is.
 * Return: The entry of the page at @va, from where rxe_odp_table_next() leads on,
 * or NULL if not every page is known to allow @access.
 */
const unsigned long *rxe_odp_table_find(struct rxe_odp *odp, unsigned long va,
					size_t length,
					enum rxe_odp_access access,
					unsigned long *missing)
{
	const unsigned long *first = NULL, *entry = NULL;
	unsigned long need = HMM_PFN_VALID;
	unsigned long page;

	if (access == RXE_ODP_WRITE)
		need |= HMM_PFN_WRITE;

	for (page = PAGE_ALIGN_DOWN(va); page < va + length; page += PAGE_SIZE) {
		entry = rxe_odp_table_next(odp, entry, page);
		if (!entry || (*entry & need) != need) {
			if (missing)
				*missing = page;
			return NULL;
		}
		if (!first)
			first = entry;
	}
	return first;
}
