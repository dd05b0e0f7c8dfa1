// SPDX-License-Identifier: GPL-2.0
/* RDMA WRITE with immediate data: the bytes, the number, the completion. */
#include <arpa/inet.h>

#include "rc_fixture.h"

#define PAGES	8

TEST_F(rc, write_imm)
{
	struct lab *lab = &self->lab;
	struct rc_end *peer = &lab->pair.end[1];
	struct mem *local, *remote;
	struct ibv_wc wc;
	struct rc_op op;
	uint32_t i;

	NEW_MEM(local, variant->local, PAGES);
	NEW_MEM(remote, variant->remote, PAGES);
	for (i = 0; i < PAGES / 2; i++) {
		size_t loff = i * lab->page_size + 11 * i;
		size_t roff = i * lab->page_size + 3 * i;
		size_t len = lab->page_size - 20 * i;

		DO(lab, rc_post_recv(peer, NULL, 0, &lab->failure));
		op = mem_op(IBV_WR_RDMA_WRITE_WITH_IMM, local, loff, remote,
			    roff, len);
		op.imm = htonl(1000 + i);
		mem_expect(remote, roff, local->image + loff, len);
		DO(lab, lab_run(lab, &op));
		DO(lab, rc_wait(&peer->recv, &wc, now_ns() + PATIENCE,
				&lab->failure));
		ASSERT_EQ(IBV_WC_SUCCESS, wc.status);
		ASSERT_EQ(IBV_WC_RECV_RDMA_WITH_IMM, wc.opcode);
		ASSERT_NE(0, wc.wc_flags & IBV_WC_WITH_IMM);
		ASSERT_EQ(1000 + i, ntohl(wc.imm_data));
		ASSERT_EQ(len, wc.byte_len);
	}
	DO(lab, mem_check(lab, local, "local"));
	DO(lab, mem_check(lab, remote, "remote"));
}

TEST_HARNESS_MAIN
