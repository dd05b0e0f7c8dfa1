// SPDX-License-Identifier: GPL-2.0
/*
 * Messages that nobody sends again, for pages that are absent. The responder waits
 * a second; then the message is lost, as UC and UD allow, and counted.
 */
#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"

#define PAGES		4

/* What an address handle has come by is put before a message of UD. */
#define GRH		40

/* As many packets are kept for a queue pair that waits. */
#define KEPT		256
#define MANY		300

/* A second, and what a machine may add that is busy with other things. */
#define PARKED_LEAST	(9 * NSEC_PER_SEC / 10)
#define PARKED_MOST	((is_debug_kernel() ? 20 : 5) * NSEC_PER_SEC)

FIXTURE(unreliable)
{
	struct lab lab;
	struct mem *pinned, *absent, *there;
	struct rc_pair pair;
	struct ibv_srq *srq;
	size_t len, grh;
	uint64_t dropped, parked, cancelled;
};

FIXTURE_VARIANT(unreliable)
{
	enum ibv_qp_type transport;
	enum ibv_wr_opcode opcode;
	bool srq;
};

FIXTURE_VARIANT_ADD(unreliable, uc_write)
{
	.transport = IBV_QPT_UC,
	.opcode = IBV_WR_RDMA_WRITE,
};

FIXTURE_VARIANT_ADD(unreliable, uc_send)
{
	.transport = IBV_QPT_UC,
	.opcode = IBV_WR_SEND,
};

FIXTURE_VARIANT_ADD(unreliable, ud_send)
{
	.transport = IBV_QPT_UD,
	.opcode = IBV_WR_SEND,
};

FIXTURE_VARIANT_ADD(unreliable, uc_send_srq)
{
	.transport = IBV_QPT_UC,
	.opcode = IBV_WR_SEND,
	.srq = true,
};

FIXTURE_VARIANT_ADD(unreliable, ud_send_srq)
{
	.transport = IBV_QPT_UD,
	.opcode = IBV_WR_SEND,
	.srq = true,
};

#define ODP_UD	(IBV_ODP_SUPPORT_SEND | IBV_ODP_SUPPORT_RECV)
#define ODP_UC	(ODP_UD | IBV_ODP_SUPPORT_WRITE)

FIXTURE_SETUP(unreliable)
{
	struct rc_params params = rc_params_default;
	const struct ibv_odp_caps *caps;
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	caps = &lab->dev.attr.odp_caps;
	ASSERT_EQ(ODP_UC, caps->per_transport_caps.uc_odp_caps & ODP_UC);
	ASSERT_EQ(ODP_UD, caps->per_transport_caps.ud_odp_caps & ODP_UD);
	params.transport = variant->transport;
	params.queue = 2 * MANY;
	if (variant->srq) {
		struct ibv_srq_init_attr attr = {
			.attr = { .max_wr = params.queue, .max_sge = 1 },
		};

		self->srq = ibv_create_srq(lab->pd, &attr);
		ASSERT_NE(NULL, self->srq);
		params.srq = self->srq;
	}
	DO(lab, rc_pair_open(&self->pair, &lab->dev, lab->pd, &params,
			     &lab->failure));
	self->pinned = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->pinned) TH_LOG("%s", lab->failure.text);
	self->there = mem_new(lab, MEM_RESIDENT, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->there) TH_LOG("%s", lab->failure.text);
	/* Several packets of several pages; of UD it is one packet of two. */
	self->len = 3 * lab->page_size - 1100;
	if (variant->transport == IBV_QPT_UD) {
		self->len = lab->page_size - 1100;
		self->grh = GRH;
	}
	DO(lab, lab_counter(lab, "odp_dropped", &self->dropped));
	DO(lab, lab_counter(lab, "odp_parked", &self->parked));
	DO(lab, lab_counter(lab, "odp_cancelled", &self->cancelled));
}

FIXTURE_TEARDOWN(unreliable)
{
	uint64_t begun = now_ns();

	rc_pair_close(&self->pair);
	if (self->srq)
		EXPECT_EQ(0, ibv_destroy_srq(self->srq));
	EXPECT_LT(now_ns() - begun, AT_ONCE);
	lab_close(&self->lab);
}

/* Between odd places of both, so that pages and packets are not the same. */
#define FROM	77
#define TO	2000

static int post_recv(FIXTURE_DATA(unreliable) *self, struct mem *to)
{
	struct ibv_sge sge = {
		.addr = to->iova + TO - self->grh,
		.length = self->len + self->grh,
		.lkey = to->mr->lkey,
	};

	return rc_post_recv(&self->pair.end[1], &sge, 1, &self->lab.failure);
}

