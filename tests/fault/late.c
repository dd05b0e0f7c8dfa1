// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that come much later than the queue pairs' own timeout and retry count
 * allow for, for each verb, on either side.
 */
#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"

#define PAIRS		32	/* as many as there are values of min_rnr_timer */

/* A resend after 67 ms, and one more after that: any answer keeps it alive. */
static const struct rc_params impatient = {
	.timeout = 14,
	.retry_cnt = 1,
	.rnr_retry = 7,
	.max_rd_atomic = 8,
	.access = ACCESS_ALL,
	.queue = 16,
	.sge = 2,
};

enum verb { READ, WRITE, WRITE_IMM, SEND, CMP_SWAP, FETCH_ADD, VERBS };

static const enum ibv_wr_opcode opcode_of[VERBS] = {
	[READ] = IBV_WR_RDMA_READ,
	[WRITE] = IBV_WR_RDMA_WRITE,
	[WRITE_IMM] = IBV_WR_RDMA_WRITE_WITH_IMM,
	[SEND] = IBV_WR_SEND,
	[CMP_SWAP] = IBV_WR_ATOMIC_CMP_AND_SWP,
	[FETCH_ADD] = IBV_WR_ATOMIC_FETCH_AND_ADD,
};

FIXTURE(late)
{
	struct lab lab;
	struct mem *local, *remote;
	struct rc_pair pairs[PAIRS];
	int n;
};

FIXTURE_VARIANT(late)
{
	enum mem_kind local, remote;
	unsigned int seconds;
	/* Of those of a SEND each is asked for when its packet comes. */
	unsigned int pages;
};

FIXTURE_VARIANT_ADD(late, remote_30s)
{
	.local = MEM_PINNED,
	.remote = MEM_UFFD,
	.seconds = 30,
	.pages = 1,
};

FIXTURE_VARIANT_ADD(late, local)
{
	.local = MEM_UFFD,
	.remote = MEM_PINNED,
	.seconds = 3,
	.pages = 3,
};

FIXTURE_VARIANT_ADD(late, both_shmem)
{
	.local = MEM_UFFD_SHMEM,
	.remote = MEM_UFFD_SHMEM,
	.seconds = 3,
	.pages = 3,
};

