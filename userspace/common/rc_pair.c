// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "rc_pair.h"

#define PSN(end)	(0x1000 * (1 + (end)))
#define MAX_GIDS	16
#define UD_QKEY		0x1ee7

const struct rc_params rc_params_default = {
	.timeout = 20,
	.retry_cnt = 7,
	.rnr_retry = 7,
	.min_rnr_timer = 12,
	.max_rd_atomic = 16,
	.access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
		  IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC,
	.queue = 64,
	.sge = 4,
	.inline_data = 64,
};

uint8_t rc_timeout(uint64_t ns)
{
	uint8_t exponent = 1;

	while (exponent < 31 && (4096ULL << exponent) < ns)
		exponent++;
	return exponent;
}

static enum ibv_qp_type transport(const struct rc_params *params)
{
	return params->transport ?: IBV_QPT_RC;
}

int rc_cq_open(struct rc_cq *cq, struct ibv_context *ctx, uint32_t depth,
	       struct failure *failure)
{
	cq->channel = ibv_create_comp_channel(ctx);
	if (!cq->channel)
		return fail(failure, errno,
			    "cannot create a completion channel");
	cq->cq = ibv_create_cq(ctx, depth, NULL, cq->channel, 0);
	if (!cq->cq)
		return fail(failure, errno, "cannot create a completion queue");
	return 0;
}

void rc_cq_close(struct rc_cq *cq)
{
	if (cq->cq)
		ibv_destroy_cq(cq->cq);
	if (cq->channel)
		ibv_destroy_comp_channel(cq->channel);
	*cq = (struct rc_cq){ 0 };
}

static int end_open(struct rc_pair *pair, int i, struct ibv_pd *pd,
		    const struct rc_params *params, struct failure *failure)
{
	struct rc_end *end = &pair->end[i];
	struct ibv_qp_init_attr attr = {
		.srq = i ? params->srq : NULL,
		.cap = {
			.max_send_wr = params->queue,
			.max_recv_wr = params->queue,
			.max_send_sge = params->sge,
			.max_recv_sge = params->sge,
			.max_inline_data = params->inline_data,
		},
		.qp_type = transport(params),
	};
	int err;

	end->shared = !i && params->send;
	if (end->shared)
		end->send = *params->send;
	err = end->shared ? 0 : rc_cq_open(&end->send, pd->context,
					   params->queue, failure);
	if (err)
		return err;
	err = rc_cq_open(&end->recv, pd->context, params->queue, failure);
	if (err)
		return err;
	attr.send_cq = end->send.cq;
	attr.recv_cq = end->recv.cq;
	end->qp = ibv_create_qp(pd, &attr);
	if (!end->qp)
		return fail(failure, errno, "cannot create a queue pair");
	return 0;
}

static int to_init(struct rc_pair *pair, int i, const struct rc_params *params)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = pair->dev->port,
		.qp_access_flags = params->access,
		.qkey = UD_QKEY,
	};

	return ibv_modify_qp(pair->end[i].qp, &attr,
			     IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
			     (transport(params) == IBV_QPT_UD ?
			      IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS));
}

/* More than the device can do is cut to what it can. */
static uint8_t rd_atomic(const struct rc_pair *pair,
			 const struct rc_params *params)
{
	int most = pair->dev->attr.orig_attr.max_qp_rd_atom;

	return params->max_rd_atomic < most ? params->max_rd_atomic : most;
}

/* How to find the other end, which has no connection. */
static int address(struct rc_pair *pair, int i, struct ibv_ah_attr *attr)
{
	struct rc_end *end = &pair->end[i];

	if (end->ah)
		ibv_destroy_ah(end->ah);
	end->ah = ibv_create_ah(end->qp->pd, attr);
	end->to = pair->end[!i].qp->qp_num;
	return end->ah ? 0 : errno;
}

