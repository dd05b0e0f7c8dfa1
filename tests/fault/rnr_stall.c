// SPDX-License-Identifier: GPL-2.0
/*
 * A request that comes again as soon as its RNR NAK says is not lost, whatever the
 * responder is still busy with: it would come again only when the QP's timeout
 * is over.
 */
#include <pthread.h>
#include <sched.h>

#include "kselftest_harness.h"
#include "park_percent.h"
#include "waiting.h"

#define PAIRS		8
#define PAGES		64
#define SECONDS		8

/* A resend after 4.3 s: no queue pair is kept waiting as long as that. */
#define TIMEOUT		20

FIXTURE(rnr_stall)
{
	struct lab lab;
	struct mem *pinned, *absent;
	struct rc_pair pairs[PAIRS];
	uint64_t retries, naks;
};

FIXTURE_SETUP(rnr_stall)
{
	struct rc_params params = rc_params_default;
	struct lab *lab = &self->lab;
	int i;

	ASSERT_EQ(0, park_percent_set(0));
	DO(lab, lab_open(lab));
	lab->page_latency_ns = NEVER;
	self->pinned = mem_new(lab, MEM_PINNED, PAIRS * PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->pinned) TH_LOG("%s", lab->failure.text);
	self->absent = mem_new(lab, MEM_UFFD, PAIRS * PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->absent) TH_LOG("%s", lab->failure.text);
	params.timeout = TIMEOUT;
	params.min_rnr_timer = 1;	/* 10 us, the shortest */
	for (i = 0; i < PAIRS; i++)
		DO(lab, rc_pair_open(&self->pairs[i], &lab->dev, lab->pd,
				     &params, &lab->failure));
	DO(lab, lab_counter(lab, "completer_retry_err", &self->retries));
	DO(lab, lab_counter(lab, "odp_rnr_nak", &self->naks));
}

FIXTURE_TEARDOWN(rnr_stall)
{
	int i;

	EXPECT_EQ(0, park_percent_set(PARK_PERCENT_DEFAULT));
	for (i = 0; i < PAIRS; i++)
		rc_pair_close(&self->pairs[i]);
	lab_close(&self->lab);
}

/* Takes the CPU from whoever has it, time and again, and for some milliseconds. */
static void *interrupt(void *stop)
{
	struct sched_param param = { .sched_priority = 1 };
	uint64_t until;
	int i;

	if (sched_setscheduler(0, SCHED_FIFO, &param))
		return NULL;
	for (i = 0; !*(volatile bool *)stop; i++) {
		until = now_ns() + (5 + i % 7) * NSEC_PER_MSEC;
		while (now_ns() < until)
			;
		usleep(1000 * (3 + i % 5));
	}
	return stop;
}

TEST_F_TIMEOUT(rnr_stall, none_is_lost, 120)
{
	struct lab *lab = &self->lab;
	volatile bool stop = false;
	uint64_t retries, naks;
	pthread_t thread;
	void *result;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, interrupt, (void *)&stop));
	for (i = 0; i < PAIRS; i++) {
		size_t at = i * PAGES * lab->page_size;
		struct rc_op op = mem_op(IBV_WR_RDMA_WRITE, self->pinned, at,
					 self->absent, at,
					 PAGES * lab->page_size);

		DO(lab, rc_post(&self->pairs[i].end[0], &op, &lab->failure));
	}
	sleep(SECONDS);
	stop = true;
	ASSERT_EQ(0, pthread_join(thread, &result));
	ASSERT_NE(NULL, result);
	DO(lab, lab_counter(lab, "odp_rnr_nak", &naks));
	page_source_stop(self->absent->source);
	self->absent->source = NULL;
	for (i = 0; i < PAIRS; i++)
		DO(lab, ends_until(lab, &self->pairs[i], now_ns() + PATIENCE,
				   IBV_WC_SUCCESS));
	mem_expect(self->absent, 0, self->pinned->image,
		   PAIRS * PAGES * lab->page_size);
	DO(lab, mem_check(lab, self->absent, "remote"));
	DO(lab, lab_counter(lab, "completer_retry_err", &retries));
	TH_LOG("%lu RNR NAKs, %lu retries", naks - self->naks,
	       retries - self->retries);
	ASSERT_LT(self->naks + 2 * PAIRS, naks);
	ASSERT_EQ(self->retries, retries);
}

TEST_HARNESS_MAIN