FIXTURE_SETUP(late)
{
	struct rc_params params = impatient;
	struct lab *lab = &self->lab;
	int pairs = rounds(PAIRS);

	/* A kernel that checks all it does is too slow to answer in 67 ms. */
	if (is_debug_kernel())
		params.timeout = 17;
	DO(lab, lab_open(lab));
	lab->page_latency_ns = variant->seconds * NSEC_PER_SEC;
	self->local = mem_new(lab, variant->local, PAIRS * variant->pages,
			      ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_new(lab, variant->remote, PAIRS * variant->pages,
			       ACCESS_ALL);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
	while (self->n < pairs) {
		params.min_rnr_timer = self->n * (PAIRS / pairs);
		DO(lab, rc_pair_open(&self->pairs[self->n], &lab->dev, lab->pd,
				     &params, &lab->failure));
		self->n++;
	}
}

FIXTURE_TEARDOWN(late)
{
	int i;

	for (i = 0; i < self->n; i++)
		rc_pair_close(&self->pairs[i]);
	lab_close(&self->lab);
}

/* Pages of one pair, and what of them is accessed: all, if not in full. */
static struct rc_op op_of(struct lab *lab, struct mem *local,
			  struct mem *remote, int i, unsigned int pages,
			  enum verb verb)
{
	size_t at = i * pages * lab->page_size;
	size_t len = pages * lab->page_size - 1100;
	struct rc_op op;

	if (verb == CMP_SWAP || verb == FETCH_ADD) {
		op = mem_op(opcode_of[verb], local, at, remote, at, 8);
		op.compare_add = verb == FETCH_ADD ? 1 : 0;
		return op;
	}
	at += 1000;
	op = mem_op(opcode_of[verb], local, at, remote, at, len);
	if (verb == READ)
		mem_expect(local, at, remote->image + at, len);
	else
		mem_expect(remote, at, local->image + at, len);
	return op;
}

/* What an atomic at the start of a page leaves behind. */
static void expect_atomic(struct mem *local, struct mem *remote, size_t at,
			  enum verb verb)
{
	uint64_t before, after;

	memcpy(&before, remote->image + at, sizeof(before));
	memcpy(local->image + at, &before, sizeof(before));
	after = verb == FETCH_ADD ? before + 1 : before;
	mem_expect(remote, at, &after, sizeof(after));
}

/* Where it was accessed; the other pages are still to come, as late as these. */
static int check(struct lab *lab, struct mem *mem, size_t at, size_t len,
		 const char *name)
{
	size_t wrong;

	if (bytes_equal(mem->image + at, mem->addr + at, len, &wrong))
		return 0;
	return fail(&lab->failure, 0, "%s memory: byte %zu is wrong", name,
		    at + wrong);
}

TEST_F_TIMEOUT(late, each_verb, 400)
{
	struct lab *lab = &self->lab;
	uint64_t patience = (variant->seconds * 4 + 60) * NSEC_PER_SEC;
	struct rc_op ops[PAIRS];
	struct ibv_wc wc;
	int i;

	for (i = 0; i < self->n; i++) {
		size_t at = i * variant->pages * lab->page_size;
		enum verb verb = i % VERBS;
		struct rc_op op = op_of(lab, self->local, self->remote, i,
					variant->pages, verb);

		ops[i] = op;
		if (verb == CMP_SWAP || verb == FETCH_ADD)
			expect_atomic(self->local, self->remote, at, verb);
		if (verb == SEND || verb == WRITE_IMM) {
			struct ibv_sge sge = {
				.addr = self->remote->iova + at + 1000,
				.length = op.length,
				.lkey = self->remote->mr->lkey,
			};

			DO(lab, rc_post_recv(&self->pairs[i].end[1], &sge, 1,
					     &lab->failure));
		}
		DO(lab, rc_post(&self->pairs[i].end[0], &op, &lab->failure));
	}
	for (i = 0; i < self->n; i++) {
		DO(lab, rc_wait(&self->pairs[i].end[0].send, &wc,
				now_ns() + patience, &lab->failure));
		ASSERT_EQ(IBV_WC_SUCCESS, wc.status)
			TH_LOG("verb %d, min_rnr_timer %d: %s", i % VERBS, i,
			       ibv_wc_status_str(wc.status));
	}
	for (i = 0; i < self->n; i++) {
		DO(lab, check(lab, self->local, ops[i].laddr - self->local->iova,
			      ops[i].length, "local"));
		DO(lab, check(lab, self->remote,
			      ops[i].raddr - self->remote->iova, ops[i].length,
			      "remote"));
	}
}

/* Connect end 0 again, to end 1 as it is. */
static int reconnect(struct lab *lab, struct rc_pair *pair)
{
	struct ibv_qp_attr attr, peer;
	struct ibv_qp_init_attr init;
	int err;

	err = ibv_query_qp(pair->end[1].qp, &peer, IBV_QP_STATE, &init);
	if (err)
		return fail(&lab->failure, err, "cannot query the responder");
	if (peer.qp_state != IBV_QPS_RTS)
		return fail(&lab->failure, 0, "the responder is in state %d",
			    peer.qp_state);

	err = ibv_query_qp(pair->end[0].qp, &attr, IBV_QP_STATE, &init);
	attr.qp_state = IBV_QPS_RESET;
	err = err ?: ibv_modify_qp(pair->end[0].qp, &attr, IBV_QP_STATE);
	attr.qp_state = IBV_QPS_INIT;
	err = err ?: ibv_modify_qp(pair->end[0].qp, &attr,
				   IBV_QP_STATE | IBV_QP_PKEY_INDEX |
				   IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	attr.qp_state = IBV_QPS_RTR;
	attr.rq_psn = peer.sq_psn;
	err = err ?: ibv_modify_qp(pair->end[0].qp, &attr,
				   IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
				   IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				   IBV_QP_MAX_DEST_RD_ATOMIC |
				   IBV_QP_MIN_RNR_TIMER);
	attr.qp_state = IBV_QPS_RTS;
	attr.sq_psn = peer.rq_psn;
	err = err ?: ibv_modify_qp(pair->end[0].qp, &attr,
				   IBV_QP_STATE | IBV_QP_TIMEOUT |
				   IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				   IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
	return err ? fail(&lab->failure, err, "cannot connect again") : 0;
}

/* An RNR retry count that is used up is what the requester hears of. */
TEST_F_TIMEOUT(late, rnr_retries_end, 120)
{
	struct lab *lab = &self->lab;
	struct rc_params params = impatient;
	struct rc_pair *pair = &self->pairs[0];
	struct ibv_wc wc;
	struct rc_op op;

	if (variant->seconds < 30)
		SKIP(return, "the page comes too soon");

	rc_pair_close(pair);
	params.rnr_retry = 1;
	params.min_rnr_timer = 14;
	DO(lab, rc_pair_open(pair, &lab->dev, lab->pd, &params, &lab->failure));

	op = op_of(lab, self->local, self->remote, 0, variant->pages, WRITE);
	DO(lab, lab_run_status(lab, &pair->end[0], &op, IBV_WC_RNR_RETRY_EXC_ERR,
			       &wc));

	/* The responder has lost nothing. */
	DO(lab, reconnect(lab, pair));
	op = mem_op(IBV_WR_RDMA_WRITE, self->local, 0, self->local,
		    lab->page_size, 8);
	DO(lab, lab_run_status(lab, &pair->end[0], &op, IBV_WC_SUCCESS, &wc));
}

TEST_HARNESS_MAIN
