// SPDX-License-Identifier: GPL-2.0
/*
 * Keys and ranges that give no access: the error that the IBTA specification
 * names (its tables "responder error behaviour" and "completion status"), and
 * not a byte changed.
 */
#include <string.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "rawq.h"

#define PAGES	4

FIXTURE(keys)
{
	struct lab lab;
	struct mem *local, *remote;
	struct ibv_pd *other_pd;
	struct ibv_mr *foreign_local, *foreign_remote;
	uint32_t dead_local, dead_remote;
};

FIXTURE_VARIANT(keys)
{
	enum mem_kind kind;
};

FIXTURE_VARIANT_ADD(keys, pinned)
{
	.kind = MEM_PINNED,
};

FIXTURE_VARIANT_ADD(keys, resident)
{
	.kind = MEM_RESIDENT,
};

FIXTURE_VARIANT_ADD(keys, uffd)
{
	.kind = MEM_UFFD,
};

static unsigned int access_of(const struct mem *mem)
{
	return ACCESS_ALL | IBV_ACCESS_MW_BIND |
	       (mem->kind == MEM_PINNED ? 0 : IBV_ACCESS_ON_DEMAND);
}

static uint32_t dead_key(struct lab *lab, struct mem *mem)
{
	struct ibv_mr *mr = ibv_reg_mr(lab->pd, mem->addr, mem->len,
				       access_of(mem));
	uint32_t key = mr ? mr->rkey : 0;

	if (mr && ibv_dereg_mr(mr))
		key = 0;
	return key;
}

FIXTURE_SETUP(keys)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->local = mem_new(lab, variant->kind, PAGES,
			      ACCESS_ALL | IBV_ACCESS_MW_BIND);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_new(lab, variant->kind, PAGES,
			       ACCESS_ALL | IBV_ACCESS_MW_BIND);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
	self->other_pd = ibv_alloc_pd(lab->dev.ctx);
	ASSERT_NE(NULL, self->other_pd);
	self->foreign_local = ibv_reg_mr(self->other_pd, self->local->addr,
					 self->local->len,
					 access_of(self->local));
	self->foreign_remote = ibv_reg_mr(self->other_pd, self->remote->addr,
					  self->remote->len,
					  access_of(self->remote));
	ASSERT_NE(NULL, self->foreign_local);
	ASSERT_NE(NULL, self->foreign_remote);
	self->dead_local = dead_key(lab, self->local);
	self->dead_remote = dead_key(lab, self->remote);
	ASSERT_NE(0, self->dead_local);
	ASSERT_NE(0, self->dead_remote);
}

FIXTURE_TEARDOWN(keys)
{
	if (self->foreign_local)
		ibv_dereg_mr(self->foreign_local);
	if (self->foreign_remote)
		ibv_dereg_mr(self->foreign_remote);
	if (self->other_pd)
		ibv_dealloc_pd(self->other_pd);
	lab_close(&self->lab);
}

#define CHECK_BYTES() do { \
	DO(&self->lab, mem_check(&self->lab, self->local, "local")); \
	DO(&self->lab, mem_check(&self->lab, self->remote, "remote")); \
} while (0)

/* The connection is in its error state after that: take another. */
#define WANT(op, want, ...) do { \
	struct lab *_lab = &self->lab; \
	struct ibv_wc _wc; \
	ASSERT_EQ(0, lab_run_status(_lab, &_lab->pair.end[0], op, want, &_wc)) { \
		TH_LOG("%s", _lab->failure.text); \
		TH_LOG(__VA_ARGS__); \
	} \
	if ((want) != IBV_WC_SUCCESS) \
		DO(_lab, lab_reconnect(_lab)); \
} while (0)

static struct rc_op op_of(enum ibv_wr_opcode opcode, struct mem *local,
			  struct mem *remote)
{
	bool is_atomic = opcode == IBV_WR_ATOMIC_CMP_AND_SWP ||
			 opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;

	return mem_op(opcode, local, 8, remote, 16, is_atomic ? 8 : 64);
}