static int to_rtr(struct rc_pair *pair, int i, const struct rc_params *params,
		  int gid_index, const union ibv_gid *gid)
{
	struct rdma_dev *dev = pair->dev;
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = params->mtu ? params->mtu :
			    dev->port_attr.active_mtu,
		.dest_qp_num = pair->end[!i].qp->qp_num,
		.rq_psn = PSN(!i),
		.max_dest_rd_atomic = rd_atomic(pair, params),
		.min_rnr_timer = params->min_rnr_timer,
		.ah_attr = {
			.dlid = dev->port_attr.lid,
			.port_num = dev->port,
			.is_global = rdma_dev_is_ethernet(dev),
			.grh = {
				.dgid = *gid,
				.sgid_index = gid_index,
				.hop_limit = 64,
			},
		},
	};

	int mask = IBV_QP_STATE;

	if (transport(params) == IBV_QPT_UD)
		return ibv_modify_qp(pair->end[i].qp, &attr, mask) ?:
		       address(pair, i, &attr.ah_attr);
	mask |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
	if (transport(params) == IBV_QPT_RC)
		mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
	return ibv_modify_qp(pair->end[i].qp, &attr, mask);
}

static int to_rts(struct rc_pair *pair, int i, const struct rc_params *params)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTS,
		.timeout = params->timeout,
		.retry_cnt = params->retry_cnt,
		.rnr_retry = params->rnr_retry,
		.sq_psn = PSN(i),
		.max_rd_atomic = rd_atomic(pair, params),
	};

	int mask = IBV_QP_STATE | IBV_QP_SQ_PSN;

	if (transport(params) == IBV_QPT_RC)
		mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			IBV_QP_MAX_QP_RD_ATOMIC;
	return ibv_modify_qp(pair->end[i].qp, &attr, mask);
}

static int reset(struct rc_pair *pair, int i)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };

	return ibv_modify_qp(pair->end[i].qp, &attr, IBV_QP_STATE);
}

static int connect_over(struct rc_pair *pair, const struct rc_params *params,
			int gid_index)
{
	struct rdma_dev *dev = pair->dev;
	union ibv_gid gid;
	int i, err;

	if (ibv_query_gid(dev->ctx, dev->port, gid_index, &gid))
		return -EADDRNOTAVAIL;
	/* These return positive error numbers, as ibv_modify_qp() does. */
	for (i = 0; i < 2; i++) {
		err = to_init(pair, i, params) ?:
		      to_rtr(pair, i, params, gid_index, &gid);
		if (err)
			return -err;
	}
	for (i = 0; i < 2; i++) {
		err = to_rts(pair, i, params);
		if (err)
			return -err;
	}
	dev->gid_index = gid_index;
	dev->gid = gid;
	return 0;
}

static int connect_pair(struct rc_pair *pair, const struct rc_params *params,
			struct failure *failure)
{
	int indexes[MAX_GIDS];
	int i, n, err = 0;

	n = rdma_dev_gids(pair->dev, indexes, MAX_GIDS, failure);
	if (n < 0)
		return n;
	/* A GID may have no route back to itself: the next one may. */
	for (i = 0; i < n; i++) {
		err = connect_over(pair, params, indexes[i]);
		if (!err)
			return 0;
		if (reset(pair, 0) || reset(pair, 1))
			break;
	}
	return fail(failure, -err, "cannot connect %s to itself over GID %d",
		    rdma_dev_name(pair->dev), indexes[i < n ? i : n - 1]);
}

int rc_pair_reset(struct rc_pair *pair, const struct rc_params *params,
		  struct failure *failure)
{
	int i, err;

	for (i = 0; i < 2; i++) {
		err = reset(pair, i);
		if (err)
			return fail(failure, err, "cannot reset a queue pair");
	}
	return connect_pair(pair, params, failure);
}

int rc_pair_open(struct rc_pair *pair, struct rdma_dev *dev, struct ibv_pd *pd,
		 const struct rc_params *params, struct failure *failure)
{
	int i, err;

	*pair = (struct rc_pair){ .dev = dev };
	for (i = 0; i < 2; i++) {
		err = end_open(pair, i, pd, params, failure);
		if (err)
			goto close;
	}
	err = connect_pair(pair, params, failure);
	if (err)
		goto close;
	return 0;
close:
	rc_pair_close(pair);
	return err;
}

