// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses that wait for pages which nobody supplies are ended in two or three ways
 * at once, or one right after the other, in any order. The variable SEED repeats
 * what was seen.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"
#include "uffd.h"
#include "uverbs.h"
#include "waiting.h"

#define ROUNDS		24
#define MOST		3

/* Each is cancelled in one way only: libibverbs lets nobody use what is going. */
enum object { REQUESTER, RESPONDER, REGION, MEMORY, UFFD, OBJECTS };

struct round {
	struct lab lab;
	struct waiting w;
	char *addr, *elsewhere;
	pthread_barrier_t barrier;
	bool together;
};

/* Whether the requester hears of it: if both queue pairs are left alone, or always. */
enum heard { NEVER_HEARD, BY_PAIR, ALWAYS };

struct cancel {
	const char *name;
	enum object object;
	enum heard heard;
	int (*run)(struct round *round);
};

static int destroy(struct round *round, int end)
{
	int err = ibv_destroy_qp(round->w.pair.end[end].qp);

	round->w.pair.end[end].qp = NULL;
	return err;
}

static int destroy_requester(struct round *round)
{
	return destroy(round, 0);
}

static int destroy_responder(struct round *round)
{
	return destroy(round, 1);
}

static int requester_to_error(struct round *round)
{
	return to_state(round->w.pair.end[0].qp, IBV_QPS_ERR);
}

static int responder_to_error(struct round *round)
{
	return to_state(round->w.pair.end[1].qp, IBV_QPS_ERR);
}

static int reset_requester(struct round *round)
{
	return to_state(round->w.pair.end[0].qp, IBV_QPS_RESET);
}

static int reset_responder(struct round *round)
{
	return to_state(round->w.pair.end[1].qp, IBV_QPS_RESET);
}

static int dereg(struct round *round)
{
	int err = ibv_dereg_mr(round->w.absent->mr);

	round->w.absent->mr = NULL;
	return err;
}

static int rereg(struct round *round)
{
	return uverbs_rereg_mr(round->w.absent->mr, IBV_REREG_MR_CHANGE_ACCESS,
			       NULL, NULL, 0, ACCESS_ALL | IBV_ACCESS_MW_BIND |
			       IBV_ACCESS_ON_DEMAND);
}

static int unmap(struct round *round)
{
	round->w.absent->addr = MAP_FAILED;
	return munmap(round->addr, round->w.absent->len);
}

static int move(struct round *round)
{
	size_t len = round->w.absent->len;

	round->w.absent->addr = round->elsewhere;
	return mremap(round->addr, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		      round->elsewhere) == MAP_FAILED;
}

static int dontneed(struct round *round)
{
	return madvise(round->addr, round->w.absent->len, MADV_DONTNEED);
}

/* Of memory that is not there any more, or is elsewhere, it refuses that. */
static int unregister(struct round *round)
{
	uffd_unregister(page_source_uffd(round->w.absent->source),
			round->addr, round->w.absent->len);
	return 0;
}

static int close_uffd(struct round *round)
{
	page_source_stop(round->w.absent->source);
	round->w.absent->source = NULL;
	return 0;
}

static const struct cancel cancels[] = {
	{ "destroy requester", REQUESTER, NEVER_HEARD, destroy_requester },
	{ "ERR requester", REQUESTER, ALWAYS, requester_to_error },
	{ "RESET requester", REQUESTER, NEVER_HEARD, reset_requester },
	{ "destroy responder", RESPONDER, NEVER_HEARD, destroy_responder },
	{ "ERR responder", RESPONDER, NEVER_HEARD, responder_to_error },
	{ "RESET responder", RESPONDER, NEVER_HEARD, reset_responder },
	{ "dereg", REGION, BY_PAIR, dereg },
	{ "rereg", REGION, NEVER_HEARD, rereg },
	{ "munmap", MEMORY, BY_PAIR, unmap },
	{ "mremap", MEMORY, BY_PAIR, move },
	{ "DONTNEED", MEMORY, NEVER_HEARD, dontneed },
	{ "UNREGISTER", UFFD, BY_PAIR, unregister },
	{ "close", UFFD, BY_PAIR, close_uffd },
};

struct step {
	const struct cancel *cancel;
	struct round *round;
	pthread_t thread;
	uint64_t ns;
	int err;
};

static void *run_step(void *arg)
{
	struct step *step = arg;
	uint64_t begun;

	if (step->round->together)
		pthread_barrier_wait(&step->round->barrier);
	begun = now_ns();
	step->err = step->cancel->run(step->round);
	step->ns = now_ns() - begun;
	return NULL;
}

/* Two or three, of different objects, in any order. */
static int choose(struct round *round, struct step *steps, unsigned int *seed)
{
	int n = 2 + rand_r(seed) % (MOST - 1), chosen = 0;
	bool taken[OBJECTS] = { false };

	while (chosen < n) {
		const struct cancel *cancel = &cancels[rand_r(seed) %
						       ARRAY_SIZE(cancels)];

		if (taken[cancel->object])
			continue;
		taken[cancel->object] = true;
		steps[chosen++] = (struct step){
			.cancel = cancel,
			.round = round,
		};
	}
	return n;
}

