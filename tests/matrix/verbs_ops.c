// SPDX-License-Identifier: GPL-2.0
/* What each verb does, how it has to end, and what it has to have changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "matrix.h"

#define PAGE		4096UL

uint64_t draw(struct cell *cell, uint64_t below)
{
	uint64_t x = cell->random += 0x9e3779b97f4a7c15ULL;

	/* A mixing step as in pattern.c, of a counter. */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	x ^= x >> 31;
	return below ? x % below : 0;
}

size_t draw_length(struct cell *cell, size_t max, int mtu)
{
	const size_t edges[] = {
		0, 1, 2, 3, 5, 8, mtu - 1, mtu, mtu + 1, 2 * mtu, 2 * mtu + 1,
		PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE + 17, max,
	};
	size_t len;

	if (max > LONGEST)
		max = LONGEST;
	if (draw(cell, 3))
		len = edges[draw(cell, ARRAY_SIZE(edges))];
	else
		len = draw(cell, max + 1);
	return len < max ? len : max;
}

size_t draw_offset(struct cell *cell, size_t lo, size_t hi, size_t len,
		   size_t align)
{
	size_t boundary = (lo + draw(cell, hi - lo)) / PAGE * PAGE;
	const size_t edges[] = {
		lo, lo + 1, hi - len, hi - len - 1, boundary, boundary - 1,
		boundary + 1, boundary - len, boundary - len + 1,
		boundary - len / 2,
	};
	size_t off;

	if (draw(cell, 4))
		off = edges[draw(cell, ARRAY_SIZE(edges))];
	else
		off = lo + draw(cell, hi - lo - len + 1);
	/* Subtractions may have wrapped. */
	if (off < lo || off > hi)
		off = lo;
	if (off > hi - len)
		off = hi - len;
	off = off / align * align;
	return off < lo ? off + align : off;
}

static bool is_atomic(const struct verb *verb)
{
	return verb->opcode == IBV_WR_ATOMIC_CMP_AND_SWP ||
	       verb->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;
}


/* --- posting */

static int to_sge(const struct piece *pieces, int n, struct ibv_sge *sge)
{
	int i;

	for (i = 0; i < n; i++)
		sge[i] = (struct ibv_sge){
			.addr = region_address(pieces[i].region, pieces[i].off),
			.length = pieces[i].len,
			.lkey = pieces[i].region->mr->lkey,
		};
	return n;
}

static int post_recv(struct cell *cell, struct conn *conn,
		     const struct piece *pieces, int n, uint64_t id)
{
	struct ibv_sge sge[MAX_PIECES];
	struct ibv_recv_wr wr = { .wr_id = id, .sg_list = sge };
	struct ibv_recv_wr *bad;
	int err;

	wr.num_sge = to_sge(pieces, n, sge);
	err = conn->srq ? ibv_post_srq_recv(conn->srq, &wr, &bad) :
			  ibv_post_recv(conn->qp[1], &wr, &bad);
	return err ? fail(cell->failure, err, "cannot post a receive") : 0;
}

static uint64_t remote_address(struct cell *cell, struct conn *conn,
			       const struct piece *piece)
{
	if (cell->verb->mw)
		return conn->window_base + piece->off - conn->window_off;
	return region_address(piece->region, piece->off);
}

static int post_atomic_write(struct conn *conn, const struct op *op,
			     uint64_t id, uint64_t raddr, uint32_t rkey)
{
	struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(conn->qp[0]);

	ibv_wr_start(qp);
	qp->wr_id = id;
	qp->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_atomic_write(qp, rkey, raddr, &op->operand[0]);
	return ibv_wr_complete(qp);
}

