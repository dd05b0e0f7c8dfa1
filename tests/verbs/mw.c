// SPDX-License-Identifier: GPL-2.0
/*
 * Memory windows: the key of a window gives access to the window, not to the
 * memory region behind it, and only within one protection domain.
 */
#include <errno.h>

#include "kselftest_harness.h"
#include "lab.h"

#define PAGES		16
#define START		(2 * 4096 + 104)	/* of the window, in the region */
#define LENGTH		5001

FIXTURE(mw)
{
	struct lab lab;
	struct mem *local, *remote;
	struct ibv_mw *mw;
	uint32_t rkey;
	uint64_t base;		/* address of the window's first byte by @rkey */
};

FIXTURE_VARIANT(mw)
{
	enum mem_kind remote;
	enum ibv_mw_type type;
	bool zero_based;
};

FIXTURE_VARIANT_ADD(mw, pinned_type_1)
{
	.remote = MEM_PINNED,
	.type = IBV_MW_TYPE_1,
};

FIXTURE_VARIANT_ADD(mw, pinned_type_2_zero_based)
{
	.remote = MEM_PINNED,
	.type = IBV_MW_TYPE_2,
	.zero_based = true,
};

FIXTURE_VARIANT_ADD(mw, odp_type_1)
{
	.remote = MEM_UFFD,
	.type = IBV_MW_TYPE_1,
};

FIXTURE_VARIANT_ADD(mw, odp_type_2)
{
	.remote = MEM_UFFD,
	.type = IBV_MW_TYPE_2,
};

FIXTURE_VARIANT_ADD(mw, odp_type_2_zero_based)
{
	.remote = MEM_UFFD,
	.type = IBV_MW_TYPE_2,
	.zero_based = true,
};

FIXTURE_SETUP(mw)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->local = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_new(lab, variant->remote, PAGES,
			       ACCESS_ALL | IBV_ACCESS_MW_BIND);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
	self->mw = ibv_alloc_mw(lab->pd, variant->type);
	ASSERT_NE(NULL, self->mw);
}

FIXTURE_TEARDOWN(mw)
{
	if (self->mw)
		ibv_dealloc_mw(self->mw);
	lab_close(&self->lab);
}

/* Post the bind to end 1 and return the status of its completion, or -1. */
static int bind_part(struct lab *lab, struct ibv_mw *mw, struct ibv_mr *mr,
		     uint64_t addr, uint64_t length, bool zero_based,
		     uint32_t *rkey)
{
	struct rc_end *end = &lab->pair.end[1];
	struct ibv_mw_bind_info info = {
		.mr = mr,
		.addr = addr,
		.length = length,
		.mw_access_flags = IBV_ACCESS_REMOTE_READ |
				   IBV_ACCESS_REMOTE_WRITE |
				   IBV_ACCESS_REMOTE_ATOMIC |
				   (zero_based ? IBV_ACCESS_ZERO_BASED : 0),
	};
	struct ibv_wc wc;
	int err;

	if (mw->type == IBV_MW_TYPE_1) {
		struct ibv_mw_bind bind = {
			.send_flags = IBV_SEND_SIGNALED,
			.bind_info = info,
		};

		err = ibv_bind_mw(end->qp, mw, &bind);
		*rkey = mw->rkey;
	} else {
		struct ibv_send_wr wr = {
			.opcode = IBV_WR_BIND_MW,
			.send_flags = IBV_SEND_SIGNALED,
			.bind_mw = {
				.mw = mw,
				.rkey = ibv_inc_rkey(mw->rkey),
				.bind_info = info,
			},
		}, *bad;

		err = ibv_post_send(end->qp, &wr, &bad);
		*rkey = wr.bind_mw.rkey;
	}
	if (err)
		return fail(&lab->failure, err, "cannot post the bind");
	err = rc_wait(&end->send, &wc, now_ns() + PATIENCE, &lab->failure);
	return err ? -1 : (int)wc.status;
}

#define BIND(addr, length) \
	bind_part(&self->lab, self->mw, self->remote->mr, addr, length, \
		  variant->zero_based, &self->rkey)

/* What every test but those of the bind itself starts with. */
#define BIND_WINDOW() do { \
	ASSERT_EQ(IBV_WC_SUCCESS, \
		  BIND(self->remote->iova + START, LENGTH)) \
		TH_LOG("%s", self->lab.failure.text); \
	self->base = variant->zero_based ? 0 : self->remote->iova + START; \
} while (0)

