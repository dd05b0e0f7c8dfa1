// SPDX-License-Identifier: GPL-2.0
/*
 * What others notice of accesses that wait for pages which nobody supplies.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "samples.h"

/* A thousand accesses each way, in turn: other load of the machine comes and goes. */
#define TURNS		50
#define ACCESSES	20

#define PROCESSES	64
#define FAULTS		64
#define PROCESS_TURNS	9

FIXTURE(isolation)
{
	struct lab lab;
	struct mem *local, *other, *shared;
	struct rc_pair stalled;
	bool open;
};

FIXTURE_SETUP(isolation)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->local = mem_new(lab, MEM_PINNED, 2, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->other = mem_new(lab, MEM_RESIDENT, 2, ACCESS_ALL);
	ASSERT_NE(NULL, self->other) TH_LOG("%s", lab->failure.text);
}

FIXTURE_TEARDOWN(isolation)
{
	if (self->open)
		rc_pair_close(&self->stalled);
	lab_close(&self->lab);
}

/* A region with one page there, and one that never comes. */
static int open_shared(FIXTURE_DATA(isolation) *self)
{
	struct lab *lab = &self->lab;
	struct mem *mem;

	lab->page_latency_ns = 0;
	mem = mem_new(lab, MEM_UFFD, 2, ACCESS_ALL);
	if (!mem)
		return -EIO;
	self->shared = mem;
	*(volatile char *)mem->addr;
	page_source_stop(mem->source);
	lab->page_latency_ns = NEVER;
	mem->source = page_source_start(&(struct page_source_config){
			.base = mem->addr,
			.length = mem->len,
			.page_size = lab->page_size,
			.latency_ns = NEVER,
		}, &lab->failure);
	return mem->source ? 0 : -EIO;
}

static int stall(FIXTURE_DATA(isolation) *self)
{
	struct lab *lab = &self->lab;
	uint64_t deadline = now_ns() + PATIENCE;
	unsigned int before = mem_messages(self->shared);
	struct rc_op op;
	int err;

	err = rc_pair_open(&self->stalled, &lab->dev, lab->pd,
			   &rc_params_default, &lab->failure);
	if (err)
		return err;
	self->open = true;
	op = mem_op(IBV_WR_RDMA_READ, self->local, lab->page_size,
		    self->shared, lab->page_size, 64);
	err = rc_post(&self->stalled.end[0], &op, &lab->failure);
	while (!err && !before && !mem_messages(self->shared))
		if (now_ns() > deadline)
			return fail(&lab->failure, 0, "nothing was asked for");
	/* The second time nothing is asked again: the fault is still there. */
	usleep(50000);
	return err;
}

static int go_on(FIXTURE_DATA(isolation) *self)
{
	rc_pair_close(&self->stalled);
	self->open = false;
	usleep(50000);
	return 0;
}

/*
 * A machine that has other work to do makes one turn take ten times as long as the next,
 * and none shorter: the best of each kind are compared.
 */
struct best {
	double with, without;	/* us */
};

static void keep_best(double *best, double us)
{
	if (!*best || us < *best)
		*best = us;
}

static double median_us(struct samples *samples)
{
	return samples_percentile(samples, 50) / 1e3;
}

/* The median of what some accesses took. */
static int time_accesses(struct lab *lab, struct mem *local, struct mem *mem,
			 double *us)
{
	struct samples took = { 0 };
	int i, err = 0;

	for (i = 0; !err && i < ACCESSES; i++) {
		uint64_t begun = now_ns();

		err = lab_write(lab, local, 0, mem, 0, 64) ?:
		      samples_add(&took, now_ns() - begun);
	}
	*us = median_us(&took);
	samples_free(&took);
	return err;
}

