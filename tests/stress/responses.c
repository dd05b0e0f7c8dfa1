// SPDX-License-Identifier: GPL-2.0
/*
 * Responses that come at an odd time, sent by hand to a requester whose peer is
 * silent. What the fuzzer of packets and a line that reorders them have found.
 */
#include "kselftest_harness.h"
#include "roce.h"
#include "two_sides.h"

#define PSN		0x1000
#define OTHER_PSN	0x2000
#define MTU		1024
#define LONG		200	/* packets, more than rxe sends without an ACK */

/* BTH opcodes of RC */
#define READ_FIRST	0x0d
#define READ_MIDDLE	0x0e
#define READ_LAST	0x0f
#define READ_ONLY	0x10
#define ACK		0x11

FIXTURE(responses)
{
	struct side left, deaf;
	struct mem *mem;
};

FIXTURE_VARIANT(responses)
{
	enum mem_kind kind;
};

FIXTURE_VARIANT_ADD(responses, pinned)
{
	.kind = MEM_PINNED,
};

FIXTURE_VARIANT_ADD(responses, resident)
{
	.kind = MEM_RESIDENT,
};

FIXTURE_SETUP(responses)
{
	struct side *left = &self->left;

	ASSERT_EQ(0, open_line());
	DO(&left->lab, open_side(left, device[0]));
	/* Never leaves the reset state, so nothing is answered. */
	DO(&self->deaf.lab, open_side(&self->deaf, device[1]));
	DO(&left->lab, connect_side(left, &self->deaf, PSN, OTHER_PSN));
	self->mem = mem_new(&left->lab, variant->kind,
			    1 + LONG * MTU / left->lab.page_size, ACCESS_ALL);
	ASSERT_NE(NULL, self->mem) TH_LOG("%s", left->lab.failure.text);
}

FIXTURE_TEARDOWN(responses)
{
	close_end(&self->left);
	close_end(&self->deaf);
	lab_close(&self->left.lab);
	lab_close(&self->deaf.lab);
}

static int respond(struct side *side, unsigned int opcode, uint32_t psn,
		   const void *payload, size_t len)
{
	struct packet p;

	begin_packet(&p);
	put_bth(&p, opcode, 0, 0xffff, side->end.qp->qp_num, psn);
	/* All but the middle ones have an AETH: here, an ACK. */
	if (opcode != READ_MIDDLE)
		put32(&p, 0x1f << 24);
	put(&p, payload, len);
	return send_packet(&p, true, 0);
}

/* Waits until the requester has begun some more retries. */
static int sent_again(struct side *side, int times)
{
	const char *name = "completer_retry_err";
	uint64_t begin;

	return lab_counter(&side->lab, name, &begin) ?:
	       lab_counter_above(&side->lab, name, begin + times - 1);
}

/* Until its first packet is on its way. To what was not sent there is no answer. */
static int post(struct side *side, const struct rc_op *op)
{
	const char *name = "sent_pkts";
	uint64_t begin;

	return lab_counter(&side->lab, name, &begin) ?:
	       rc_post(&side->end, op, &side->lab.failure) ?:
	       lab_counter_above(&side->lab, name, begin);
}

static int post_read(struct side *side, struct mem *mem, size_t len, int flags)
{
	struct rc_op op = {
		.opcode = IBV_WR_RDMA_READ,
		.laddr = mem->iova,
		.lkey = mem->mr->lkey,
		.length = len,
		.flags = flags,
		.raddr = 0x1000,
		.rkey = 0x1234,
	};

	return post(side, &op);
}

static int post_write(struct side *side, struct mem *mem, size_t len, int flags)
{
	struct rc_op op = {
		.opcode = IBV_WR_RDMA_WRITE,
		.laddr = mem->iova + side->lab.page_size,
		.lkey = mem->mr->lkey,
		.length = len,
		.flags = flags,
		.raddr = 0x1000,
		.rkey = 0x1234,
	};

	return post(side, &op);
}

static int success(struct side *side)
{
	struct ibv_wc wc;

	return wait_for(side, &side->end.send, &wc);
}

/*
 * The second half of an answer without the first: whatever becomes of the READ,
 * it must not be reported as done.
 */
TEST_F(responses, middle_without_first)
{
	struct side *left = &self->left;
	char payload[MTU] = { 1 };
	struct ibv_wc wc;

	DO(&left->lab, post_read(left, self->mem, 3 * MTU, 0));
	ASSERT_EQ(0, respond(left, READ_MIDDLE, PSN, payload, MTU));
	/* To go on waiting for a proper answer is right, too. */
	if (!rc_wait(&left->end.send, &wc, now_ns() + NSEC_PER_SEC,
		     &left->lab.failure))
		ASSERT_NE(IBV_WC_SUCCESS, wc.status)
			TH_LOG("a READ without an answer was successful");
	DO(&left->lab, mem_check(&left->lab, self->mem, "local"));
}

