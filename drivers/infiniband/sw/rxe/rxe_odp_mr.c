// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Registration of memory that is paged on demand.
 */

#include <linux/sched/mm.h>
#include <linux/uaccess.h>

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

static void rxe_odp_free(struct rxe_odp *odp)
{
	rxe_odp_children_free(odp);
	mmdrop(odp->mm);
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

	mmgrab(current->mm);
	odp->mm = current->mm;
	odp->va = start;
	odp->implicit = !start && length == U64_MAX;
	rxe_odp_children_init(odp);

	if (!odp->implicit)
		err = rxe_odp_add_all(odp, length);
	else
		err = iova ? -EINVAL : 0;
	if (err) {
		rxe_odp_free(odp);
		return err;
	}

	mr->odp = odp;
	mr->ibmr.length = length;
	mr->ibmr.iova = iova;
	mr->ibmr.type = IB_MR_TYPE_USER;
	mr->state = RXE_MR_STATE_VALID;
	return 0;
}

/* When the last reference on @mr is gone. */
void rxe_odp_mr_cleanup(struct rxe_mr *mr)
{
	if (!mr->odp)
		return;

	rxe_odp_free(mr->odp);
	mr->odp = NULL;
}
