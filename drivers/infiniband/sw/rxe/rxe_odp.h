/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * On-demand paging (ODP) of Soft-RoCE.
 *
 *	rxe_odp.c		the accesses: copy, atomics, flush
 *	rxe_odp_table.c		the translation table and its invalidation
 *	rxe_odp_child.c		the parts that a memory region is made of
 *	rxe_odp_fault.c		filling the table from the CPU page table
 *	rxe_odp_pagefault.c	page faults that are pending, and who waits for them
 *	rxe_odp_process.c	what all regions of a process share
 *	rxe_odp_mr.c		registration
 *	rxe_odp_advise.c	ibv_advise_mr()
 *	rxe_odp_trace.h		tracepoints
 */

#ifndef RXE_ODP_H
#define RXE_ODP_H

/*
 * What becomes of a request when memory could not be accessed: it is handled anew
 * when the page is there, or comes again later when there is no memory to wait with.
 */
static inline enum resp_states rxe_odp_resp_state(int err,
						  enum resp_states otherwise)
{
	switch (err) {
	case -EIOCBQUEUED:
		return RESPST_PARKED;
	case -ENOMEM:
		return RESPST_ERR_PARKED;
	default:
		return otherwise;
	}
}

#ifdef CONFIG_RDMA_RXE_ODP

#include <linux/bits.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "rxe_odp_park.h"

struct mem_cgroup;
struct userfault_waiter;

/**
 * struct rxe_odp_process - what the memory regions of a process share
 * @mm:		the address space; its struct is held, its users are not
 * @tgid:	whose it was when it registered first; for tracing
 * @refs:	by memory regions; the last is dropped under the lock of @entry
 * @entry:	in the list of all
 * @workers:	run its page faults
 * @pending:	page faults that have not ended
 * @lock:	of @starved
 * @starved:	struct rxe_odp_ahead that wait for @pending to get less
 * @free:	ends @workers
 */
struct rxe_odp_process {
	struct mm_struct	*mm;
	pid_t			tgid;
	refcount_t		refs;
	struct list_head	entry;
	struct workqueue_struct	*workers;
	atomic_t		pending;
	spinlock_t		lock; /* of @starved */
	struct list_head	starved;
	struct work_struct	free;
};

/**
 * struct rxe_odp_stats - what rdma-statistic(8) shows of a memory region, in pages
 * @faults:		brought in for an access
 * @prefetch:		brought in for ibv_advise_mr()
 * @invalidations:	lost to a change of the page table
 */
struct rxe_odp_stats {
	atomic64_t	faults;
	atomic64_t	prefetch;
	atomic64_t	invalidations;
};

/**
 * struct rxe_odp - what a memory region needs to be paged on demand
 * @process:	that registered it
 * @refs:	its own: the struct rxe_mr has one, and all that may take long
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
 * @closed:	the struct rxe_mr is gone: page faults end with an error
 * @faults_lock: of @pagefaults and of who is parked on them
 * @pagefaults:	struct rxe_odp_pagefault that have not ended, by address
 * @stats:	for the user
 *
 * Deregistration waits for all users of the struct rxe_mr. So whatever may wait
 * for somebody else holds a reference on this, and none on that.
 */
struct rxe_odp {
	struct rxe_odp_process	*process;
	refcount_t		refs;
	unsigned long		va;
	bool			implicit;
	bool			closing;
	bool			closed;
	spinlock_t		faults_lock; /* of @pagefaults */
	struct rb_root_cached	pagefaults;
	struct rxe_odp_stats	stats;
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
	return va <= odp->process->mm->task_size && length <= odp->process->mm->task_size - va;
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
					enum rxe_odp_access access,
					unsigned long *missing);

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
struct rxe_odp_memcg {
	struct mem_cgroup	*active;
	struct mem_cgroup	*before;
};

void rxe_odp_charge(struct rxe_odp *odp, struct rxe_odp_memcg *memcg);
void rxe_odp_uncharge(struct rxe_odp_memcg *memcg);
bool rxe_odp_may_retry(struct rxe_odp_retry *retry);
int rxe_odp_fault(struct rxe_odp *odp, unsigned long va, size_t length,
		  enum rxe_odp_access access, struct rxe_odp_retry *retry);