static const enum ibv_wr_opcode remote_ops[] = {
	IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE, IBV_WR_ATOMIC_CMP_AND_SWP,
	IBV_WR_ATOMIC_FETCH_AND_ADD,
};

TEST_F_TIMEOUT(keys, remote_range, 300)
{
	uint64_t first = self->remote->iova;
	uint64_t end = first + self->remote->len;
	/* Where it begins, relative to its own length: addr - back * length. */
	const struct {
		uint64_t addr;
		unsigned int back;
		const char *what;
	} ranges[] = {
		{ first - 8, 0, "8 bytes before the region" },
		{ end - 0, 0, "behind the region" },
		{ end + 8, 1, "8 bytes beyond the end" },
		{ end + 8, 0, "far behind the end" },
		{ 0, 0, "at 0" },
		{ 0, 1, "up to 2^64" },
		{ 8, 1, "over 2^64" },
		{ 1ULL << 63, 0, "at 2^63" },
		{ first + (1ULL << 32), 0, "at 4 GiB from the region" },
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(remote_ops); i++) {
		for (j = 0; j < ARRAY_SIZE(ranges); j++) {
			struct rc_op op = op_of(remote_ops[i], self->local,
						self->remote);

			op.raddr = ranges[j].addr - ranges[j].back * op.length;
			WANT(&op, IBV_WC_REM_ACCESS_ERR, "operation %d %s",
			     op.opcode, ranges[j].what);
		}
	}
	CHECK_BYTES();
}

/* Longer than the region, and than what is left of it. */
TEST_F(keys, remote_length)
{
	struct rc_op op = op_of(IBV_WR_RDMA_READ, self->local, self->remote);
	struct ibv_sge sge[2] = {
		{
			.addr = self->local->iova,
			.length = self->local->len,
			.lkey = self->local->mr->lkey,
		},
		{
			.addr = self->local->iova,
			.length = 1,
			.lkey = self->local->mr->lkey,
		},
	};
	int i;

	op.sge = sge;
	op.num_sge = 2;
	for (i = 0; i < 2; i++) {
		op.raddr = self->remote->iova;
		WANT(&op, IBV_WC_REM_ACCESS_ERR, "a byte more than there is");
		op.num_sge = 1;
		op.raddr++;
		WANT(&op, IBV_WC_REM_ACCESS_ERR, "a byte over the end");
		op.num_sge = 2;
		op.opcode = IBV_WR_RDMA_WRITE;
	}
	CHECK_BYTES();
}

TEST_F(keys, remote_key)
{
	const struct {
		uint32_t key;
		const char *what;
	} keys[] = {
		{ self->foreign_remote->rkey, "of another PD" },
		{ self->dead_remote, "of a dead region" },
		{ self->remote->mr->rkey ^ 1, "with another variant byte" },
		{ self->remote->mr->rkey ^ 0xff00, "with another index" },
		{ 0, "0" },
		{ ~0U, "of all ones" },
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(remote_ops); i++) {
		for (j = 0; j < ARRAY_SIZE(keys); j++) {
			struct rc_op op = op_of(remote_ops[i], self->local,
						self->remote);

			op.rkey = keys[j].key;
			WANT(&op, IBV_WC_REM_ACCESS_ERR,
			     "operation %d with the R_Key %s", op.opcode,
			     keys[j].what);
		}
	}
	CHECK_BYTES();
}

TEST_F(keys, remote_right)
{
	const unsigned int need[] = {
		IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE,
		IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_ATOMIC,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(remote_ops); i++) {
		struct rc_op op = op_of(remote_ops[i], self->local,
					self->remote);
		struct ibv_mr *mr = ibv_reg_mr(self->lab.pd, self->remote->addr,
					       self->remote->len,
					       access_of(self->remote) &
					       ~need[i]);

		ASSERT_NE(NULL, mr);
		op.rkey = mr->rkey;
		WANT(&op, IBV_WC_REM_ACCESS_ERR,
		     "operation %d without the right to", op.opcode);
		ASSERT_EQ(0, ibv_dereg_mr(mr));
	}
	CHECK_BYTES();
}

