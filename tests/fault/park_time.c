// SPDX-License-Identifier: GPL-2.0
/*
 * How long a request waits for its page before it gets an RNR NAK: a share of its
 * QP's own timeout, which the parameter odp_park_percent sets.
 */
#include "kselftest_harness.h"
#include "park_percent.h"
#include "waiting.h"

/* As an exponent of the verbs, and the 4.3 s that it stands for. */
#define TIMEOUT		20
#define TIMEOUT_NS	(4096ULL << TIMEOUT)

/* Timers count in jiffies, the first of which may be a short one. */
#define JIFFY		(10 * NSEC_PER_MSEC)

/* No share of anything: a QP without a timeout. */
#define FOR_EVER	(-1)

FIXTURE(park_time)
{
	struct lab lab;
	struct waiting w;
	struct rc_params params;
	uint64_t naks, parked;
};

FIXTURE_VARIANT(park_time)
{
	int percent;
};

FIXTURE_VARIANT_ADD(park_time, none)
{
	.percent = 0,
};

FIXTURE_VARIANT_ADD(park_time, tenth)
{
	.percent = 10,
};

FIXTURE_VARIANT_ADD(park_time, quarter)
{
	.percent = PARK_PERCENT_DEFAULT,
};

FIXTURE_VARIANT_ADD(park_time, most)
{
	.percent = 75,
};

FIXTURE_VARIANT_ADD(park_time, whole)
{
	.percent = 100,
};

FIXTURE_VARIANT_ADD(park_time, timeout_0)
{
	.percent = FOR_EVER,
};

FIXTURE_SETUP(park_time)
{
	struct lab *lab = &self->lab;

	ASSERT_EQ(PARK_PERCENT_DEFAULT, park_percent_get());
	DO(lab, lab_open(lab));
	self->params = rc_params_default;
	if (variant->percent == FOR_EVER) {
		self->params.timeout = 0;
	} else {
		self->params.timeout = TIMEOUT;
		ASSERT_EQ(0, park_percent_set(variant->percent));
	}
	DO(lab, lab_counter(lab, "odp_rnr_nak", &self->naks));
	DO(lab, lab_counter(lab, "odp_parked", &self->parked));
}

FIXTURE_TEARDOWN(park_time)
{
	EXPECT_EQ(0, park_percent_set(PARK_PERCENT_DEFAULT));
	close_pair(&self->w);
	lab_close(&self->lab);
}

/* A WRITE at the time @begun to a page that comes after @latency. */
static int post(FIXTURE_DATA(park_time) *self, uint64_t latency,
		uint64_t *begun)
{
	struct waiting *w = &self->w;
	struct lab *lab = &self->lab;
	struct rc_op op;
	int err;

	lab->page_latency_ns = latency;
	w->pinned = mem_new(lab, MEM_PINNED, 1, ACCESS_ALL);
	w->absent = w->pinned ? mem_new(lab, MEM_UFFD, 1, ACCESS_ALL) : NULL;
	if (!w->absent)
		return -EIO;
	err = rc_pair_open(&w->pair, &lab->dev, lab->pd, &self->params,
			   &lab->failure);
	w->open = !err;
	op = mem_op(IBV_WR_RDMA_WRITE, w->pinned, 0, w->absent, 0,
		    lab->page_size);
	*begun = now_ns();
	return err ?: rc_post(&w->pair.end[0], &op, &lab->failure);
}

/* When the first RNR NAK came, or 0 if none did. */
static int wait_nak(FIXTURE_DATA(park_time) *self, uint64_t deadline,
		    uint64_t *came)
{
	uint64_t naks = 0;
	int err;

	do {
		err = lab_counter(&self->lab, "odp_rnr_nak", &naks);
		if (err)
			return err;
		*came = naks > self->naks ? now_ns() : 0;
	} while (!*came && now_ns() < deadline);
	return 0;
}

/* Not before its time, and not long after it. */
TEST_F(park_time, page_never_comes)
{
	int percent = variant->percent == FOR_EVER ? 100 : variant->percent;
	uint64_t begun, came, share = TIMEOUT_NS * percent / 100;
	struct lab *lab = &self->lab;

	DO(lab, post(self, NEVER, &begun));
	DO(lab, wait_nak(self, begun + share + AT_ONCE, &came));
	if (variant->percent == FOR_EVER) {
		ASSERT_EQ(0, came);
		return;
	}
	ASSERT_NE(0, came);
	TH_LOG("%d %%, %llu ms: RNR NAK after %llu ms", percent,
	       share / NSEC_PER_MSEC, (came - begun) / NSEC_PER_MSEC);
	ASSERT_LE(share, came - begun + JIFFY);
}

/* Half of the timeout: in time for those that wait longer. */
TEST_F(park_time, page_comes)
{
	bool in_time = variant->percent == FOR_EVER || variant->percent > 50;
	struct lab *lab = &self->lab;
	uint64_t begun, naks, parked;

	DO(lab, post(self, TIMEOUT_NS / 2, &begun));
	DO(lab, ends_until(lab, &self->w.pair, begun + PATIENCE,
			   IBV_WC_SUCCESS));
	mem_expect(self->w.absent, 0, self->w.pinned->image, lab->page_size);
	DO(lab, mem_check(lab, self->w.absent, "remote"));
	DO(lab, lab_counter(lab, "odp_rnr_nak", &naks));
	DO(lab, lab_counter(lab, "odp_parked", &parked));
	ASSERT_LT(self->parked, parked);
	ASSERT_EQ(in_time, naks == self->naks);
}

FIXTURE(parameter) {};

FIXTURE_SETUP(parameter)
{
}

FIXTURE_TEARDOWN(parameter)
{
	EXPECT_EQ(0, park_percent_set(PARK_PERCENT_DEFAULT));
}

TEST_F(parameter, takes_a_share_only)
{
	ASSERT_EQ(0, park_percent_set(0));
	ASSERT_EQ(0, park_percent_get());
	ASSERT_EQ(0, park_percent_set(100));
	ASSERT_EQ(-EINVAL, park_percent_set(101));
	ASSERT_EQ(-EINVAL, park_percent_set(-1));
	ASSERT_EQ(100, park_percent_get());
}

TEST_HARNESS_MAIN