void rc_pair_close(struct rc_pair *pair)
{
	int i;

	for (i = 0; i < 2; i++)
		if (pair->end[i].qp)
			ibv_destroy_qp(pair->end[i].qp);
	for (i = 0; i < 2; i++)
		if (pair->end[i].ah)
			ibv_destroy_ah(pair->end[i].ah);
	for (i = 0; i < 2; i++) {
		if (!pair->end[i].shared)
			rc_cq_close(&pair->end[i].send);
		rc_cq_close(&pair->end[i].recv);
	}
	*pair = (struct rc_pair){ 0 };
}

int rc_post(struct rc_end *end, const struct rc_op *op,
	    struct failure *failure)
{
	struct ibv_sge sge = {
		.addr = op->laddr,
		.length = op->length,
		.lkey = op->lkey,
	};
	struct ibv_send_wr wr = {
		.sg_list = op->sge ? op->sge : &sge,
		.num_sge = op->sge ? op->num_sge : 1,
		.opcode = op->opcode,
		.send_flags = IBV_SEND_SIGNALED | op->flags,
		.imm_data = op->imm,
	};
	struct ibv_send_wr *bad;
	int err;

	if (end->ah) {
		wr.wr.ud.ah = end->ah;
		wr.wr.ud.remote_qpn = end->to;
		wr.wr.ud.remote_qkey = UD_QKEY;
	} else if (op->opcode == IBV_WR_ATOMIC_CMP_AND_SWP ||
		   op->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
		wr.wr.atomic.remote_addr = op->raddr;
		wr.wr.atomic.rkey = op->rkey;
		wr.wr.atomic.compare_add = op->compare_add;
		wr.wr.atomic.swap = op->swap;
	} else {
		wr.wr.rdma.remote_addr = op->raddr;
		wr.wr.rdma.rkey = op->rkey;
	}
	err = ibv_post_send(end->qp, &wr, &bad);
	if (err)
		return fail(failure, err, "cannot post a work request");
	return 0;
}

int rc_post_recv(struct rc_end *end, struct ibv_sge *sge, int num_sge,
		 struct failure *failure)
{
	struct ibv_recv_wr wr = { .sg_list = sge, .num_sge = num_sge };
	struct ibv_recv_wr *bad;
	int err;

	err = end->qp->srq ? ibv_post_srq_recv(end->qp->srq, &wr, &bad) :
			     ibv_post_recv(end->qp, &wr, &bad);
	if (err)
		return fail(failure, err, "cannot post a receive");
	return 0;
}

/* Sleep until the channel speaks or the deadline passes. */
static int wait_event(struct rc_cq *cq, uint64_t deadline,
		      struct failure *failure)
{
	struct pollfd fd = { .fd = cq->channel->fd, .events = POLLIN };
	struct ibv_cq *event_cq;
	void *context;
	int n;

	if (now_ns() >= deadline)
		return fail(failure, ETIMEDOUT, "no completion came");
	n = poll(&fd, 1, poll_ms(deadline));
	if (n < 0 && errno != EINTR)
		return fail(failure, errno, "cannot wait for a completion");
	if (n <= 0)
		return 0;
	if (ibv_get_cq_event(cq->channel, &event_cq, &context))
		return fail(failure, errno, "cannot read a completion event");
	ibv_ack_cq_events(event_cq, 1);
	return 0;
}

int rc_wait(struct rc_cq *cq, struct ibv_wc *wc, uint64_t deadline,
	    struct failure *failure)
{
	int n, err;

	for (;;) {
		n = ibv_poll_cq(cq->cq, 1, wc);
		if (n)
			break;
		/* What arrives between the poll and the request is no event. */
		err = ibv_req_notify_cq(cq->cq, 0);
		if (err)
			return fail(failure, err,
				    "cannot ask for completion events");
		n = ibv_poll_cq(cq->cq, 1, wc);
		if (n)
			break;
		err = wait_event(cq, deadline, failure);
		if (err)
			return err;
	}
	return n < 0 ? fail(failure, EIO, "cannot poll a completion queue") : 0;
}