/* C9-88: neither key nor address of an access to nothing are looked at. */
TEST_F(keys, zero_length)
{
	const enum ibv_wr_opcode ops[] = { IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		struct rc_op op = op_of(ops[i], self->local, self->remote);

		op.length = 0;
		WANT(&op, IBV_WC_SUCCESS, "length 0, good key");
		op.raddr = self->remote->iova + self->remote->len;
		WANT(&op, IBV_WC_SUCCESS, "length 0, at the end");
		op.raddr = ~0ULL;
		op.rkey = self->dead_remote;
		WANT(&op, IBV_WC_SUCCESS, "length 0, bad key");
	}
	CHECK_BYTES();
}

/* rdma-core would not post them, so they go to the queue itself. */
TEST_F(keys, misaligned_atomic)
{
	const unsigned int skew[] = { 1, 2, 4, 7 };
	struct lab *lab = &self->lab;
	size_t j;

	for (j = 0; j < ARRAY_SIZE(skew); j++) {
		struct rc_op nothing = op_of(IBV_WR_RDMA_WRITE, self->local,
					     self->remote);
		struct rc_end *end = &lab->pair.end[0];
		struct ibv_sge sge = {
			.addr = self->local->iova,
			.length = 8,
			.lkey = self->local->mr->lkey,
		};
		struct rawq rawq;
		struct ibv_wc wc;

		nothing.length = 0;
		nothing.raddr = 0xfeed0000 + j;
		WANT(&nothing, IBV_WC_SUCCESS, "length 0");
		ASSERT_EQ(0, rawq_find_posted(&rawq, end->qp, nothing.raddr));
		ASSERT_EQ(0, rawq_fetch_add(&rawq,
					    self->remote->iova + 16 + skew[j],
					    self->remote->mr->rkey, 1, &sge));
		DO(lab, rc_wait(&end->send, &wc, now_ns() + PATIENCE,
				&lab->failure));
		ASSERT_EQ(IBV_WC_REM_INV_REQ_ERR, wc.status)
			TH_LOG("skewed by %u: %s", skew[j],
			       ibv_wc_status_str(wc.status));
		DO(lab, lab_reconnect(lab));
	}
	CHECK_BYTES();
}

TEST_F_TIMEOUT(keys, local_key_and_range, 300)
{
	uint64_t first = self->local->iova;
	uint32_t good = self->local->mr->lkey;
	const struct {
		uint64_t addr;
		uint32_t key;
		const char *what;
	} bad[] = {
		{ first, self->foreign_local->lkey, "key of another PD" },
		{ first, self->dead_local, "key of a dead region" },
		{ first, good ^ 1, "key with another variant byte" },
		{ first - 8, good, "before the region" },
		{ first + self->local->len - 4, good, "over the end" },
		{ first + self->local->len, good, "behind the end" },
		{ -8ULL, good, "over 2^64" },
	};
	const enum ibv_wr_opcode ops[] = {
		IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ, IBV_WR_SEND,
		IBV_WR_ATOMIC_FETCH_AND_ADD,
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		/* A FETCH_ADD is executed before its result finds no place. */
		bool adds = ops[i] == IBV_WR_ATOMIC_FETCH_AND_ADD;

		for (j = 0; j < ARRAY_SIZE(bad); j++) {
			struct rc_op op = op_of(ops[i], self->local,
						self->remote);
			struct ibv_sge sge = {
				.addr = self->remote->iova,
				.length = 64,
				.lkey = self->remote->mr->lkey,
			};

			if (ops[i] == IBV_WR_SEND)
				DO(&self->lab, rc_post_recv(&self->lab.pair.end[1],
							    &sge, 1,
							    &self->lab.failure));
			op.laddr = bad[j].addr;
			op.lkey = bad[j].key;
			op.compare_add = 0;
			op.length = adds ? 8 : 64;
			WANT(&op, IBV_WC_LOC_PROT_ERR, "operation %d, %s",
			     op.opcode, bad[j].what);
		}
	}
	CHECK_BYTES();
}