/* What the sender is told is only that it was sent. */
static int sent(struct lab *lab, struct rc_pair *pair)
{
	struct ibv_wc wc;
	int err;

	err = rc_wait(&pair->end[0].send, &wc, now_ns() + PATIENCE,
		      &lab->failure);
	if (!err && wc.status != IBV_WC_SUCCESS)
		err = fail(&lab->failure, 0, "send: %s",
			   ibv_wc_status_str(wc.status));
	return err;
}

static int post(FIXTURE_DATA(unreliable) *self,
		const FIXTURE_VARIANT(unreliable) *variant,
		const struct mem *from, const struct mem *to)
{
	struct rc_op op = mem_op(variant->opcode, from, FROM, to, TO, self->len);

	return rc_post(&self->pair.end[0], &op, &self->lab.failure);
}

/*
 * Until what was sent is there. A WRITE tells nobody: an empty SEND behind it
 * does.
 */
static int arrived(FIXTURE_DATA(unreliable) *self,
		   const FIXTURE_VARIANT(unreliable) *variant)
{
	struct rc_op empty = { .opcode = IBV_WR_SEND };
	struct lab *lab = &self->lab;
	struct ibv_wc wc;
	int err = 0;

	if (variant->opcode == IBV_WR_RDMA_WRITE)
		err = rc_post_recv(&self->pair.end[1], NULL, 0, &lab->failure) ?:
		      rc_post(&self->pair.end[0], &empty, &lab->failure) ?:
		      sent(lab, &self->pair);
	if (!err)
		err = rc_wait(&self->pair.end[1].recv, &wc, now_ns() + PATIENCE,
			      &lab->failure);
	if (!err && wc.status != IBV_WC_SUCCESS)
		err = fail(&lab->failure, 0, "receive: %s",
			   ibv_wc_status_str(wc.status));
	return err;
}

/* What has come, and, but for the header before it, nothing else. */
static int check(FIXTURE_DATA(unreliable) *self, const struct mem *from,
		 struct mem *to)
{
	memcpy(to->image + TO - self->grh, to->addr + TO - self->grh, self->grh);
	mem_expect(to, TO, from->image + FROM, self->len);
	return mem_check(&self->lab, to, "remote");
}

static int new_absent(FIXTURE_DATA(unreliable) *self, uint64_t latency)
{
	self->lab.page_latency_ns = latency;
	self->absent = mem_new(&self->lab, MEM_UFFD, PAGES, ACCESS_ALL);
	return self->absent ? 0 : -EIO;
}

/* Until a counter is above that. */
#define WAIT_COUNTER(lab, name, before, now) do { \
	uint64_t _deadline = now_ns() + PATIENCE; \
	do { \
		DO(lab, lab_counter(lab, name, now)); \
		ASSERT_GT(_deadline, now_ns()) TH_LOG("no %s", name); \
	} while (*(now) <= (before)); \
} while (0)

/* Each packet of a SEND waits for its page anew. */
TEST_F(unreliable, within_the_second)
{
	struct lab *lab = &self->lab;
	uint64_t now;

	DO(lab, new_absent(self, 100 * NSEC_PER_MSEC));
	if (variant->opcode == IBV_WR_SEND)
		DO(lab, post_recv(self, self->absent));
	DO(lab, post(self, variant, self->pinned, self->absent));
	DO(lab, sent(lab, &self->pair));
	DO(lab, arrived(self, variant));
	DO(lab, check(self, self->pinned, self->absent));
	DO(lab, lab_counter(lab, "odp_parked", &now));
	ASSERT_LT(self->parked, now);
	DO(lab, lab_counter(lab, "odp_dropped", &now));
	ASSERT_EQ(self->dropped, now);
}

