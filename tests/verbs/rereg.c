// SPDX-License-Identifier: GPL-2.0
/*
 * ibv_rereg_mr(): another access or protection domain for a region with
 * on-demand paging, and what is not supported is said so.
 */
#include "odp_fixture.h"
#include "uverbs.h"

static int refused(struct lab *lab, enum ibv_wr_opcode opcode,
		   struct mem *local, struct mem *remote)
{
	struct rc_op op = mem_op(opcode, local, 0, remote, 0, 100);
	struct ibv_wc wc;

	return lab_run_status(lab, &lab->pair.end[0], &op,
			      IBV_WC_REM_ACCESS_ERR, &wc) ?:
	       lab_reconnect(lab);
}

TEST_F(odp, access)
{
	struct lab *lab = &self->lab;
	struct ibv_mr *mr = self->remote->mr;

	ASSERT_EQ(0, uverbs_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
				     IBV_ACCESS_ON_DEMAND | IBV_ACCESS_REMOTE_READ));
	DO(lab, refused(lab, IBV_WR_RDMA_WRITE, self->local, self->remote));
	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, 5000));
	ASSERT_EQ(0, uverbs_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
				     IBV_ACCESS_ON_DEMAND | ACCESS_ALL));
	DO(lab, lab_write(lab, self->local, 0, self->remote, 7, 9000));
	CHECK_BYTES();
}

TEST_F(odp, protection_domain)
{
	struct lab *lab = &self->lab;
	struct ibv_pd *pd = ibv_alloc_pd(lab->dev.ctx);

	ASSERT_NE(NULL, pd);
	ASSERT_EQ(0, uverbs_rereg_mr(self->remote->mr, IBV_REREG_MR_CHANGE_PD, pd,
				     NULL, 0, 0));
	DO(lab, refused(lab, IBV_WR_RDMA_READ, self->local, self->remote));
	ASSERT_EQ(0, uverbs_rereg_mr(self->remote->mr, IBV_REREG_MR_CHANGE_PD,
				     lab->pd, NULL, 0, 0));
	DO(lab, lab_write(lab, self->local, 0, self->remote, 7, 9000));
	CHECK_BYTES();
	EXPECT_EQ(0, ibv_dealloc_pd(pd));
}

/* Neither out of on-demand paging nor into it, and nothing is changed. */
TEST_F(odp, out_and_into)
{
	struct lab *lab = &self->lab;

	EXPECT_EQ(EOPNOTSUPP,
		  uverbs_rereg_mr(self->remote->mr, IBV_REREG_MR_CHANGE_ACCESS, NULL,
				  NULL, 0, ACCESS_ALL));
	EXPECT_EQ(EOPNOTSUPP,
		  uverbs_rereg_mr(self->local->mr, IBV_REREG_MR_CHANGE_ACCESS, NULL,
				  NULL, 0, ACCESS_ALL | IBV_ACCESS_ON_DEMAND));
	DO(lab, lab_write(lab, self->local, 0, self->remote, 7, 9000));
	DO(lab, lab_read(lab, self->local, 20000, self->remote, 12345, 9000));
	CHECK_BYTES();
}

TEST_F(odp, translation)
{
	struct lab *lab = &self->lab;

	EXPECT_EQ(EOPNOTSUPP,
		  uverbs_rereg_mr(self->remote->mr, IBV_REREG_MR_CHANGE_TRANSLATION,
				  NULL, self->local->addr, self->len, 0));
	DO(lab, lab_write(lab, self->local, 0, self->remote, 7, 9000));
	CHECK_BYTES();
}

TEST_HARNESS_MAIN
