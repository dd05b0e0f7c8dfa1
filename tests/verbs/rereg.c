// SPDX-License-Identifier: GPL-2.0
/*
 * ibv_rereg_mr(): another access or protection domain for a region with
 * on-demand paging, and what is not supported is said so.
 *
 * librxe of many versions of rdma-core does not pass it on, so this asks the
 * kernel itself.
 */
#include <errno.h>
#include <rdma/ib_user_verbs.h>
#include <unistd.h>

#include "odp_fixture.h"

/* 0 or a positive errno. The keys of rxe stay what they are. */
static int rereg(struct lab *lab, struct ibv_mr *mr, int flags,
		 struct ibv_pd *pd, void *addr, size_t length,
		 unsigned int access)
{
	struct ib_uverbs_rereg_mr_resp response;
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_rereg_mr cmd;
	} request = {
		.hdr = {
			.command = IB_USER_VERBS_CMD_REREG_MR,
			.in_words = sizeof(request) / 4,
			.out_words = sizeof(response) / 4,
		},
		.cmd = {
			.response = (uintptr_t)&response,
			.mr_handle = mr->handle,
			.flags = flags,
			.start = (uintptr_t)addr,
			.hca_va = (uintptr_t)addr,
			.length = length,
			.pd_handle = pd ? pd->handle : 0,
			.access_flags = access,
		},
	};

	return write(lab->dev.ctx->cmd_fd, &request, sizeof(request)) ==
	       sizeof(request) ? 0 : errno;
}

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

	ASSERT_EQ(0, rereg(lab, mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
			   IBV_ACCESS_ON_DEMAND | IBV_ACCESS_REMOTE_READ));
	DO(lab, refused(lab, IBV_WR_RDMA_WRITE, self->local, self->remote));
	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, 5000));
	ASSERT_EQ(0, rereg(lab, mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
			   IBV_ACCESS_ON_DEMAND | ACCESS_ALL));
	DO(lab, lab_write(lab, self->local, 0, self->remote, 7, 9000));
	CHECK_BYTES();
}

TEST_F(odp, protection_domain)
{
	struct lab *lab = &self->lab;
	struct ibv_pd *pd = ibv_alloc_pd(lab->dev.ctx);

	ASSERT_NE(NULL, pd);
	ASSERT_EQ(0, rereg(lab, self->remote->mr, IBV_REREG_MR_CHANGE_PD, pd,
			   NULL, 0, 0));
	DO(lab, refused(lab, IBV_WR_RDMA_READ, self->local, self->remote));
	ASSERT_EQ(0, rereg(lab, self->remote->mr, IBV_REREG_MR_CHANGE_PD,
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
		  rereg(lab, self->remote->mr, IBV_REREG_MR_CHANGE_ACCESS, NULL,
			NULL, 0, ACCESS_ALL));
	EXPECT_EQ(EOPNOTSUPP,
		  rereg(lab, self->local->mr, IBV_REREG_MR_CHANGE_ACCESS, NULL,
			NULL, 0, ACCESS_ALL | IBV_ACCESS_ON_DEMAND));
	DO(lab, lab_write(lab, self->local, 0, self->remote, 7, 9000));
	DO(lab, lab_read(lab, self->local, 20000, self->remote, 12345, 9000));
	CHECK_BYTES();
}

TEST_F(odp, translation)
{
	struct lab *lab = &self->lab;

	EXPECT_EQ(EOPNOTSUPP,
		  rereg(lab, self->remote->mr, IBV_REREG_MR_CHANGE_TRANSLATION,
			NULL, self->local->addr, self->len, 0));
	DO(lab, lab_write(lab, self->local, 0, self->remote, 7, 9000));
	CHECK_BYTES();
}

TEST_HARNESS_MAIN
