// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Registration of memory that is paged on demand.
 */

#include <linux/uaccess.h>
#include <rdma/restrack.h>
#include <rdma/rdma_netlink.h>

#include "rxe.h"

/* All of an ordinary region is looked after from the start. */
static int rxe_odp_add_all(struct rxe_odp *odp, u64 length)
{
	unsigned long first = PAGE_ALIGN_DOWN(odp->va);

	/* So no address of it comes near the end of the address space. */
	if (!access_ok((void __user *)odp->va, length))
		return -EFAULT;

	return PTR_ERR_OR_ZERO(rxe_odp_child_create(odp, first,
					PAGE_ALIGN(odp->va + length)));
}

/**
 * rxe_odp_put - drop a reference that rxe_odp_get() took
 * @odp: the memory region, freed with the last
 *
 * Context: Process context, may sleep.
 */
void rxe_odp_put(struct rxe_odp *odp)
{
	if (!refcount_dec_and_test(&odp->refs))
		return;

	rxe_odp_children_free(odp);
	rxe_odp_process_put(odp->process);
	kfree(odp);
}

/**
 * rxe_odp_mr_init_user - make a memory region one that is paged on demand
 * @rxe:	device
 * @start:	user virtual address of the first byte
 * @length:	in bytes; U64_MAX with a @start of 0 is the whole address space,
 *		"implicit ODP"
 * @iova:	address by which @start is accessed
 * @access_flags: enum ib_access_flags
 * @mr:		the memory region, not visible to anybody yet
 *
 * Nothing is looked up or faulted in: what is not mapped at all shows when it is
 * accessed.
 *
 * Context: Process context of the owner of the memory.
 * Return: 0, -EINVAL for a range that is empty or an @iova with implicit ODP,
 * -EFAULT for a range that is not user space, -ENOMEM, -EINTR.
 */
int rxe_odp_mr_init_user(struct rxe_dev *rxe, u64 start, u64 length,
			 u64 iova, int access_flags, struct rxe_mr *mr)
{
	struct rxe_odp *odp;
	int err;

	rxe_mr_init(access_flags, mr);

	if (!length)
		return -EINVAL;

	odp = kzalloc_obj(*odp, GFP_KERNEL_ACCOUNT);
	if (!odp)
		return -ENOMEM;

	odp->process = rxe_odp_process_get(current->mm);
	if (!odp->process) {
		kfree(odp);
		return -ENOMEM;
	}
	refcount_set(&odp->refs, 1);
	odp->va = start;
	odp->implicit = !start && length == U64_MAX;
	spin_lock_init(&odp->faults_lock);
	odp->pagefaults = RB_ROOT_CACHED;
	rxe_odp_children_init(odp);

	if (!odp->implicit)
		err = rxe_odp_add_all(odp, length);
	else
		err = iova ? -EINVAL : 0;
	if (err) {
		rxe_odp_put(odp);
		return err;
	}

	mr->odp = odp;
	mr->ibmr.length = length;
	mr->ibmr.iova = iova;
	mr->ibmr.type = IB_MR_TYPE_USER;
	mr->state = RXE_MR_STATE_VALID;
	return 0;
}

/* What rdma-statistic(8) shows of @ibmr. */
int rxe_odp_fill_stat_mr_entry(struct sk_buff *msg, struct ib_mr *ibmr)
{
	struct rxe_odp *odp = to_rmr(ibmr)->odp;
	struct nlattr *table;

	if (!odp)
		return 0;

	table = nla_nest_start(msg, RDMA_NLDEV_ATTR_STAT_HWCOUNTERS);
	if (!table)
		return -EMSGSIZE;

	if (rdma_nl_stat_hwcounter_entry(msg, "page_faults",
					 atomic64_read(&odp->stats.faults)) ||
	    rdma_nl_stat_hwcounter_entry(msg, "page_invalidations",
					 atomic64_read(&odp->stats.invalidations)) ||
	    rdma_nl_stat_hwcounter_entry(msg, "page_prefetch",
					 atomic64_read(&odp->stats.prefetch))) {
		nla_nest_cancel(msg, table);
		return -EMSGSIZE;
	}

	nla_nest_end(msg, table);
	return 0;
}

/* When the last reference on @mr is gone. */
void rxe_odp_mr_cleanup(struct rxe_mr *mr)
{
	if (!mr->odp)
		return;

	rxe_odp_close(mr->odp);
	rxe_odp_put(mr->odp);
	mr->odp = NULL;
}
