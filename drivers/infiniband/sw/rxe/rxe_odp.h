/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * On-demand paging (ODP) of Soft-RoCE.
 *
 *	rxe_odp.c		the accesses: copy, atomics, flush
 *	rxe_odp_table.c		the translation table and its invalidation
 *	rxe_odp_child.c		the parts that a memory region is made of
 *	rxe_odp_fault.c		filling the table from the CPU page table
 *	rxe_odp_mr.c		registration
 *	rxe_odp_advise.c	ibv_advise_mr()
 */

#ifndef RXE_ODP_H
#define RXE_ODP_H

#ifdef CONFIG_RDMA_RXE_ODP

#include <linux/bits.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

/**
 * struct rxe_odp - what a memory region needs to be paged on demand
 * @mm:		the address space that it was registered from; its struct is
 *		held, its users are not
 * @va:		user virtual address of the first byte of the memory region
 * @implicit:	it is the whole address space, and its children come and go
 * @lock:	what the table translates to may be used while this is held for
 *		reading. Invalidation and publication hold it for writing. A
 *		spinning lock (but for PREEMPT_RT), so that an invalidation
 *		that must not block, the OOM reaper's, need not be refused.
 * @children:	struct rxe_odp_child by rxe_odp_child_index(). Added to at any
 *		time, taken from with @lock held for writing
 * @reclaim:	frees children that have nothing in them
 * @closing:	@reclaim must not be queued any more; under @lock
 *
 * Lives as long as the struct rxe_mr that points to it; whoever uses it holds a
 * reference on that.
 */
struct rxe_odp {
	struct mm_struct	*mm;
	unsigned long		va;
	bool			implicit;
	bool			closing;
	rwlock_t		lock;
	struct xarray		children;
	struct delayed_work	reclaim;
};

/**
 * struct rxe_odp_child - a part of a memory region with a notifier of its own
 * @notifier:	tells of changes to the user's page table; its interval is
 *		what the child translates
 * @odp:	the memory region
 * @chunks:	the translation table, see rxe_odp_table.c
 * @npages:	valid entries in @chunks; under @odp->lock
 * @users:	faults that are going to publish; under @odp->lock. While there
 *		are any the child stays
 *
 * One is all of an ordinary memory region, and lives as long. Of a region that is
 * the whole address space each child is RXE_ODP_CHILD_SIZE: invalidations of
 * what nobody uses are not looked at, and those of one child do not make
 * faults in another start over.
 */
struct rxe_odp_child {
	struct mmu_interval_notifier	notifier;
	struct rxe_odp			*odp;
	struct xarray			chunks;
	unsigned long			npages;
	unsigned int			users;
};

#define RXE_ODP_CHILD_SHIFT	30
#define RXE_ODP_CHILD_SIZE	BIT(RXE_ODP_CHILD_SHIFT)

static inline bool is_odp_mr(struct rxe_mr *mr)
{
	return mr->odp;
}

/* The memory region's range has been checked: see mr_check_range(). */
static inline unsigned long rxe_odp_va(struct rxe_mr *mr, u64 iova)
{
	return mr->odp->va + (iova - mr->ibmr.iova);
}

/* Implicit ODP has an address for each 64 bit iova, and no page for most. */
static inline bool rxe_odp_is_user(const struct rxe_odp *odp,
				   unsigned long va, u64 length)
{
	return va <= odp->mm->task_size && length <= odp->mm->task_size - va;
}

/**
 * enum rxe_odp_access - what an access needs of a page
 * @RXE_ODP_READ:	a page that may be read
 * @RXE_ODP_WRITE:	a page that may be written
 * @RXE_ODP_SNAPSHOT:	nothing: take what is there, fault nothing in
 */
enum rxe_odp_access {
	RXE_ODP_READ,
	RXE_ODP_WRITE,
	RXE_ODP_SNAPSHOT,
};

/**
 * struct rxe_odp_retry - bounds the retries that invalidations cause
 * @count: retries since something was achieved
 * @since: jiffies at the first of them, moved on by what page faults took
 * @slept: what page faults took, in jiffies
 * @best: the most pages that were found at once
 */
struct rxe_odp_retry {
	unsigned int	count;
	unsigned long	since;
	unsigned long	slept;
	unsigned long	best;
};

/* rxe_odp_table.c */
extern const struct mmu_interval_notifier_ops rxe_odp_notifier_ops;
void rxe_odp_table_free(struct rxe_odp_child *child);
int rxe_odp_table_reserve(struct rxe_odp_child *child, unsigned long va,
			  unsigned long npages);
