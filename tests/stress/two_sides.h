/* SPDX-License-Identifier: GPL-2.0 */
#ifndef STRESS_TWO_SIDES_H
#define STRESS_TWO_SIDES_H

/* The two devices that on-two-sides has set up, opened by one program. */
#include "machine.h"
#include "side.h"

static const char *const device[2] = { "rxe-left", "rxe-right" };

/* A completion, which has to be a success. */
static inline int wait_for(struct side *side, struct rc_cq *cq,
			   struct ibv_wc *wc)
{
	int err = rc_wait(cq, wc, now_ns() + PATIENCE, &side->lab.failure);

	if (!err && wc->status != IBV_WC_SUCCESS)
		err = fail(&side->lab.failure, 0, "completion %lu: %s",
			   wc->wr_id, ibv_wc_status_str(wc->status));
	return err;
}

#endif