TEST_F(unreliable, never)
{
	struct lab *lab = &self->lab;
	uint64_t begun, took, now;

	DO(lab, new_absent(self, NEVER));
	if (variant->opcode == IBV_WR_SEND)
		DO(lab, post_recv(self, self->absent));
	begun = now_ns();
	DO(lab, post(self, variant, self->pinned, self->absent));
	DO(lab, sent(lab, &self->pair));
	WAIT_COUNTER(lab, "odp_dropped", self->dropped, &now);
	took = now_ns() - begun;
	TH_LOG("dropped after %lu ms", took / NSEC_PER_MSEC);
	ASSERT_LT(PARKED_LEAST, took);
	ASSERT_GT(PARKED_MOST, took);
	ASSERT_EQ(0, pagemap_count(self->absent->addr, self->absent->len,
				   PM_PRESENT));

	/*
	 * The next one. A receive that was not used is the next one's, so that
	 * needs its pages now: ordinary ones, if nobody supplies them.
	 */
	if (variant->opcode == IBV_WR_SEND) {
		page_source_stop(self->absent->source);
		self->absent->source = NULL;
		memset(self->absent->image, 0, self->absent->len);
		DO(lab, post(self, variant, self->there, self->absent));
		DO(lab, sent(lab, &self->pair));
		DO(lab, arrived(self, variant));
		DO(lab, check(self, self->there, self->absent));
	} else {
		DO(lab, post(self, variant, self->pinned, self->there));
		DO(lab, sent(lab, &self->pair));
		DO(lab, arrived(self, variant));
		DO(lab, check(self, self->pinned, self->there));
		ASSERT_EQ(0, pagemap_count(self->absent->addr,
					   self->absent->len, PM_PRESENT));
	}
	/* One message, whatever the number of its packets. */
	DO(lab, lab_counter(lab, "odp_dropped", &now));
	ASSERT_EQ(self->dropped + 1, now);
}

/* It is taken back, and not waited for until it would be dropped. */
TEST_F(unreliable, destroy)
{
	struct lab *lab = &self->lab;
	uint64_t now;

	DO(lab, new_absent(self, NEVER));
	if (variant->opcode == IBV_WR_SEND)
		DO(lab, post_recv(self, self->absent));
	DO(lab, post(self, variant, self->pinned, self->absent));
	DO(lab, sent(lab, &self->pair));
	WAIT_COUNTER(lab, "odp_parked", self->parked, &now);
	AT_ONCE_DO(ibv_destroy_qp(self->pair.end[1].qp));
	self->pair.end[1].qp = NULL;
	DO(lab, lab_counter(lab, "odp_cancelled", &now));
	ASSERT_EQ(self->cancelled + 1, now);
	DO(lab, lab_counter(lab, "odp_dropped", &now));
	ASSERT_EQ(self->dropped, now);
}

/* What the sender itself waits for has all the time in the world. */
TEST_F(unreliable, sender_waits)
{
	struct lab *lab = &self->lab;
	uint64_t now;

	DO(lab, new_absent(self, 2 * NSEC_PER_SEC));
	if (variant->opcode == IBV_WR_SEND)
		DO(lab, post_recv(self, self->there));
	DO(lab, post(self, variant, self->absent, self->there));
	DO(lab, sent(lab, &self->pair));
	DO(lab, arrived(self, variant));
	DO(lab, check(self, self->absent, self->there));
	DO(lab, lab_counter(lab, "odp_parked", &now));
	ASSERT_LT(self->parked, now);
	DO(lab, lab_counter(lab, "odp_dropped", &now));
	ASSERT_EQ(self->dropped, now);
}

/* So many wait behind the first, and are served when it was lost. */
TEST_F(unreliable, many_behind)
{
	struct lab *lab = &self->lab;
	uint64_t dropped, now;
	int i;

	if (variant->opcode == IBV_WR_SEND)
		SKIP(return, "each SEND would wait for the page of the same receive");

	DO(lab, new_absent(self, NEVER));
	self->len = 8;
	DO(lab, post(self, variant, self->pinned, self->absent));
	DO(lab, sent(lab, &self->pair));
	WAIT_COUNTER(lab, "odp_parked", self->parked, &now);
	for (i = 0; i < MANY; i++) {
		struct rc_op op = mem_op(variant->opcode, self->pinned, i * 8,
					 self->there, i * 8, 8);

		DO(lab, rc_post(&self->pair.end[0], &op, &lab->failure));
		/* The first has one of the places. */
		if (i < KEPT - 1)
			mem_expect(self->there, i * 8,
				   self->pinned->image + i * 8, 8);
	}
	for (i = 0; i < MANY; i++)
		DO(lab, sent(lab, &self->pair));
	/* What was sent may still be on its way, but not longer than the first waits. */
	dropped = self->dropped + MANY - (KEPT - 1);
	WAIT_COUNTER(lab, "odp_dropped", dropped, &now);
	DO(lab, arrived(self, variant));
	DO(lab, mem_check(lab, self->there, "remote"));
	DO(lab, lab_counter(lab, "odp_dropped", &now));
	ASSERT_EQ(dropped + 1, now);
}

TEST_HARNESS_MAIN
