/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SIDE_H
#define SIDE_H

/*
 * One side of a connection whose other side is another device, of this program or
 * of one that runs elsewhere.
 */
#include "lab.h"
#include "rawq.h"

#define FLIGHT	8	/* READs and atomics at once */

/* One end: a lab of its own without the pair, as that has one device only. */
struct side {
	struct lab lab;
	struct rc_end end;
	struct rawq rawq;
	struct mem *mem;
};

#define ACCESS	(ACCESS_ALL | RAWQ_ACCESS_FLUSH)

static inline int open_cq(struct side *side, struct rc_cq *cq)
{
	struct ibv_context *ctx = side->lab.dev.ctx;

	cq->channel = ibv_create_comp_channel(ctx);
	if (cq->channel)
		cq->cq = ibv_create_cq(ctx, 64, NULL, cq->channel, 0);
	return cq->cq ? 0 : fail(&side->lab.failure, errno, "cannot create a CQ");
}

static inline int open_end(struct side *side)
{
	struct lab *lab = &side->lab;
	struct ibv_qp_init_attr init = {
		.cap = {
			.max_send_wr = 64,
			.max_recv_wr = 64,
			.max_send_sge = 4,
			.max_recv_sge = 4,
			.max_inline_data = 64,
		},
		.qp_type = IBV_QPT_RC,
	};
	struct rawq_mappings before;
	int err;

	err = open_cq(side, &side->end.send) ?: open_cq(side, &side->end.recv);
	if (err)
		return err;
	init.send_cq = side->end.send.cq;
	init.recv_cq = side->end.recv.cq;
	err = rawq_mappings(&before);
	if (err)
		return fail(&lab->failure, -err, "cannot read the mappings");
	side->end.qp = ibv_create_qp(lab->pd, &init);
	if (!side->end.qp)
		return fail(&lab->failure, errno, "cannot create a queue pair");
	err = rawq_find(&side->rawq, side->end.qp, &before);
	if (err)
		return fail(&lab->failure, -err, "cannot find the queues");
	return 0;
}

static inline int open_side(struct side *side, const char *name)
{
	struct lab *lab = &side->lab;
	int gid, err;

	*lab = (struct lab){ .page_size = sysconf(_SC_PAGESIZE) };
	err = rdma_dev_open(&lab->dev, name, 1, -1, &lab->failure);
	if (err)
		return err;
	if (rdma_dev_gids(&lab->dev, &gid, 1, &lab->failure) != 1)
		return -EIO;
	lab->dev.gid_index = gid;
	lab->pd = ibv_alloc_pd(lab->dev.ctx);
	if (!lab->pd)
		return fail(&lab->failure, errno, "cannot allocate a PD");
	return open_end(side);
}

/* What the other side has to know for a connection. */
struct address {
	union ibv_gid gid;
	uint32_t qpn, psn;
};

static inline int address_of(struct side *side, uint32_t psn,
			     struct address *address)
{
	struct rdma_dev *dev = &side->lab.dev;

	address->qpn = side->end.qp->qp_num;
	address->psn = psn;
	if (ibv_query_gid(dev->ctx, 1, dev->gid_index, &address->gid))
		return fail(&side->lab.failure, errno, "cannot query a GID");
	return 0;
}

static inline int connect_to(struct side *side, uint32_t psn,
			     const struct address *other,
			     uint8_t min_rnr_timer)
{
	struct ibv_qp_attr init = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = ACCESS,
	};
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = other->qpn,
		.rq_psn = other->psn,
		.max_dest_rd_atomic = FLIGHT,
		.min_rnr_timer = min_rnr_timer,
		.ah_attr = {
			.port_num = 1,
			.is_global = 1,
			.grh = {
				.dgid = other->gid,
				.sgid_index = side->lab.dev.gid_index,
				.hop_limit = 64,
			},
		},
	};
	/* A resend after 67 ms, and patience for a slow machine. */
	struct ibv_qp_attr rts = {
		.qp_state = IBV_QPS_RTS,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.sq_psn = psn,
		.max_rd_atomic = FLIGHT,
	};
	int err;

	err = ibv_modify_qp(side->end.qp, &init,
			    IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
			    IBV_QP_ACCESS_FLAGS) ?:
	      ibv_modify_qp(side->end.qp, &rtr,
			    IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
			    IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			    IBV_QP_MAX_DEST_RD_ATOMIC |
			    IBV_QP_MIN_RNR_TIMER) ?:
	      ibv_modify_qp(side->end.qp, &rts,
			    IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
			    IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
			    IBV_QP_MAX_QP_RD_ATOMIC);
	return err ? fail(&side->lab.failure, err, "cannot connect") : 0;
}

static inline int connect_side(struct side *side, struct side *other,
			       uint32_t psn, uint32_t other_psn)
{
	struct address address;
	int err = address_of(other, other_psn, &address);

	if (err)
		return fail(&side->lab.failure, 0, "%s",
			    other->lab.failure.text);
	return connect_to(side, psn, &address, 12);
}

static inline void close_cq(struct rc_cq *cq)
{
	if (cq->cq)
		ibv_destroy_cq(cq->cq);
	if (cq->channel)
		ibv_destroy_comp_channel(cq->channel);
}

/* Gives pages up first, as lab_close() does. */
static inline void stop_source(struct side *side)
{
	if (!side->mem)
		return;
	page_source_stop(side->mem->source);
	side->mem->source = NULL;
}

static inline void close_end(struct side *side)
{
	if (side->end.qp)
		ibv_destroy_qp(side->end.qp);
	close_cq(&side->end.send);
	close_cq(&side->end.recv);
	side->end = (struct rc_end){ 0 };
}

#endif
