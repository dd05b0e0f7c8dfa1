// SPDX-License-Identifier: GPL-2.0
/*
 * A queue pair is reset while packets arrive for it: none of them may be kept, as
 * each holds the queue pair that sent it.
 */
#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"

#define LENGTH		(16 * 4096)	/* packets that are not acknowledged */
#define ROUNDS		100
#define MAX_SPIN	200000

FIXTURE(reset)
{
	struct lab lab;
	struct mem *mem;
};

FIXTURE_SETUP(reset)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->mem = mem_new(lab, MEM_RESIDENT, 32, ACCESS_ALL);
	ASSERT_NE(NULL, self->mem) TH_LOG("%s", lab->failure.text);
}

FIXTURE_TEARDOWN(reset)
{
	lab_close(&self->lab);
}

TEST_F_TIMEOUT(reset, while_packets_arrive, 200)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };
	struct lab *lab = &self->lab;
	struct rc_op op = mem_op(IBV_WR_RDMA_WRITE, self->mem, 0, self->mem,
				 LENGTH, LENGTH);
	unsigned int seed = now_ns();
	int i;

	TH_LOG("seed %u", seed);
	for (i = 0; i < rounds(ROUNDS); i++) {
		struct rc_pair pair = { 0 };
		volatile unsigned int spin;

		DO(lab, rc_pair_open(&pair, &lab->dev, lab->pd,
				     &rc_params_default, &lab->failure));
		DO(lab, rc_post(&pair.end[0], &op, &lab->failure));
		for (spin = rand_r(&seed) % MAX_SPIN; spin; spin--)
			;
		ASSERT_EQ(0, ibv_modify_qp(pair.end[1].qp, &attr, IBV_QP_STATE));
		AT_ONCE_DO(ibv_destroy_qp(pair.end[0].qp));
		pair.end[0].qp = NULL;
		rc_pair_close(&pair);
	}
}

TEST_HARNESS_MAIN