/* An ACK that was late, or came twice, in the middle of another's answer. */
TEST_F(responses, late_ack_within_read)
{
	struct side *left = &self->left;
	char payload[3 * MTU];
	int i;

	pattern_fill(payload, sizeof(payload), 77, 0);
	DO(&left->lab, post_write(left, self->mem, 100, 0));
	DO(&left->lab, post_read(left, self->mem, sizeof(payload), 0));
	ASSERT_EQ(0, respond(left, ACK, PSN, NULL, 0));
	ASSERT_EQ(0, respond(left, READ_FIRST, PSN + 1, payload, MTU));
	ASSERT_EQ(0, respond(left, ACK, PSN, NULL, 0));
	ASSERT_EQ(0, respond(left, READ_MIDDLE, PSN + 2, payload + MTU, MTU));
	ASSERT_EQ(0, respond(left, READ_LAST, PSN + 3, payload + 2 * MTU, MTU));
	for (i = 0; i < 2; i++)
		DO(&left->lab, success(left));
	mem_expect(self->mem, 0, payload, sizeof(payload));
	DO(&left->lab, mem_check(&left->lab, self->mem, "local"));
}

/*
 * The ACK of a whole WRITE while it is being sent: that of its first copy, if this is the
 * second one. What was not sent to its end cannot be over, and is sent until an ACK comes
 * after that.
 */
TEST_F(responses, ack_while_sent)
{
	struct side *left = &self->left;

	DO(&left->lab, post_write(left, self->mem, LONG * MTU, 0));
	ASSERT_EQ(0, respond(left, ACK, PSN + LONG - 1, NULL, 0));
	DO(&left->lab, sent_again(left, 2));
	ASSERT_EQ(0, respond(left, ACK, PSN + LONG - 1, NULL, 0));
	DO(&left->lab, success(left));
}

/* What is sent again does not wait for itself. */
TEST_F(responses, fenced_read)
{
	struct side *left = &self->left;
	char payload[100];

	pattern_fill(payload, sizeof(payload), 78, 0);
	DO(&left->lab, post_read(left, self->mem, sizeof(payload),
				 IBV_SEND_FENCE));
	DO(&left->lab, sent_again(left, 2));
	ASSERT_EQ(0, respond(left, READ_ONLY, PSN, payload, sizeof(payload)));
	DO(&left->lab, success(left));
	mem_expect(self->mem, 0, payload, sizeof(payload));
	DO(&left->lab, mem_check(&left->lab, self->mem, "local"));
}

/* Nor for what comes after it. */
TEST_F(responses, read_after_fenced_write)
{
	struct side *left = &self->left;
	char payload[100];

	pattern_fill(payload, sizeof(payload), 79, 0);
	DO(&left->lab, post_write(left, self->mem, 100, IBV_SEND_FENCE));
	DO(&left->lab, post_read(left, self->mem, sizeof(payload), 0));
	DO(&left->lab, sent_again(left, 2));
	ASSERT_EQ(0, respond(left, ACK, PSN, NULL, 0));
	ASSERT_EQ(0, respond(left, READ_ONLY, PSN + 1, payload,
			     sizeof(payload)));
	DO(&left->lab, success(left));
	DO(&left->lab, success(left));
	mem_expect(self->mem, 0, payload, sizeof(payload));
	DO(&left->lab, mem_check(&left->lab, self->mem, "local"));
}

/* A response to all of a READ that does not have all of it, and has it twice. */
TEST_F(responses, read_too_short)
{
	struct side *left = &self->left;
	char payload[MTU] = { 1 };
	struct ibv_wc wc;
	int i;

	DO(&left->lab, post_read(left, self->mem, 3 * MTU, 0));
	ASSERT_EQ(0, respond(left, READ_FIRST, PSN, payload, MTU));
	ASSERT_EQ(0, respond(left, READ_MIDDLE, PSN + 1, payload, MTU));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, respond(left, READ_LAST, PSN + 2, payload, 100));
	DO(&left->lab, rc_wait(&left->end.send, &wc, now_ns() + PATIENCE,
			       &left->lab.failure));
	ASSERT_EQ(IBV_WC_BAD_RESP_ERR, wc.status)
		TH_LOG("%s", ibv_wc_status_str(wc.status));
}

/* What belongs to no request at all. */
TEST_F(responses, unasked)
{
	struct side *left = &self->left;
	char payload[MTU] = { 1 };
	uint32_t psn;

	for (psn = PSN - 2; psn < PSN + 4; psn++) {
		ASSERT_EQ(0, respond(left, READ_FIRST, psn, payload, MTU));
		ASSERT_EQ(0, respond(left, READ_MIDDLE, psn, payload, MTU));
		ASSERT_EQ(0, respond(left, READ_LAST, psn, payload, MTU));
		ASSERT_EQ(0, respond(left, ACK, psn, NULL, 0));
	}
	usleep(100000);
	DO(&left->lab, post_write(left, self->mem, 100, 0));
	ASSERT_EQ(0, respond(left, ACK, PSN, NULL, 0));
	DO(&left->lab, success(left));
	DO(&left->lab, mem_check(&left->lab, self->mem, "local"));
}

TEST_HARNESS_MAIN