static int round_begins(struct round *round, int pages, unsigned int *seed)
{
	struct lab *lab = &round->lab;
	int err;

	err = lab_open(lab) ?:
	      set_out(lab, &round->w, rand_r(seed) % 2 ? LOCAL : REMOTE, pages,
		      rand_r(seed) % 2 ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE);
	if (err)
		return err;
	round->addr = round->w.absent->addr;
	round->elsewhere = mmap(NULL, round->w.absent->len, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return round->elsewhere == MAP_FAILED ? -ENOMEM : 0;
}

static int run_steps(struct round *round, struct step *steps, int n)
{
	int i, err = 0;

	for (i = 0; i < n && !round->together; i++)
		run_step(&steps[i]);
	if (!round->together)
		return 0;
	pthread_barrier_init(&round->barrier, NULL, n);
	for (i = 0; i < n && !err; i++)
		err = pthread_create(&steps[i].thread, NULL, run_step,
				     &steps[i]);
	/* Without one the others would wait for ever. */
	if (err)
		abort();
	for (i = 0; i < n; i++)
		pthread_join(steps[i].thread, NULL);
	pthread_barrier_destroy(&round->barrier);
	return 0;
}

static int check_steps(struct round *round, const struct step *steps, int n)
{
	bool pair = true, heard = false, by_pair = false;
	struct failure *failure = &round->lab.failure;
	struct ibv_wc wc;
	int i;

	for (i = 0; i < n; i++) {
		const struct cancel *cancel = steps[i].cancel;

		if (steps[i].err)
			return fail(failure, 0, "%s: error %d", cancel->name,
				    steps[i].err);
		if (steps[i].ns > AT_ONCE)
			return fail(failure, 0, "%s took %llu ms", cancel->name,
				    steps[i].ns / NSEC_PER_MSEC);
		pair &= cancel->object > RESPONDER;
		heard |= cancel->heard == ALWAYS;
		by_pair |= cancel->heard == BY_PAIR;
	}
	if (!heard && !(pair && by_pair))
		return 0;
	/* Which of them was first is what it says. */
	return rc_wait(&round->w.pair.end[0].send, &wc, now_ns() + AT_ONCE,
		       failure);
}

static int one_round(int pages, bool together, unsigned int *seed,
		     struct failure *failure)
{
	struct round round = { .together = together };
	struct step steps[MOST];
	uint64_t begun;
	int n, err;

	n = choose(&round, steps, seed);
	err = round_begins(&round, pages, seed);
	if (!err)
		err = run_steps(&round, steps, n) ?:
		      check_steps(&round, steps, n);
	if (err)
		fail(failure, 0, "%s, %s%s%s: %s", steps[0].cancel->name,
		     steps[1].cancel->name, n > 2 ? ", " : "",
		     n > 2 ? steps[2].cancel->name : "",
		     round.lab.failure.text);
	begun = now_ns();
	close_pair(&round.w);
	lab_close(&round.lab);
	if (round.w.absent && round.w.absent->addr != round.elsewhere)
		munmap(round.elsewhere, pages * sysconf(_SC_PAGESIZE));
	if (!err && now_ns() - begun > AT_ONCE)
		err = fail(failure, 0, "%s, %s: the rest took %llu ms",
			   steps[0].cancel->name, steps[1].cancel->name,
			   (now_ns() - begun) / NSEC_PER_MSEC);
	return err;
}

FIXTURE(order)
{
	struct failure failure;
	char objects[1024];
	unsigned int seed;
};

FIXTURE_VARIANT(order)
{
	int pages;
};

FIXTURE_VARIANT_ADD(order, faults_1)
{
	.pages = 1,
};

FIXTURE_VARIANT_ADD(order, faults_200)
{
	.pages = MANY,
};

FIXTURE_SETUP(order)
{
	self->seed = getenv("SEED") ? atoi(getenv("SEED")) : (int)now_ns();
	TH_LOG("seed %u (the variable SEED repeats it)", self->seed);
	ASSERT_EQ(0, rdma_objects(self->objects, sizeof(self->objects)));
}

FIXTURE_TEARDOWN(order)
{
	char now[sizeof(self->objects)];

	ASSERT_EQ(0, rdma_objects(now, sizeof(now)));
	ASSERT_STREQ(self->objects, now);
}

static void all_rounds(struct __test_metadata *_metadata,
		       FIXTURE_DATA(order) *self, int pages, bool together)
{
	int i;

	for (i = 0; i < rounds(ROUNDS); i++) {
		ASSERT_EQ(0, one_round(pages, together, &self->seed,
				       &self->failure))
			TH_LOG("round %d: %s", i, self->failure.text);
	}
}

TEST_F_TIMEOUT(order, one_after_the_other, 120)
{
	all_rounds(_metadata, self, variant->pages, false);
}

TEST_F_TIMEOUT(order, together, 120)
{
	all_rounds(_metadata, self, variant->pages, true);
}

/* A process in which the same goes on, until it is killed. */
static void victim(int ready, int pages, unsigned int seed)
{
	struct round round = { .together = true };
	struct step steps[MOST];
	int n, err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	n = choose(&round, steps, &seed);
	err = round_begins(&round, pages, &seed);
	if (err)
		fprintf(stderr, "# %s\n", round.lab.failure.text);
	(void)!write(ready, &err, sizeof(err));
	if (!err)
		run_steps(&round, steps, n);
	for (;;)
		pause();
}

TEST_F_TIMEOUT(order, kill, 120)
{
	int ready[2], err, status, i;
	char now[sizeof(self->objects)];
	uint64_t begun;
	pid_t pid;

	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	for (i = 0; i < rounds(ROUNDS); i++) {
		unsigned int seed = rand_r(&self->seed);
		unsigned int us = rand_r(&self->seed) % 4000;

		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			victim(ready[1], variant->pages, seed);
		ASSERT_EQ(sizeof(err), read(ready[0], &err, sizeof(err)));
		ASSERT_EQ(0, err);
		usleep(us);
		begun = now_ns();
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_LT(now_ns() - begun, AT_ONCE)
			TH_LOG("round %d: %lu ms", i,
			       (now_ns() - begun) / NSEC_PER_MSEC);
	}
	ASSERT_EQ(0, rdma_objects(now, sizeof(now)));
	ASSERT_STREQ(self->objects, now);
}

TEST_HARNESS_MAIN