static int post_send(struct cell *cell, struct conn *conn, struct op *op,
		     uint64_t id)
{
	const struct piece *remote = &op->remote[0];
	uint64_t raddr = remote_address(cell, conn, remote);
	uint32_t rkey = cell->verb->mw ? conn->mw_rkey[0] :
			remote->region->mr->rkey;
	struct ibv_sge sge[MAX_PIECES];
	struct ibv_send_wr wr = {
		.wr_id = id,
		.sg_list = sge,
		.opcode = cell->verb->opcode,
		.send_flags = IBV_SEND_SIGNALED,
	};
	struct ibv_send_wr *bad;

	wr.num_sge = to_sge(op->local, op->locals, sge);
	switch (cell->verb->opcode) {
	case WR_FLUSH:
		return raw_post_flush(cell, conn->qp[0], conn->raw, id, raddr,
				      rkey, op->len, op->flush_mr);
	case IBV_WR_ATOMIC_WRITE:
		return post_atomic_write(conn, op, id, raddr, rkey);
	case IBV_WR_ATOMIC_CMP_AND_SWP:
	case IBV_WR_ATOMIC_FETCH_AND_ADD:
		wr.wr.atomic.remote_addr = raddr;
		wr.wr.atomic.rkey = rkey;
		wr.wr.atomic.compare_add = op->operand[0];
		wr.wr.atomic.swap = op->operand[1];
		break;
	case IBV_WR_SEND_WITH_INV:
		wr.invalidate_rkey = op->invalidate;
		break;
	case IBV_WR_SEND:
	case IBV_WR_SEND_WITH_IMM:
		wr.imm_data = op->imm;
		if (conn->ah) {
			wr.wr.ud.ah = conn->ah;
			wr.wr.ud.remote_qpn = conn->qp[1]->qp_num;
			wr.wr.ud.remote_qkey = UD_QKEY;
		}
		break;
	default:
		wr.imm_data = op->imm;
		wr.wr.rdma.remote_addr = raddr;
		wr.wr.rdma.rkey = rkey;
		break;
	}
	return ibv_post_send(conn->qp[0], &wr, &bad);
}

#define AFTER	1000	/* the wr_id of what only says that the rest is over */

/* The only thing that tells when a WRITE on UC is over: what comes after it. */
static int post_after(struct cell *cell, struct conn *conn)
{
	struct ibv_send_wr wr = {
		.wr_id = AFTER,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
	};
	struct ibv_send_wr *bad;
	int err;

	err = post_recv(cell, conn, NULL, 0, AFTER);
	if (err)
		return err;
	err = ibv_post_send(conn->qp[0], &wr, &bad);
	return err ? fail(cell->failure, err, "cannot post a SEND") : 0;
}

static bool wants_after(const struct cell *cell)
{
	return cell->verb->transport == IBV_QPT_UC && !cell->verb->receives;
}

static int post_all(struct cell *cell, struct conn *conn, struct op *ops, int n)
{
	struct region *to;
	uint64_t base;
	int i, err;

	if (cell->verb->opcode == WR_FLUSH && !conn->raw) {
		err = raw_open(cell, conn->qp[0],
			       conn->worker->end[0].send.cq, &conn->raw);
		if (err)
			return err;
	}
	for (i = 0; i < n; i++) {
		if (!cell->verb->receives)
			break;
		/* WRITE_WITH_IMM needs no memory in its receive. */
		err = post_recv(cell, conn, ops[i].remote,
				cell->verb->opcode ==
				IBV_WR_RDMA_WRITE_WITH_IMM ? 0 : ops[i].remotes,
				i);
		if (err)
			return err;
	}
	for (i = 0; i < n; i++) {
		if (cell->verb->opcode != IBV_WR_SEND_WITH_INV)
			break;
		to = ops[i].remote[0].region;
		err = conn_bind(cell, conn, to, to->mr_off, to->mr_len, i,
				&base);
		if (err)
			return err;
		ops[i].invalidate = conn->mw_rkey[i];
	}
	for (i = 0; i < n; i++) {
		err = post_send(cell, conn, &ops[i], i);
		if (err)
			return fail(cell->failure, err,
				    "cannot post a work request");
	}
	return wants_after(cell) && !ops[n - 1].local_denied ?
	       post_after(cell, conn) : 0;
}

/* --- how it ends */

/* IBTA 9.9.2 and 9.9.3 for what is seen where. */
static enum ibv_wc_status send_status(struct cell *cell, const struct op *op)
{
	bool local_first = cell->verb->local == READS;

	if (op->local_denied && (local_first || !op->remote_denied))
		return IBV_WC_LOC_PROT_ERR;
	/* Nobody tells a sender that expects no answer. */
	if (!op->remote_denied || cell->verb->transport != IBV_QPT_RC)
		return IBV_WC_SUCCESS;
	return cell->verb->receives &&
	       cell->verb->opcode != IBV_WR_RDMA_WRITE_WITH_IMM ?
	       IBV_WC_REM_OP_ERR : IBV_WC_REM_ACCESS_ERR;
}

