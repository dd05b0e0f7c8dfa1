// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdio.h>

#include "refused.h"

void refused(char *text, size_t size, const struct rdma_dev *dev,
	     const char *memory, const struct ibv_wc *wc, uint64_t asked)
{
	char why[160];

	if (asked)
		snprintf(why, sizeof(why),
			 "although the handler was asked for %" PRIu64 " pages",
			 asked);
	else if (rdma_dev_is_rxe(dev))
		snprintf(why, sizeof(why),
			 "this kernel's rxe faults with hmm_range_fault(), which cannot wait for userfaultfd");
	else
		snprintf(why, sizeof(why),
			 "the driver did not ask userfaultfd for any page");
	snprintf(text, size, "%s that userfaultfd owns: %s: %s", memory,
		 ibv_wc_status_str(wc->status), why);
}
