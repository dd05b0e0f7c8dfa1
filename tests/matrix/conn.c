// SPDX-License-Identifier: GPL-2.0
/* Two queue pairs of one device, of any transport, connected to each other. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "matrix.h"

#define DEPTH		16
#define CQ_DEPTH	64
#define PSN(end)	(0x2000 * (1 + (end)))

static int open_cq(struct worker *worker, struct rc_cq *cq,
		   struct failure *failure)
{
	cq->channel = ibv_create_comp_channel(worker->dev.ctx);
	if (!cq->channel)
		return fail(failure, errno,
			    "cannot create a completion channel");
	cq->cq = ibv_create_cq(worker->dev.ctx, CQ_DEPTH, NULL, cq->channel, 0);
	if (!cq->cq)
		return fail(failure, errno, "cannot create a completion queue");
	return 0;
}

static void find_gids(struct worker *worker)
{
	static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct ibv_gid_entry entries[64];
	ssize_t i, n;

	worker->gid_index[0] = -1;
	worker->gid_index[1] = -1;
	n = ibv_query_gid_table(worker->dev.ctx, entries, ARRAY_SIZE(entries),
				0);
	for (i = 0; i < n; i++) {
		const uint8_t *raw = entries[i].gid.raw;
		int v6 = !!memcmp(raw, v4_mapped, sizeof(v4_mapped));

		if (entries[i].gid_type != IBV_GID_TYPE_ROCE_V2 ||
		    worker->gid_index[v6] >= 0 ||
		    (raw[0] == 0xfe && (raw[1] & 0xc0) == 0x80))
			continue;
		worker->gid_index[v6] = entries[i].gid_index;
		worker->gid[v6] = entries[i].gid;
	}
}

int worker_open(struct worker *worker, uint64_t patience_ns,
		struct failure *failure)
{
	int i, err;

	memset(worker, 0, sizeof(*worker));
	worker->patience_ns = patience_ns;
	worker->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (worker->pagemap < 0)
		return fail(failure, errno, "cannot open /proc/self/pagemap");
	err = rdma_dev_open(&worker->dev, NULL, 1, -1, failure);
	if (err)
		return err;
	worker->pd = ibv_alloc_pd(worker->dev.ctx);
	if (!worker->pd)
		return fail(failure, errno,
			    "cannot allocate a protection domain");
	for (i = 0; i < 2; i++) {
		err = open_cq(worker, &worker->end[i].send, failure) ?:
		      open_cq(worker, &worker->end[i].recv, failure);
		if (err)
			return err;
	}
	find_gids(worker);
	return 0;
}

static int create_qp(struct cell *cell, struct conn *conn, int i)
{
	struct worker *worker = conn->worker;
	struct ibv_qp_init_attr_ex attr = {
		.send_cq = worker->end[i].send.cq,
		.recv_cq = worker->end[i].recv.cq,
		.srq = i ? conn->srq : NULL,
		.cap = {
			.max_send_wr = DEPTH,
			.max_recv_wr = DEPTH,
			.max_send_sge = MAX_PIECES,
			.max_recv_sge = MAX_PIECES,
			.max_inline_data = 64,
		},
		.qp_type = conn->transport,
		.comp_mask = IBV_QP_INIT_ATTR_PD,
		.pd = worker->pd,
	};

	/* There is no other way to post one; the old one works beside it. */
	if (cell->verb->opcode == IBV_WR_ATOMIC_WRITE) {
		attr.comp_mask |= IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
		attr.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE |
				      IBV_QP_EX_WITH_ATOMIC_WRITE;
	}
	conn->qp[i] = ibv_create_qp_ex(worker->dev.ctx, &attr);
	if (!conn->qp[i])
		return fail(cell->failure, errno, "cannot create a queue pair");
	return 0;
}

static int to_init(struct conn *conn, int i)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = conn->worker->dev.port,
		.qp_access_flags = IBV_ACCESS_LOCAL_WRITE |
				   IBV_ACCESS_REMOTE_READ |
				   IBV_ACCESS_REMOTE_WRITE |
				   IBV_ACCESS_REMOTE_ATOMIC |
				   ACCESS_FLUSH_GLOBAL |
				   ACCESS_FLUSH_PERSISTENT,
		.qkey = UD_QKEY,
	};

	return ibv_modify_qp(conn->qp[i], &attr,
			     IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
			     (conn->transport == IBV_QPT_UD ? IBV_QP_QKEY :
			      IBV_QP_ACCESS_FLAGS));
}

static struct ibv_ah_attr path(const struct conn *conn, int v6)
{
	return (struct ibv_ah_attr){
		.port_num = conn->worker->dev.port,
		.is_global = 1,
		.grh = {
			.dgid = conn->worker->gid[v6],
			.sgid_index = conn->worker->gid_index[v6],
			.hop_limit = 64,
		},
	};
}

static int to_rtr(struct conn *conn, int i, int v6)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_256,
		.dest_qp_num = conn->qp[!i]->qp_num,
		.rq_psn = PSN(!i),
		.max_dest_rd_atomic = 16,
		.min_rnr_timer = 12,
		.ah_attr = path(conn, v6),
	};
	int mask = IBV_QP_STATE;

	while (128 << attr.path_mtu < conn->mtu)
		attr.path_mtu++;
	if (conn->transport != IBV_QPT_UD)
		mask |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
			IBV_QP_RQ_PSN;
	if (conn->transport == IBV_QPT_RC)
		mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
	return ibv_modify_qp(conn->qp[i], &attr, mask);
}

