// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * ibv_advise_mr(): prefetch into memory that is paged on demand.
 */

#include "rxe.h"

struct rxe_odp_prefetch {
	struct rxe_mr	*mr;
	unsigned long	va;
	size_t		length;
};

struct rxe_odp_prefetch_work {
	struct work_struct	work;
	enum rxe_odp_access	access;
	u32			num_sge;
	struct rxe_odp_prefetch	sge[] __counted_by(num_sge);
};

/*
 * Check one element and take a reference on its memory region. The error codes
 * are those of ibv_advise_mr(3), where it has one.
 */
static int rxe_odp_prefetch_get(struct rxe_pd *pd, const struct ib_sge *sge,
				enum rxe_odp_access access,
				struct rxe_odp_prefetch *prefetch)
{
	struct rxe_mr *mr;
	int err;

	mr = lookup_mr(pd, 0, sge->lkey, RXE_LOOKUP_LOCAL);
	if (!mr) {
		rxe_dbg_pd(pd, "mr with lkey %x not found\n", sge->lkey);
		return -EFAULT;
	}

	if (!is_odp_mr(mr)) {
		rxe_dbg_mr(mr, "not paged on demand\n");
		err = -EINVAL;
	} else if (access == RXE_ODP_WRITE &&
		   !(mr->access & IB_ACCESS_LOCAL_WRITE)) {
		rxe_dbg_mr(mr, "missing write permission\n");
		err = -EPERM;
	} else if (mr_check_range(mr, sge->addr, sge->length) ||
		   !rxe_odp_is_user(mr->odp, rxe_odp_va(mr, sge->addr),
				    sge->length)) {
		err = -EFAULT;
	} else {
		prefetch->mr = mr;
		prefetch->va = rxe_odp_va(mr, sge->addr);
		prefetch->length = sge->length;
		return 0;
	}

	rxe_put(mr);
	return err;
}

static int rxe_odp_prefetch(const struct rxe_odp_prefetch *prefetch,
			    enum rxe_odp_access access)
{
	struct rxe_odp_retry retry = {};

	if (!prefetch->length)
		return 0;
	return rxe_odp_fault(prefetch->mr->odp, prefetch->va, prefetch->length,
			     access, &retry);
}

static void rxe_odp_prefetch_put(struct rxe_odp_prefetch_work *work)
{
	u32 i;

	for (i = 0; i < work->num_sge; i++)
		rxe_put(work->sge[i].mr);
	kvfree(work);
}

static void rxe_odp_prefetch_func(struct work_struct *w)
{
	struct rxe_odp_prefetch_work *work =
		container_of(w, struct rxe_odp_prefetch_work, work);
	u32 i;

	for (i = 0; i < work->num_sge; i++) {
		int err = rxe_odp_prefetch(&work->sge[i], work->access);

		/* Nobody is there to be told, the advice was taken. */
		if (err)
			rxe_dbg_mr(work->sge[i].mr, "prefetch err = %d\n", err);
	}
	rxe_odp_prefetch_put(work);
}

static int rxe_odp_prefetch_async(struct rxe_pd *pd, struct ib_sge *sg_list,
				  u32 num_sge, enum rxe_odp_access access)
{
	struct rxe_odp_prefetch_work *work;
	u32 i;
	int err;

	work = kvzalloc_flex(*work, sge, num_sge);
	if (!work)
		return -ENOMEM;

	INIT_WORK(&work->work, rxe_odp_prefetch_func);
	work->access = access;
	work->num_sge = num_sge;
	for (i = 0; i < num_sge; i++) {
		err = rxe_odp_prefetch_get(pd, &sg_list[i], access,
					   &work->sge[i]);
		if (err) {
			work->num_sge = i;
			rxe_odp_prefetch_put(work);
			return err;
		}
	}

	queue_work(rxe_wq, &work->work);
	return 0;
}

static int rxe_odp_prefetch_sync(struct rxe_pd *pd, struct ib_sge *sg_list,
				 u32 num_sge, enum rxe_odp_access access)
{
	u32 i;
	int err;

	for (i = 0; i < num_sge; i++) {
		struct rxe_odp_prefetch prefetch;

		err = rxe_odp_prefetch_get(pd, &sg_list[i], access, &prefetch);
		if (err)
			return err;

		err = rxe_odp_prefetch(&prefetch, access);
		rxe_put(prefetch.mr);
		if (err)
			return err;
	}
	return 0;
}

/**
 * rxe_ib_advise_mr - serve ibv_advise_mr(3)
 * @ibpd:	protection domain of the memory regions
 * @advice:	one of the three PREFETCH advices
 * @flags:	IB_UVERBS_ADVISE_MR_FLAG_FLUSH: return when it is done
 * @sg_list:	ranges, by lkey
 * @num_sge:	number of them
 * @attrs:	not used
 *
 * Context: Process context of the caller of the verb, may sleep.
 * Return:
 * * 0			- done, or queued without IB_UVERBS_ADVISE_MR_FLAG_FLUSH
 * * -EFAULT		- unknown key, range outside of its region, no memory there
 * * -EINVAL		- a region that is not paged on demand
 * * -EPERM		- PREFETCH_WRITE without the right to write
 * * -EOPNOTSUPP	- another advice
 * * -ENOMEM, -EBUSY, -EINTR - see rxe_odp_fault()
 */
int rxe_ib_advise_mr(struct ib_pd *ibpd, enum ib_uverbs_advise_mr_advice advice,
		     u32 flags, struct ib_sge *sg_list, u32 num_sge,
		     struct uverbs_attr_bundle *attrs)
{
	struct rxe_pd *pd = to_rpd(ibpd);
	enum rxe_odp_access access;

	switch (advice) {
	case IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH:
		access = RXE_ODP_READ;
		break;
	case IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE:
		access = RXE_ODP_WRITE;
		break;
	case IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT:
		access = RXE_ODP_SNAPSHOT;
		break;
	default:
		return -EOPNOTSUPP;
	}

	if (flags & IB_UVERBS_ADVISE_MR_FLAG_FLUSH)
		return rxe_odp_prefetch_sync(pd, sg_list, num_sge, access);
	return rxe_odp_prefetch_async(pd, sg_list, num_sge, access);
}
