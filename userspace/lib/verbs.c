// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/* Registers a region with a device. */
#include <errno.h>

#include "error.h"
#include "region.h"

/*
 * What peers may do with the memory, and RC cannot do on demand; NULL if there is
 * nothing. Of a device that has no RC on demand other transports are meant.
 */
static const char *lacks(const struct ibv_odp_caps *caps, int access)
{
	uint32_t rc = caps->per_transport_caps.rc_odp_caps;

	if (!(caps->general_caps & IBV_ODP_SUPPORT))
		return "paging";
	if (rc && access & IBV_ACCESS_REMOTE_READ &&
	    !(rc & IBV_ODP_SUPPORT_READ))
		return "RDMA READ";
	if (rc && access & IBV_ACCESS_REMOTE_WRITE &&
	    !(rc & IBV_ODP_SUPPORT_WRITE))
		return "RDMA WRITE";
	if (rc && access & IBV_ACCESS_REMOTE_ATOMIC &&
	    !(rc & IBV_ODP_SUPPORT_ATOMIC))
		return "atomics";
	return NULL;
}

struct ibv_mr *uffdmr_reg_mr(struct uffdmr *region, struct ibv_pd *pd,
			     int access)
{
	struct ibv_device_attr_ex attr;
	const char *lacking;
	struct ibv_mr *mr;
	int err;

	if (region_check(region))
		return NULL;
	err = ibv_query_device_ex(pd->context, NULL, &attr);
	if (err) {
		uffdmr_set_error(err, "cannot query %s",
				 ibv_get_device_name(pd->context->device));
		return NULL;
	}
	lacking = lacks(&attr.odp_caps, access);
	if (lacking) {
		uffdmr_set_error(EOPNOTSUPP, "%s has no on-demand %s",
				 ibv_get_device_name(pd->context->device),
				 lacking);
		return NULL;
	}
	mr = ibv_reg_mr(pd, region->addr, region->attr.length,
			access | IBV_ACCESS_ON_DEMAND);
	if (!mr)
		uffdmr_set_error(errno, "%s cannot register %zu bytes on demand",
				 ibv_get_device_name(pd->context->device),
				 region->attr.length);
	return mr;
}