static int to_rts(struct conn *conn, int i)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTS,
		/* A resend after 4.3 s: no page comes that late. */
		.timeout = 20,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.sq_psn = PSN(i),
		.max_rd_atomic = 16,
	};
	int mask = IBV_QP_STATE | IBV_QP_SQ_PSN;

	if (conn->transport == IBV_QPT_RC)
		mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			IBV_QP_MAX_QP_RD_ATOMIC;
	return ibv_modify_qp(conn->qp[i], &attr, mask);
}

static int create_srq(struct cell *cell, struct conn *conn)
{
	struct ibv_srq_init_attr attr = {
		.attr = { .max_wr = DEPTH, .max_sge = MAX_PIECES },
	};

	conn->srq = ibv_create_srq(conn->worker->pd, &attr);
	return conn->srq ? 0 : fail(cell->failure, errno,
				    "cannot create a shared receive queue");
}

static int create_ah(struct cell *cell, struct conn *conn, int v6)
{
	struct ibv_ah_attr attr = path(conn, v6);

	conn->ah = ibv_create_ah(conn->worker->pd, &attr);
	return conn->ah ? 0 : fail(cell->failure, errno,
				   "cannot create an address handle");
}

/* Completions of the cell before, whose queue pairs are gone. */
static void drain(struct worker *worker)
{
	struct ibv_wc wc;
	int i;

	for (i = 0; i < 2; i++) {
		while (ibv_poll_cq(worker->end[i].send.cq, 1, &wc) > 0)
			;
		while (ibv_poll_cq(worker->end[i].recv.cq, 1, &wc) > 0)
			;
	}
}

int conn_open(struct cell *cell, struct conn *conn, int mtu, int ip)
{
	int v6 = ip == 6;
	int i, err;

	memset(conn, 0, sizeof(*conn));
	conn->worker = cell->worker;
	conn->transport = cell->verb->transport;
	conn->mtu = mtu;
	if (cell->worker->gid_index[v6] < 0)
		return fail(cell->failure, EADDRNOTAVAIL,
			    "the device has no IPv%d GID", ip);
	drain(cell->worker);
	err = cell->verb->srq ? create_srq(cell, conn) : 0;
	for (i = 0; !err && i < 2; i++)
		err = create_qp(cell, conn, i);
	if (!err && conn->transport == IBV_QPT_UD)
		err = create_ah(cell, conn, v6);
	if (err)
		return err;
	for (i = 0; !err && i < 2; i++)
		err = to_init(conn, i) ?: to_rtr(conn, i, v6);
	for (i = 0; !err && i < 2; i++)
		err = to_rts(conn, i);
	return err ? fail(cell->failure, err, "cannot connect the queue pairs") :
		     0;
}

void conn_close(struct conn *conn)
{
	int i;

	for (i = 0; i < conn->mws; i++)
		ibv_dealloc_mw(conn->mw[i]);
	if (conn->ah)
		ibv_destroy_ah(conn->ah);
	for (i = 0; i < 2; i++)
		if (conn->qp[i])
			ibv_destroy_qp(conn->qp[i]);
	if (conn->srq)
		ibv_destroy_srq(conn->srq);
	memset(conn, 0, sizeof(*conn));
}

static int post_bind(struct conn *conn, struct ibv_mw *mw, uint32_t rkey,
		     const struct ibv_mw_bind_info *info)
{
	struct ibv_send_wr wr = {
		.opcode = IBV_WR_BIND_MW,
		.send_flags = IBV_SEND_SIGNALED,
		.bind_mw = { .mw = mw, .rkey = rkey, .bind_info = *info },
	};
	struct ibv_send_wr *bad;

	return ibv_post_send(conn->qp[1], &wr, &bad);
}

int conn_bind(struct cell *cell, struct conn *conn, struct region *region,
	      size_t off, size_t len, int index, uint64_t *remote_base)
{
	enum ibv_mw_type type = cell->verb->mw ?: IBV_MW_TYPE_2;
	struct ibv_mw_bind_info info = {
		.mr = region->mr,
		.addr = region_address(region, off),
		.length = len,
		.mw_access_flags = IBV_ACCESS_REMOTE_READ |
				   IBV_ACCESS_REMOTE_WRITE |
				   IBV_ACCESS_REMOTE_ATOMIC |
				   (cell->verb->zero_based ?
				    IBV_ACCESS_ZERO_BASED : 0),
	};
	struct ibv_wc wc;
	struct ibv_mw *mw;
	int err;

	while (conn->mws <= index) {
		mw = ibv_alloc_mw(conn->worker->pd, type);
		if (!mw)
			return fail(cell->failure, errno,
				    "cannot allocate a memory window");
		conn->mw_rkey[conn->mws] = mw->rkey;
		conn->mw[conn->mws++] = mw;
	}
	mw = conn->mw[index];
	if (type == IBV_MW_TYPE_1) {
		struct ibv_mw_bind bind = {
			.send_flags = IBV_SEND_SIGNALED,
			.bind_info = info,
		};

		err = ibv_bind_mw(conn->qp[1], mw, &bind);
		conn->mw_rkey[index] = mw->rkey;
	} else {
		conn->mw_rkey[index] = ibv_inc_rkey(conn->mw_rkey[index]);
		err = post_bind(conn, mw, conn->mw_rkey[index], &info);
		mw->rkey = conn->mw_rkey[index];
	}
	if (err)
		return fail(cell->failure, err, "cannot bind a memory window");
	err = rc_wait(&conn->worker->end[1].send, &wc,
		      now_ns() + conn->worker->patience_ns, cell->failure);
	if (err)
		return err;
	if (wc.status != IBV_WC_SUCCESS)
		return fail(cell->failure, 0, "binding a memory window: %s",
			    ibv_wc_status_str(wc.status));
	*remote_base = cell->verb->zero_based ? 0 : info.addr;
	return 0;
}
