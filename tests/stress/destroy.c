// SPDX-License-Identifier: GPL-2.0
/*
 * destroy [SECONDS [SEED]]: queue pairs are destroyed while packets arrive for
 * them. A packet holds its queue pair, but only until it was executed, which may
 * be before whoever delivered it is done.
 *
 * There is nothing to see from here but a kernel that goes on without a warning.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "lab.h"

#define THREADS		3
#define LENGTH		(16 * 4096)	/* packets that are not acknowledged */
#define MAX_SPIN	20000

struct worker {
	pthread_t thread;
	unsigned int seed;
	unsigned long rounds;
	struct failure failure;
};

static struct lab lab;
static struct mem *mem;
static uint64_t end;

static int one_round(struct worker *w)
{
	struct rc_op op = mem_op(IBV_WR_RDMA_WRITE, mem, 0, mem, LENGTH,
				 LENGTH);
	struct rc_pair pair = { 0 };
	volatile unsigned int spin;
	int err;

	err = rc_pair_open(&pair, &lab.dev, lab.pd, &rc_params_default,
			   &w->failure);
	err = err ?: rc_post(&pair.end[0], &op, &w->failure);
	for (spin = rand_r(&w->seed) % MAX_SPIN; spin; spin--)
		;
	/* Not the one that sends: it would stop. */
	if (!err && ibv_destroy_qp(pair.end[1].qp))
		err = fail(&w->failure, errno, "cannot destroy a QP");
	else if (!err)
		pair.end[1].qp = NULL;
	rc_pair_close(&pair);
	return err;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (now_ns() < end && !one_round(w))
		w->rounds++;
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? strtoul(argv[1], NULL, 0) : 10;
	unsigned int seed = argc > 2 ? strtoul(argv[2], NULL, 0) :
				       (unsigned int)now_ns();
	struct worker workers[THREADS] = { 0 };
	unsigned long rounds = 0;
	bool good = true;
	int i;

	setbuf(stdout, NULL);
	printf("TAP version 13\n1..1\n# %u seconds, seed %u\n", seconds, seed);
	if (lab_open(&lab)) {
		printf("Bail out! %s\n", lab.failure.text);
		return 1;
	}
	mem = mem_new(&lab, MEM_RESIDENT, 32, ACCESS_ALL);
	if (!mem) {
		printf("Bail out! %s\n", lab.failure.text);
		return 1;
	}
	end = now_ns() + seconds * NSEC_PER_SEC;
	for (i = 0; i < THREADS; i++) {
		workers[i].seed = seed + i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) {
			printf("Bail out! cannot start a thread\n");
			return 1;
		}
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		rounds += workers[i].rounds;
		if (workers[i].failure.text[0]) {
			printf("# %s\n", workers[i].failure.text);
			good = false;
		}
	}
	lab_close(&lab);
	printf("%sok 1 - %lu queue pairs were destroyed\n",
	       good && rounds ? "" : "not ", rounds);
	return !(good && rounds);
}