struct bad_receive {
	uint64_t addr;
	uint32_t key, length;
	enum ibv_wc_status at_sender, at_receiver;
	const char *what;
};

#define WANT_RECEIVE(bad) do { \
	struct lab *_lab = &self->lab; \
	struct rc_op _op = op_of(IBV_WR_SEND, self->local, self->remote); \
	struct ibv_sge _sge = { \
		.addr = (bad).addr, \
		.length = (bad).length, \
		.lkey = (bad).key, \
	}; \
	struct ibv_wc _wc; \
	DO(_lab, rc_post_recv(&_lab->pair.end[1], &_sge, 1, &_lab->failure)); \
	DO(_lab, rc_post(&_lab->pair.end[0], &_op, &_lab->failure)); \
	DO(_lab, rc_wait(&_lab->pair.end[0].send, &_wc, now_ns() + PATIENCE, \
			 &_lab->failure)); \
	ASSERT_EQ((bad).at_sender, _wc.status) \
		TH_LOG("sender, %s: %s", (bad).what, \
		       ibv_wc_status_str(_wc.status)); \
	DO(_lab, rc_wait(&_lab->pair.end[1].recv, &_wc, now_ns() + PATIENCE, \
			 &_lab->failure)); \
	ASSERT_EQ((bad).at_receiver, _wc.status) \
		TH_LOG("receiver, %s: %s", (bad).what, \
		       ibv_wc_status_str(_wc.status)); \
	DO(_lab, lab_reconnect(_lab)); \
} while (0)