int rxe_odp_table_publish(struct rxe_odp_child *child, unsigned long seq,
			  unsigned long va, const unsigned long *hmm_pfns,
			  unsigned long npages);
const unsigned long *rxe_odp_table_next(struct rxe_odp *odp,
					const unsigned long *entry,
					unsigned long va);
const unsigned long *rxe_odp_table_find(struct rxe_odp *odp, unsigned long va,
					size_t length,
					enum rxe_odp_access access);

/* rxe_odp_child.c */
struct rxe_odp_child *rxe_odp_child_create(struct rxe_odp *odp,
					   unsigned long start,
					   unsigned long end);
struct rxe_odp_child *rxe_odp_child_get(struct rxe_odp *odp, unsigned long va);
void rxe_odp_child_put(struct rxe_odp_child *child);
void rxe_odp_child_emptied(struct rxe_odp *odp);
void rxe_odp_children_init(struct rxe_odp *odp);
void rxe_odp_children_free(struct rxe_odp *odp);

static inline unsigned long rxe_odp_child_index(const struct rxe_odp *odp,
						unsigned long va)
{
	return odp->implicit ? va >> RXE_ODP_CHILD_SHIFT : 0;
}

/* rxe_odp_fault.c */
bool rxe_odp_may_retry(struct rxe_odp_retry *retry);
int rxe_odp_fault(struct rxe_odp *odp, unsigned long va, size_t length,
		  enum rxe_odp_access access, struct rxe_odp_retry *retry);

/* rxe_odp_mr.c */
int rxe_odp_mr_init_user(struct rxe_dev *rxe, u64 start, u64 length,
			 u64 iova, int access_flags, struct rxe_mr *mr);
void rxe_odp_mr_cleanup(struct rxe_mr *mr);

/* rxe_odp.c */
int rxe_odp_mr_copy(struct rxe_mr *mr, u64 iova, void *addr, int length,
		    enum rxe_mr_copy_dir dir);
enum resp_states rxe_odp_atomic_op(struct rxe_mr *mr, u64 iova, int opcode,
				   u64 compare, u64 swap_add, u64 *orig_val);
enum resp_states rxe_odp_do_atomic_write(struct rxe_mr *mr, u64 iova,
					 u64 value);
int rxe_odp_flush_pmem_iova(struct rxe_mr *mr, u64 iova, u64 length);

/* rxe_odp_advise.c */
int rxe_ib_advise_mr(struct ib_pd *ibpd, enum ib_uverbs_advise_mr_advice advice,
		     u32 flags, struct ib_sge *sg_list, u32 num_sge,
		     struct uverbs_attr_bundle *attrs);

#else /* CONFIG_RDMA_RXE_ODP */

static inline bool is_odp_mr(struct rxe_mr *mr)
{
	return false;
}

static inline int rxe_odp_mr_init_user(struct rxe_dev *rxe, u64 start,
				       u64 length, u64 iova, int access_flags,
				       struct rxe_mr *mr)
{
	return -EOPNOTSUPP;
}

static inline void rxe_odp_mr_cleanup(struct rxe_mr *mr)
{
}

static inline int rxe_odp_mr_copy(struct rxe_mr *mr, u64 iova, void *addr,
				  int length, enum rxe_mr_copy_dir dir)
{
	return -EOPNOTSUPP;
}

static inline enum resp_states
rxe_odp_atomic_op(struct rxe_mr *mr, u64 iova, int opcode, u64 compare,
		  u64 swap_add, u64 *orig_val)
{
	return RESPST_ERR_UNSUPPORTED_OPCODE;
}

static inline enum resp_states rxe_odp_do_atomic_write(struct rxe_mr *mr,
						       u64 iova, u64 value)
{
	return RESPST_ERR_UNSUPPORTED_OPCODE;
}

static inline int rxe_odp_flush_pmem_iova(struct rxe_mr *mr, u64 iova,
					  u64 length)
{
	return -EOPNOTSUPP;
}

static inline int rxe_ib_advise_mr(struct ib_pd *ibpd,
				   enum ib_uverbs_advise_mr_advice advice,
				   u32 flags, struct ib_sge *sg_list,
				   u32 num_sge,
				   struct uverbs_attr_bundle *attrs)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_RDMA_RXE_ODP */

#endif /* RXE_ODP_H */