int rxe_odp_fault_page(struct rxe_odp *odp, unsigned long va,
		       enum rxe_odp_access access, bool around,
		       struct userfault_waiter *waiter);
unsigned long rxe_odp_snapshot(struct rxe_odp *odp, unsigned long va,
			       unsigned long end, unsigned long *step);

/* rxe_odp_pagefault.c */
int rxe_odp_park(struct rxe_odp *odp, struct rxe_odp_park *park,
		 unsigned long va, unsigned long end,
		 enum rxe_odp_access access);
void rxe_odp_park_advance(struct rxe_odp *odp, struct rxe_odp_park *park,
			  unsigned long va, unsigned long end,
			  enum rxe_odp_access access);
int rxe_odp_prefetch(struct rxe_odp *odp, unsigned long va, unsigned long end,
		     enum rxe_odp_access access);
void rxe_odp_kick(struct rxe_odp *odp, unsigned long start, unsigned long last);
bool rxe_odp_is_pending(struct rxe_odp *odp, unsigned long start,
			unsigned long last);
void rxe_odp_close(struct rxe_odp *odp);

/* rxe_odp_process.c */
struct rxe_odp_process *rxe_odp_process_get(struct mm_struct *mm);
void rxe_odp_process_put(struct rxe_odp_process *process);
int rxe_odp_init(void);
void rxe_odp_exit(void);

/* rxe_odp_mr.c */
static inline void rxe_odp_get(struct rxe_odp *odp)
{
	refcount_inc(&odp->refs);
}

void rxe_odp_put(struct rxe_odp *odp);
int rxe_odp_mr_init_user(struct rxe_dev *rxe, u64 start, u64 length,
			 u64 iova, int access_flags, struct rxe_mr *mr);
void rxe_odp_mr_cleanup(struct rxe_mr *mr);
int rxe_odp_fill_stat_mr_entry(struct sk_buff *msg, struct ib_mr *ibmr);

/* rxe_odp.c */
int rxe_odp_mr_copy(struct rxe_mr *mr, u64 iova, void *addr, int length,
		    enum rxe_mr_copy_dir dir, struct rxe_odp_park *park,
		    u64 total);
enum resp_states rxe_odp_atomic_op(struct rxe_mr *mr, u64 iova, int opcode,
				   u64 compare, u64 swap_add, u64 *orig_val,
				   struct rxe_odp_park *park);
enum resp_states rxe_odp_do_atomic_write(struct rxe_mr *mr, u64 iova,
					 u64 value, struct rxe_odp_park *park);
int rxe_odp_flush_pmem_iova(struct rxe_mr *mr, u64 iova, u64 length,
			    struct rxe_odp_park *park);

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
				  int length, enum rxe_mr_copy_dir dir,
				  struct rxe_odp_park *park, u64 total)
{
	return -EOPNOTSUPP;
}

static inline enum resp_states
rxe_odp_atomic_op(struct rxe_mr *mr, u64 iova, int opcode, u64 compare,
		  u64 swap_add, u64 *orig_val, struct rxe_odp_park *park)
{
	return RESPST_ERR_UNSUPPORTED_OPCODE;
}

static inline enum resp_states
rxe_odp_do_atomic_write(struct rxe_mr *mr, u64 iova, u64 value,
			struct rxe_odp_park *park)
{
	return RESPST_ERR_UNSUPPORTED_OPCODE;
}

static inline int rxe_odp_flush_pmem_iova(struct rxe_mr *mr, u64 iova,
					  u64 length,
					  struct rxe_odp_park *park)
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

static inline int rxe_odp_fill_stat_mr_entry(struct sk_buff *msg,
					     struct ib_mr *ibmr)
{
	return 0;
}

static inline int rxe_odp_init(void)
{
	return 0;
}

static inline void rxe_odp_exit(void)
{
}

#endif /* CONFIG_RDMA_RXE_ODP */

#endif /* RXE_ODP_H */