/* @offset counts from the window's first byte, and may be outside. */
static int move(struct lab *lab, struct mem *local, struct mem *remote,
		uint64_t base, uint32_t rkey, enum ibv_wr_opcode opcode,
		int64_t offset, size_t len, enum ibv_wc_status want)
{
	struct rc_op op = mem_op(opcode, local, 50, remote, 0, len);
	struct ibv_wc wc;

	op.raddr = base + offset;
	op.rkey = rkey;
	if (want == IBV_WC_SUCCESS && opcode == IBV_WR_RDMA_READ)
		mem_expect(local, 50, remote->image + START + offset, len);
	if (want == IBV_WC_SUCCESS && opcode == IBV_WR_RDMA_WRITE)
		mem_expect(remote, START + offset, local->image + 50, len);
	return lab_run_status(lab, &lab->pair.end[0], &op, want, &wc);
}

#define MOVE(opcode, offset, len, want) \
	DO(&self->lab, move(&self->lab, self->local, self->remote, self->base, \
			    self->rkey, opcode, offset, len, want))

#define CHECK_BYTES() do { \
	DO(&self->lab, mem_check(&self->lab, self->local, "local")); \
	DO(&self->lab, mem_check(&self->lab, self->remote, "remote")); \
} while (0)

TEST_F(mw, inside)
{
	static const enum ibv_wr_opcode opcodes[] = {
		IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE,
	};
	size_t i;

	BIND_WINDOW();
	for (i = 0; i < ARRAY_SIZE(opcodes); i++) {
		MOVE(opcodes[i], 0, 1, IBV_WC_SUCCESS);
		MOVE(opcodes[i], LENGTH - 1, 1, IBV_WC_SUCCESS);
		MOVE(opcodes[i], 17, 4096, IBV_WC_SUCCESS);
		MOVE(opcodes[i], 0, LENGTH, IBV_WC_SUCCESS);
	}
	CHECK_BYTES();
}

/* One access that is refused: it costs the connection, and moves nothing. */
#define REFUSED(name, opcode, offset, len) \
	TEST_F(mw, name) \
	{ \
		BIND_WINDOW(); \
		MOVE(opcode, offset, len, IBV_WC_REM_ACCESS_ERR); \
		CHECK_BYTES(); \
	}

REFUSED(read_before, IBV_WR_RDMA_READ, -1, 1)
REFUSED(read_across_start, IBV_WR_RDMA_READ, -1, 2)
REFUSED(read_across_end, IBV_WR_RDMA_READ, LENGTH - 1, 2)
REFUSED(read_after, IBV_WR_RDMA_READ, LENGTH, 1)
REFUSED(read_too_long, IBV_WR_RDMA_READ, 0, LENGTH + 1)
REFUSED(write_before, IBV_WR_RDMA_WRITE, -1, 1)
REFUSED(write_across_start, IBV_WR_RDMA_WRITE, -1, 2)
REFUSED(write_across_end, IBV_WR_RDMA_WRITE, LENGTH - 1, 2)
REFUSED(write_after, IBV_WR_RDMA_WRITE, LENGTH, 1)
REFUSED(write_far_before, IBV_WR_RDMA_WRITE, -START, 8)
REFUSED(atomic_across_end, IBV_WR_ATOMIC_FETCH_AND_ADD, LENGTH - 1, 8)

TEST_F(mw, bind_outside)
{
	struct mem *remote = self->remote;

	EXPECT_EQ(IBV_WC_MW_BIND_ERR, BIND(remote->iova + remote->len - 1, 2));
	DO(&self->lab, lab_reconnect(&self->lab));
	EXPECT_EQ(IBV_WC_MW_BIND_ERR, BIND(remote->iova - 1, 2));
	DO(&self->lab, lab_reconnect(&self->lab));
	/* Address and length add up to one in the region. */
	EXPECT_EQ(IBV_WC_MW_BIND_ERR,
		  BIND(remote->iova + remote->len, -remote->len + 4096));
	DO(&self->lab, lab_reconnect(&self->lab));
	EXPECT_EQ(IBV_WC_MW_BIND_ERR, BIND(remote->iova, -4096ULL));
}

TEST_F(mw, bind_to_other_pd)
{
	struct lab *lab = &self->lab;
	struct ibv_pd *pd = ibv_alloc_pd(lab->dev.ctx);
	struct ibv_mr *mr;

	ASSERT_NE(NULL, pd);
	mr = ibv_reg_mr(pd, self->local->addr, self->local->len,
			ACCESS_ALL | IBV_ACCESS_MW_BIND);
	ASSERT_NE(NULL, mr);
	/* ibv_bind_mw() looks at this itself; the kernel is what is asked. */
	mr->pd = lab->pd;
	EXPECT_EQ(IBV_WC_MW_BIND_ERR,
		  bind_part(lab, self->mw, mr, (uintptr_t)self->local->addr,
			    4096, variant->zero_based, &self->rkey));
	mr->pd = pd;
	EXPECT_EQ(0, ibv_dereg_mr(mr));
	EXPECT_EQ(0, ibv_dealloc_pd(pd));
}

TEST_HARNESS_MAIN
