// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/* Registers a region with a device. */
#include <errno.h>

#include "error.h"
#include "region.h"

struct ibv_mr *uffdmr_reg_mr(struct uffdmr *region, struct ibv_pd *pd,
			     int access)
{
	struct ibv_device_attr_ex attr;
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
	if (!(attr.odp_caps.general_caps & IBV_ODP_SUPPORT)) {
		uffdmr_set_error(EOPNOTSUPP, "%s has no on-demand paging",
				 ibv_get_device_name(pd->context->device));
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