/* What comes in has no place: both sides are told. */
TEST_F(keys, receive)
{
	uint64_t first = self->remote->iova;
	uint32_t good = self->remote->mr->lkey;
	const struct bad_receive bad[] = {
		{ first, self->foreign_remote->lkey, 64, IBV_WC_REM_OP_ERR,
		  IBV_WC_LOC_PROT_ERR, "key of another PD" },
		{ first, self->dead_remote, 64, IBV_WC_REM_OP_ERR,
		  IBV_WC_LOC_PROT_ERR, "key of a dead region" },
		{ first + self->remote->len - 32, good, 64, IBV_WC_REM_OP_ERR,
		  IBV_WC_LOC_PROT_ERR, "over the end" },
		{ -8ULL, good, 64, IBV_WC_REM_OP_ERR, IBV_WC_LOC_PROT_ERR,
		  "over 2^64" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		WANT_RECEIVE(bad[i]);
	CHECK_BYTES();
}

TEST_F(keys, receive_too_short)
{
	const struct bad_receive bad = {
		self->remote->iova, self->remote->mr->lkey, 63,
		IBV_WC_REM_INV_REQ_ERR, IBV_WC_LOC_LEN_ERR, "too short",
	};

	WANT_RECEIVE(bad);
	CHECK_BYTES();
}

/* A region whose addresses end with the last one there is. */
TEST_F(keys, iova_up_to_the_end)
{
	struct mem *remote = self->remote;
	uint64_t iova = 0ULL - remote->len;
	struct ibv_mr *mr = ibv_reg_mr_iova(self->lab.pd, remote->addr,
					    remote->len, iova,
					    access_of(remote));
	struct rc_op op = op_of(IBV_WR_RDMA_WRITE, self->local, remote);

	ASSERT_NE(NULL, mr);
	op.rkey = mr->rkey;
	op.raddr = 0ULL - op.length;
	mem_expect(remote, remote->len - op.length, self->local->image + 8,
		   op.length);
	WANT(&op, IBV_WC_SUCCESS, "the last bytes");
	op.raddr += 8;
	WANT(&op, IBV_WC_REM_ACCESS_ERR, "over 2^64");
	op.raddr = 0;
	WANT(&op, IBV_WC_REM_ACCESS_ERR, "at 0");
	op.raddr = iova - 8;
	WANT(&op, IBV_WC_REM_ACCESS_ERR, "before it");
	CHECK_BYTES();
	ASSERT_EQ(0, ibv_dereg_mr(mr));
}

/* One that would go on at 0 is either refused or ends there. */
TEST_F(keys, iova_over_the_end)
{
	struct mem *remote = self->remote;
	struct ibv_mr *mr = ibv_reg_mr_iova(self->lab.pd, remote->addr,
					    remote->len,
					    0ULL - self->lab.page_size,
					    access_of(remote));
	struct rc_op op = op_of(IBV_WR_RDMA_WRITE, self->local, remote);

	if (!mr)
		return;
	op.rkey = mr->rkey;
	op.raddr = 0;
	WANT(&op, IBV_WC_REM_ACCESS_ERR, "at 0");
	CHECK_BYTES();
	ASSERT_EQ(0, ibv_dereg_mr(mr));
}

static int post_window(struct rc_end *end, struct ibv_send_wr *wr,
		       struct failure *failure)
{
	struct ibv_send_wr *bad;
	struct ibv_wc wc;
	int err;

	wr->send_flags = IBV_SEND_SIGNALED;
	err = ibv_post_send(end->qp, wr, &bad);
	if (err)
		return fail(failure, err, "cannot post");
	err = rc_wait(&end->send, &wc, now_ns() + PATIENCE, failure);
	if (!err && wc.status != IBV_WC_SUCCESS)
		err = fail(failure, 0, "completion: %s",
			   ibv_wc_status_str(wc.status));
	return err;
}

/* A window of type 2 after its R_Key was invalidated: here, or by the peer. */
TEST_F(keys, invalidated)
{
	struct lab *lab = &self->lab;
	struct mem *remote = self->remote;
	int by_peer;

	for (by_peer = 0; by_peer < 2; by_peer++) {
		struct rc_end *peer = &lab->pair.end[0];
		struct rc_end *owner = &lab->pair.end[1];
		struct rc_op op = op_of(IBV_WR_RDMA_WRITE, self->local, remote);
		struct ibv_mw *mw = ibv_alloc_mw(lab->pd, IBV_MW_TYPE_2);
		struct ibv_send_wr bind = {
			.opcode = IBV_WR_BIND_MW,
			.bind_mw = {
				.mw = mw,
				.rkey = mw ? ibv_inc_rkey(mw->rkey) : 0,
				.bind_info = {
					.mr = remote->mr,
					.addr = remote->iova,
					.length = remote->len,
					.mw_access_flags =
						IBV_ACCESS_REMOTE_WRITE |
						IBV_ACCESS_REMOTE_READ,
				},
			},
		};
		struct ibv_send_wr inv = {
			.opcode = by_peer ? IBV_WR_SEND_WITH_INV :
					    IBV_WR_LOCAL_INV,
			.invalidate_rkey = bind.bind_mw.rkey,
		};
		struct ibv_wc wc;

		ASSERT_NE(NULL, mw);
		DO(lab, post_window(owner, &bind, &lab->failure));
		op.rkey = bind.bind_mw.rkey;
		mem_expect(remote, 16, self->local->image + 8, op.length);
		WANT(&op, IBV_WC_SUCCESS, "through the window");
		if (by_peer)
			DO(lab, rc_post_recv(owner, NULL, 0, &lab->failure));
		DO(lab, post_window(by_peer ? peer : owner, &inv,
				    &lab->failure));
		if (by_peer) {
			DO(lab, rc_wait(&owner->recv, &wc, now_ns() + PATIENCE,
					&lab->failure));
			ASSERT_EQ(IBV_WC_SUCCESS, wc.status);
		}
		op.laddr += 64;
		WANT(&op, IBV_WC_REM_ACCESS_ERR,
		     "through what was the window");
		ASSERT_EQ(0, ibv_dealloc_mw(mw));
	}
	CHECK_BYTES();
}

TEST_HARNESS_MAIN
