// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * ibv_advise_mr(): prefetch into memory that is paged on demand.
 */

#include "rxe.h"

/* One element of the list. Holds @odp, so that nobody waits to deregister it. */
struct rxe_odp_prefetch {
	struct rxe_odp	*odp;
	unsigned long	va;
	size_t		length;
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
		rxe_odp_get(mr->odp);
		prefetch->odp = mr->odp;
		prefetch->va = rxe_odp_va(mr, sge->addr);
		prefetch->length = sge->length;
		err = 0;
	}

	rxe_put(mr);
	return err;
}

static int rxe_odp_prefetch_async(struct rxe_pd *pd, struct ib_sge *sg_list,
				  u32 num_sge, enum rxe_odp_access access)
{
	struct rxe_odp_prefetch *list;
	u32 i, n;
	int err = 0;

	/* All of them are checked first: it is all or nothing. */
	list = kvmalloc_objs(*list, num_sge);
	if (!list)
		return -ENOMEM;

	for (n = 0; n < num_sge; n++) {
		err = rxe_odp_prefetch_get(pd, &sg_list[n], access, &list[n]);
		if (err)
			break;
	}

	for (i = 0; i < n; i++) {
		struct rxe_odp_prefetch *p = &list[i];

		if (!err && p->length)
			err = rxe_odp_prefetch(p->odp, PAGE_ALIGN_DOWN(p->va),
					       PAGE_ALIGN(p->va + p->length),
					       access);
		rxe_odp_put(p->odp);
	}
	kvfree(list);
	return err;
}

static int rxe_odp_prefetch_sync(struct rxe_pd *pd, struct ib_sge *sg_list,
				 u32 num_sge, enum rxe_odp_access access)
{
	u32 i;
	int err;

	for (i = 0; i < num_sge; i++) {
		struct rxe_odp_retry retry = {};
		struct rxe_odp_prefetch p;

		err = rxe_odp_prefetch_get(pd, &sg_list[i], access, &p);
		if (err)
			return err;

		if (p.length)
			err = rxe_odp_fault(p.odp, p.va, p.length, access,
					    &retry);
		if (!err)
			atomic64_add(PFN_UP(p.va + p.length) - PFN_DOWN(p.va),
				     &p.odp->stats.prefetch);
		rxe_odp_put(p.odp);
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