static void compare(struct __test_metadata *_metadata,
		    FIXTURE_DATA(isolation) *self, struct mem *mem)
{
	struct lab *lab = &self->lab;
	struct best best = { 0 };
	double us;
	int i;

	for (i = 0; i < TURNS; i++) {
		DO(lab, time_accesses(lab, self->local, mem, &us));
		keep_best(&best.without, us);
		DO(lab, stall(self));
		DO(lab, time_accesses(lab, self->local, mem, &us));
		keep_best(&best.with, us);
		DO(lab, go_on(self));
	}
	TH_LOG("with a stalled QP / without: %.2f (%.0f us)",
	       best.with / best.without, best.without);
	ASSERT_LE(best.with, 1.2 * best.without);
}

TEST_F_TIMEOUT(isolation, another_region, 300)
{
	DO(&self->lab, open_shared(self));
	compare(_metadata, self, self->other);
}

TEST_F_TIMEOUT(isolation, the_same_region, 300)
{
	DO(&self->lab, open_shared(self));
	compare(_metadata, self, self->shared);
}

/* One of many, with a connection of its own. Its @go is closed at the end. */
static void neighbour(int ready, int go, bool silent)
{
	struct mem *local, *absent = NULL;
	struct lab lab;
	struct rc_op op;
	char byte = 0;

	if (lab_open(&lab))
		goto out;
	lab.page_latency_ns = silent ? NEVER : 0;
	local = mem_new(&lab, MEM_PINNED, FAULTS, ACCESS_ALL);
	absent = local ? mem_new(&lab, MEM_UFFD, FAULTS, ACCESS_ALL) : NULL;
	if (!absent)
		goto out;
	op = mem_op(IBV_WR_RDMA_READ, local, 0, absent, 0, absent->len);
	if (silent && rc_post(&lab.pair.end[0], &op, &lab.failure))
		goto out;
	while (silent && mem_messages(absent) < FAULTS)
		usleep(1000);
	byte = 1;
out:
	if (!byte)
		fprintf(stderr, "# %s\n", lab.failure.text);
	(void)!write(ready, &byte, 1);
	(void)!read(go, &byte, 1);
	_exit(0);
}

/* The median of what some page faults took. */
static int time_faults(struct lab *lab, struct mem *local, struct mem *absent,
		       double *us, int n)
{
	struct samples took = { 0 };
	int i, err = 0;

	for (i = 0; !err && i < n; i++) {
		uint64_t begun = now_ns();

		err = lab_read(lab, local, 0, absent, i * lab->page_size, 64) ?:
		      samples_add(&took, now_ns() - begun);
	}
	*us = median_us(&took);
	samples_free(&took);
	return err ?: mem_drop(lab, absent, 0, n);
}

/* The first of 64 processes leaves all that it may ask for without an answer. */
TEST_F_TIMEOUT(isolation, processes, 300)
{
	struct lab *lab = &self->lab;
	struct best best = { 0 };
	struct mem *absent;
	double us;
	int turn, i;

	lab->page_latency_ns = 0;
	absent = mem_new(lab, MEM_UFFD, FAULTS, ACCESS_ALL);
	ASSERT_NE(NULL, absent) TH_LOG("%s", lab->failure.text);

	for (turn = 0; turn < 2 * PROCESS_TURNS; turn++) {
		int silent = turn % 2, ready[2], go[2], n = PROCESSES - 1;
		char byte;

		ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
		ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
		for (i = 0; i < n; i++) {
			if (fork())
				continue;
			close(go[1]);
			neighbour(ready[1], go[0], silent && !i);
		}
		for (i = 0; i < n; i++) {
			ASSERT_EQ(1, read(ready[0], &byte, 1));
			ASSERT_EQ(1, byte);
		}
		DO(lab, time_faults(lab, self->local, absent, &us, FAULTS));
		keep_best(silent ? &best.with : &best.without, us);
		close(go[0]);
		close(go[1]);
		close(ready[0]);
		close(ready[1]);
		while (wait(NULL) > 0)
			;
	}
	TH_LOG("faults beside a silent process / beside others: %.2f (%.0f us)",
	       best.with / best.without, best.without);
	ASSERT_LE(best.with, 1.5 * best.without);
}

TEST_HARNESS_MAIN
