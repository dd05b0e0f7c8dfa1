/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PEER_H
#define PEER_H

/*
 * A connection between two processes, each of which has a lab: one makes a queue
 * pair, tells the other its number, and connects it to what it hears back.
 */

#include "lab.h"

static inline struct ibv_qp *make_qp(struct lab *lab)
{
	struct ibv_qp_init_attr attr = {
		.cap = { 16, 16, 1, 1, 0 },
		.qp_type = IBV_QPT_RC,
		.send_cq = lab->pair.end[0].send.cq,
		.recv_cq = lab->pair.end[0].recv.cq,
	};
	struct ibv_qp *qp = ibv_create_qp(lab->pd, &attr);

	if (!qp)
		fail(&lab->failure, errno, "cannot create a queue pair");
	return qp;
}

static inline int connect_qp(struct lab *lab, struct ibv_qp *qp, uint32_t peer)
{
	const struct rc_params *params = &rc_params_default;
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = lab->dev.port,
		.qp_access_flags = params->access,
		.path_mtu = IBV_MTU_4096,
		.dest_qp_num = peer,
		.max_dest_rd_atomic = 1,
		.max_rd_atomic = 1,
		.min_rnr_timer = params->min_rnr_timer,
		.timeout = params->timeout,
		.retry_cnt = params->retry_cnt,
		.rnr_retry = params->rnr_retry,
		.ah_attr = {
			.port_num = lab->dev.port,
			.is_global = 1,
			.grh = {
				.dgid = lab->dev.gid,
				.sgid_index = lab->dev.gid_index,
				.hop_limit = 64,
			},
		},
	};
	int err;

	err = ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			    IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	attr.qp_state = IBV_QPS_RTR;
	err = err ?: ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_AV |
				   IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
				   IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
				   IBV_QP_MIN_RNR_TIMER);
	attr.qp_state = IBV_QPS_RTS;
	err = err ?: ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT |
				   IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				   IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
	return err ? fail(&lab->failure, err, "cannot connect") : 0;
}

/* The lab's own completion queues, and this queue pair. */
static inline struct rc_end peer_end(struct lab *lab, struct ibv_qp *qp)
{
	struct rc_end end = lab->pair.end[0];

	end.qp = qp;
	return end;
}

/* Between the start of @local and an address in the other process. */
static inline struct rc_op peer_op(enum ibv_wr_opcode opcode, struct mem *local,
				   uint32_t rkey, uint64_t addr, size_t len)
{
	struct mem remote = {
		.iova = addr,
		.mr = &(struct ibv_mr){ .rkey = rkey },
	};

	return mem_op(opcode, local, 0, &remote, 0, len);
}

#endif
