/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FLUSH_H
#define FLUSH_H

/* FLUSH, by which end 0 of a connection asks end 1 for persistence. */

#include <errno.h>

#include "lab.h"
#include "rawq.h"

/* The library of this age has no FLUSH: the queue of end 0 is written to. */
static inline int flush_prepare(struct lab *lab, struct rc_pair *pair,
				struct rawq *rawq)
{
	struct ibv_qp_attr attr = {
		.qp_access_flags = ACCESS_ALL | RAWQ_ACCESS_FLUSH |
				   RAWQ_ACCESS_PERSIST,
	};
	/*
	 * No bytes, so neither address nor key matter (IBTA C9-88): it is one that
	 * nobody else uses.
	 */
	struct rc_op nothing = {
		.opcode = IBV_WR_RDMA_WRITE,
		.raddr = (uintptr_t)rawq,
	};
	struct ibv_wc wc;
	int err;

	err = lab_run_status(lab, &pair->end[0], &nothing, IBV_WC_SUCCESS,
			     &wc);
	if (err)
		return err;
	err = ibv_modify_qp(pair->end[1].qp, &attr, IBV_QP_ACCESS_FLAGS) ?:
	      -rawq_find_posted(rawq, pair->end[0].qp, nothing.raddr);
	return err ? fail(&lab->failure, err, "cannot prepare for FLUSH") : 0;
}

/* @level is IB_FLUSH_RANGE, or IB_FLUSH_MR: then the range does not matter. */
static inline int flush(struct lab *lab, struct rawq *rawq, struct ibv_mr *mr,
			uint64_t iova, uint32_t length, int level,
			enum ibv_wc_status want)
{
	struct ibv_wc wc;
	int err;

	err = rawq_flush_as(rawq, iova, mr->rkey, length, IB_FLUSH_PERSISTENT,
			    level);
	if (err)
		return fail(&lab->failure, err, "cannot post a FLUSH");
	err = rc_wait(&lab->pair.end[0].send, &wc, now_ns() + PATIENCE,
		      &lab->failure);
	if (err)
		return err;
	if (wc.status != want)
		return fail(&lab->failure, 0, "FLUSH: %s, and not %s",
			    ibv_wc_status_str(wc.status),
			    ibv_wc_status_str(want));
	return 0;
}

#endif