/* Did the requester get so far as to send anything? */
static bool reaches_remote(struct cell *cell, const struct op *op)
{
	return !(op->local_denied && cell->verb->local == READS);
}

static int wait_send(struct cell *cell, struct conn *conn, uint64_t id,
		     enum ibv_wc_status want)
{
	struct ibv_wc wc;
	int err;

	err = rc_wait(&conn->worker->end[0].send, &wc,
		      now_ns() + conn->worker->patience_ns, cell->failure);
	if (err)
		return err;
	if (wc.wr_id != id)
		return fail(cell->failure, 0,
			    "completion of request %llu and not %llu",
			    (unsigned long long)wc.wr_id,
			    (unsigned long long)id);
	if (wc.status != want)
		return fail(cell->failure, 0, "completion: %s, and not %s",
			    ibv_wc_status_str(wc.status),
			    ibv_wc_status_str(want));
	return 0;
}

static int check_received(struct cell *cell, const struct op *op,
			  const struct ibv_wc *wc)
{
	bool write = cell->verb->opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
	bool imm = write || cell->verb->opcode == IBV_WR_SEND_WITH_IMM;
	size_t len = op->len + (cell->verb->transport == IBV_QPT_UD ?
				GRH_BYTES : 0);

	if (wc->byte_len != len)
		return fail(cell->failure, 0, "%u bytes received and not %zu",
			    wc->byte_len, len);
	if (wc->opcode != (write ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV))
		return fail(cell->failure, 0,
			    "the receive completed as opcode %u", wc->opcode);
	if (imm != !!(wc->wc_flags & IBV_WC_WITH_IMM) ||
	    (imm && wc->imm_data != op->imm))
		return fail(cell->failure, 0, "wrong immediate data");
	/* wc_flags has the kernel's bit for it, not the one of verbs.h. */
	if (cell->verb->opcode == IBV_WR_SEND_WITH_INV &&
	    wc->invalidated_rkey != op->invalidate)
		return fail(cell->failure, 0, "wrong key invalidated");
	return 0;
}

static int wait_recv(struct cell *cell, struct conn *conn, const struct op *op,
		     uint64_t id)
{
	struct ibv_wc wc;
	int err;

	err = rc_wait(&conn->worker->end[1].recv, &wc,
		      now_ns() + conn->worker->patience_ns, cell->failure);
	if (err)
		return fail(cell->failure, -err, "receive");
	if (wc.wr_id != id)
		return fail(cell->failure, 0, "receive %llu and not %llu",
			    (unsigned long long)wc.wr_id,
			    (unsigned long long)id);
	if (op && op->remote_denied)
		return wc.status == IBV_WC_SUCCESS ?
		       fail(cell->failure, 0,
			    "the receive into absent memory succeeded") : 0;
	if (wc.status != IBV_WC_SUCCESS)
		return fail(cell->failure, 0, "receive: %s",
			    ibv_wc_status_str(wc.status));
	return op ? check_received(cell, op, &wc) : 0;
}

static int wait_all(struct cell *cell, struct conn *conn, struct op *ops, int n)
{
	bool after = wants_after(cell) && !ops[n - 1].local_denied;
	int i, err;

	for (i = 0; i < n; i++) {
		err = wait_send(cell, conn, i, send_status(cell, &ops[i]));
		if (err)
			return err;
	}
	if (after) {
		err = wait_send(cell, conn, AFTER, IBV_WC_SUCCESS);
		if (err)
			return err;
	}
	for (i = 0; cell->verb->receives && i < n; i++) {
		if (!reaches_remote(cell, &ops[i]))
			continue;
		err = wait_recv(cell, conn, &ops[i], i);
		if (err)
			return err;
	}
	return after ? wait_recv(cell, conn, NULL, AFTER) : 0;
}

/* --- what it has changed */

static size_t collect(const struct piece *pieces, int n, char *to)
{
	size_t len = 0;
	int i;

	for (i = 0; i < n; i++) {
		memcpy(to + len, pieces[i].region->image + pieces[i].off,
		       pieces[i].len);
		len += pieces[i].len;
	}
	return len;
}

