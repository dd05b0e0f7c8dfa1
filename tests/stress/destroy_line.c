// SPDX-License-Identifier: GPL-2.0
/*
 * Queue pairs that wait for pages which nobody supplies are destroyed while their
 * packets are on a slow line, which on-two-sides has set up, and overtake each
 * other: what comes late finds nobody, or somebody who waits.
 */
#include <stdlib.h>
#include <string.h>

#include "kselftest_harness.h"
#include "machine.h"
#include "two_sides.h"

#define ROUNDS		20
#define MANY		200
#define PACKET		1024

/* The line takes up to 35 ms; then all that has come has parked. */
#define LATEST_US	60000

FIXTURE(line)
{
	struct side side[2];
	uint64_t cancelled, overtaken;
	unsigned int seed;
};

FIXTURE_VARIANT(line)
{
	/* The side whose pages do not come. */
	enum side_of { LEFT_SIDE, RIGHT_SIDE } absent;
	int pages;
};

/* All its operations wait for the same page. */
FIXTURE_VARIANT_ADD(line, local_1)
{
	.absent = LEFT_SIDE, .pages = 1,
};

FIXTURE_VARIANT_ADD(line, remote_1)
{
	.absent = RIGHT_SIDE, .pages = 1,
};

FIXTURE_VARIANT_ADD(line, local_200)
{
	.absent = LEFT_SIDE, .pages = MANY,
};

FIXTURE_VARIANT_ADD(line, remote_200)
{
	.absent = RIGHT_SIDE, .pages = MANY,
};

#define LEFT	(&self->side[0])
#define RIGHT	(&self->side[1])

static int read_counters(int absent, uint64_t *cancelled, uint64_t *overtaken)
{
	uint64_t duplicate, early;
	int err;

	err = read_counter(device[absent], "odp_cancelled", cancelled) ?:
	      read_counter(device[1], "duplicate_request", &duplicate) ?:
	      read_counter(device[1], "out_of_seq_request", &early);
	*overtaken = duplicate + early;
	return err;
}

FIXTURE_SETUP(line)
{
	int i;

	self->seed = getenv("SEED") ? atoi(getenv("SEED")) : (int)now_ns();
	TH_LOG("seed %u (the variable SEED repeats it)", self->seed);
	for (i = 0; i < 2; i++) {
		struct side *side = &self->side[i];

		DO(&side->lab, open_side(side, device[i]));
		side->lab.page_latency_ns = NEVER;
		side->mem = mem_new(&side->lab, i == (int)variant->absent ?
						MEM_UFFD : MEM_PINNED,
				    variant->pages, ACCESS);
		ASSERT_NE(NULL, side->mem) TH_LOG("%s", side->lab.failure.text);
	}
	ASSERT_EQ(0, read_counters(variant->absent, &self->cancelled,
				   &self->overtaken));
}

FIXTURE_TEARDOWN(line)
{
	int i;

	for (i = 0; i < 2; i++) {
		stop_source(&self->side[i]);
		close_end(&self->side[i]);
		lab_close(&self->side[i].lab);
	}
}

static int connect_sides(struct side *side)
{
	return connect_side(&side[0], &side[1], 0xffffc0, 0xfffff0) ?:
	       connect_side(&side[1], &side[0], 0xfffff0, 0xffffc0);
}

/* Of all pages, by turns; the first is one whose packets go to the absent ones. */
static int post_all(struct side *side, bool read_first)
{
	size_t len = side[0].mem->len;
	int i, err = 0;

	for (i = 0; i < FLIGHT && !err; i++) {
		struct rc_op op = mem_op(i % 2 == read_first ? IBV_WR_RDMA_WRITE :
							      IBV_WR_RDMA_READ,
					 side[0].mem, 0, side[1].mem, 0, len);

		err = rc_post(&side[0].end, &op, &side[0].lab.failure);
	}
	return err;
}

static int destroy_qp(struct side *side, uint64_t *longest)
{
	uint64_t begun = now_ns(), took;
	int err;

	err = ibv_destroy_qp(side->end.qp);
	took = now_ns() - begun;
	side->end.qp = NULL;
	if (took > *longest)
		*longest = took;
	return err ? fail(&side->lab.failure, err, "cannot destroy") : 0;
}

TEST_F_TIMEOUT(line, destroy, 120)
{
	bool responses = variant->absent == LEFT_SIDE;
	uint64_t deadline = now_ns() + 3 * PATIENCE;
	uint64_t cancelled, overtaken, longest = 0;
	bool seen = false;
	struct side *absent = &self->side[variant->absent];
	struct rc_op op;
	struct ibv_wc wc;
	int i;

	/* A request is parked for a part of the time, and back on the line for the rest. */
	for (i = 0; i < rounds(ROUNDS) || !seen; i++) {
		int first = rand_r(&self->seed) % 2;

		DO(&LEFT->lab, connect_sides(self->side));
		DO(&LEFT->lab, post_all(self->side, responses));
		/* Once all have parked for sure, however slow this is. */
		usleep(i ? rand_r(&self->seed) % LATEST_US : 20 * LATEST_US);
		DO(&self->side[first].lab, destroy_qp(&self->side[first], &longest));
		usleep(rand_r(&self->seed) % 3 * LATEST_US / 4);
		DO(&self->side[!first].lab, destroy_qp(&self->side[!first], &longest));
		close_end(LEFT);
		close_end(RIGHT);
		DO(&LEFT->lab, open_end(LEFT));
		DO(&RIGHT->lab, open_end(RIGHT));

		ASSERT_EQ(0, read_counters(variant->absent, &cancelled, &overtaken));
		cancelled -= self->cancelled;
		overtaken -= self->overtaken;
		seen = cancelled && (responses || overtaken);
		ASSERT_TRUE(seen || now_ns() < deadline)
			TH_LOG("%lu were parked, %lu packets were overtaken",
			       cancelled, overtaken);
	}
	TH_LOG("%d rounds, %lu were parked, the longest took %lu ms", i,
	       cancelled, longest / NSEC_PER_MSEC);
	ASSERT_LT(longest, AT_ONCE);

	/* Nothing of all that is left in the region. One packet overtakes nobody. */
	stop_source(absent);
	DO(&LEFT->lab, connect_sides(self->side));
	op = mem_op(responses ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE,
		    LEFT->mem, 0, RIGHT->mem, 0, PACKET);
	DO(&LEFT->lab, lab_run_status(&LEFT->lab, &LEFT->end, &op,
				      IBV_WC_SUCCESS, &wc));
	ASSERT_EQ(0, memcmp(LEFT->mem->addr, RIGHT->mem->addr, PACKET));
}

TEST_HARNESS_MAIN