static void spread(const struct piece *pieces, int n, const char *from)
{
	int i;

	for (i = 0; i < n; i++) {
		memcpy(pieces[i].region->image + pieces[i].off, from,
		       pieces[i].len);
		from += pieces[i].len;
	}
}

static void move_image(struct cell *cell, struct op *op)
{
	static char bytes[LONGEST + GRH_BYTES];
	char *grh = bytes;
	char *message = bytes + GRH_BYTES;
	int i;

	if (cell->verb->local == WRITES) {
		collect(op->remote, op->remotes, message);
		spread(op->local, op->locals, message);
		return;
	}
	collect(op->local, op->locals, message);
	if (cell->verb->transport != IBV_QPT_UD) {
		spread(op->remote, op->remotes, message);
		return;
	}
	/* Whatever the network headers are: rxe's affair, not paging's. */
	for (i = 0; i < GRH_BYTES; i++)
		grh[i] = op->remote[0].region->map[op->remote[0].off + i];
	spread(op->remote, op->remotes, bytes);
}

static void apply_atomic(struct cell *cell, struct op *op)
{
	char *at = op->remote[0].region->image + op->remote[0].off;
	uint64_t old, new;

	memcpy(&old, at, sizeof(old));
	if (cell->verb->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD)
		new = old + op->operand[0];
	else
		new = old == op->operand[0] ? op->operand[1] : old;
	memcpy(at, &new, sizeof(new));
	if (!op->local_denied)
		memcpy(op->local[0].region->image + op->local[0].off, &old,
		       sizeof(old));
}

/* The images: nothing changes on a side that could not be had. */
static void apply(struct cell *cell, struct op *op)
{
	if (op->remote_denied || !reaches_remote(cell, op))
		return;
	if (is_atomic(cell->verb))
		apply_atomic(cell, op);
	else if (cell->verb->opcode == IBV_WR_ATOMIC_WRITE)
		memcpy(op->remote[0].region->image + op->remote[0].off,
		       &op->operand[0], sizeof(op->operand[0]));
	else if (cell->verb->opcode != WR_FLUSH && !op->local_denied)
		move_image(cell, op);
}

static void note(struct cell *cell, struct op *op)
{
	int i;

	/* An answer that never comes is not written. */
	if (cell->verb->local == READS || !op->remote_denied)
		for (i = 0; i < op->locals; i++)
			region_note(op->local[i].region, op->local[i].off,
				    op->local[i].len, cell->verb->local);
	if (!reaches_remote(cell, op))
		return;
	for (i = 0; i < op->remotes; i++)
		region_note(op->remote[i].region, op->remote[i].off,
			    op->remote[i].len, cell->verb->remote);
}

int ops_run(struct cell *cell, struct conn *conn, struct op *ops, int n)
{
	int i, err;

	err = post_all(cell, conn, ops, n) ?: wait_all(cell, conn, ops, n);
	if (err)
		return err;
	for (i = 0; i < n; i++) {
		apply(cell, &ops[i]);
		note(cell, &ops[i]);
	}
	return 0;
}

static int check_bytes(const struct piece *pieces, int n, const char *name,
		       bool all)
{
	int i, err = 0;

	for (i = 0; !err && i < n; i++)
		err = region_check_bytes(pieces[i].region, name, all);
	return err;
}

static int check_faults(const struct piece *pieces, int n, const char *name)
{
	int i, err = 0;

	for (i = 0; !err && i < n; i++)
		err = region_check_faults(pieces[i].region, name);
	return err;
}

int ops_check(struct op *ops, int n, bool all)
{
	int i, err = 0;

	/* First, as looking at bytes may be a fault itself. */
	for (i = 0; !err && i < n; i++)
		err = check_faults(ops[i].local, ops[i].locals, "local") ?:
		      check_faults(ops[i].remote, ops[i].remotes, "remote");
	for (i = 0; !err && i < n; i++)
		err = check_bytes(ops[i].local, ops[i].locals, "local", all) ?:
		      check_bytes(ops[i].remote, ops[i].remotes, "remote", all);
	return err;
}
