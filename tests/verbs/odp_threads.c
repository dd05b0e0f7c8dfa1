// SPDX-License-Identifier: GPL-2.0
/*
 * Several connections at once on one region, each with a thread that waits,
 * while the pages come late enough that the faults meet.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "lab.h"

#define THREADS		4
#define PAGES		64
#define ROUNDS		4

FIXTURE(threads)
{
	struct lab lab;
	struct mem *remote;
	struct worker {
		struct lab *lab;
		struct mem *remote;
		struct mem *local;
		struct rc_pair pair;
		size_t first, pages;
		enum ibv_wr_opcode opcode;
		pthread_t thread;
		struct failure failure;
	} workers[THREADS];
};

FIXTURE_VARIANT(threads)
{
	enum mem_kind remote;
};

FIXTURE_VARIANT_ADD(threads, resident)
{
	.remote = MEM_RESIDENT,
};

FIXTURE_VARIANT_ADD(threads, uffd)
{
	.remote = MEM_UFFD,
};

FIXTURE_VARIANT_ADD(threads, uffd_shmem)
{
	.remote = MEM_UFFD_SHMEM,
};

FIXTURE_SETUP(threads)
{
	struct lab *lab = &self->lab;
	struct worker *worker;
	int i;

	DO(lab, lab_open(lab));
	lab->page_latency_ns = 2 * NSEC_PER_MSEC;
	self->remote = mem_new(lab, variant->remote, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
	for (i = 0; i < THREADS; i++) {
		worker = &self->workers[i];
		worker->lab = lab;
		worker->remote = self->remote;
		worker->local = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
		ASSERT_NE(NULL, worker->local) TH_LOG("%s", lab->failure.text);
		DO(lab, rc_pair_open(&worker->pair, &lab->dev, lab->pd,
				     &rc_params_default, &lab->failure));
	}
}

FIXTURE_TEARDOWN(threads)
{
	int i;

	/* As in lab_close(): first let go what waits, then what it waits in. */
	page_source_stop(self->remote->source);
	self->remote->source = NULL;
	for (i = 0; i < THREADS; i++)
		rc_pair_close(&self->workers[i].pair);
	lab_close(&self->lab);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	size_t size = worker->lab->page_size;
	struct rc_end *end = &worker->pair.end[0];
	struct ibv_wc wc;
	size_t i;

	for (i = 0; i < worker->pages; i++) {
		size_t at = (worker->first + i) % PAGES * size;
		struct rc_op op = mem_op(worker->opcode, worker->local, at,
					 worker->remote, at, size);

		if (rc_post(end, &op, &worker->failure) ||
		    rc_wait(&end->send, &wc, now_ns() + PATIENCE,
			    &worker->failure))
			return worker;
		if (wc.status != IBV_WC_SUCCESS) {
			fail(&worker->failure, 0, "completion: %s",
			     ibv_wc_status_str(wc.status));
			return worker;
		}
	}
	return NULL;
}

static int run_all(struct lab *lab, struct worker *workers)
{
	int i, started, err = 0;
	void *failed;

	for (started = 0; started < THREADS; started++)
		if (pthread_create(&workers[started].thread, NULL, work,
				   &workers[started])) {
			err = fail(&lab->failure, 0, "cannot start a thread");
			break;
		}
	for (i = 0; i < started; i++) {
		pthread_join(workers[i].thread, &failed);
		if (failed)
			err = fail(&lab->failure, 0, "thread %d: %s", i,
				   workers[i].failure.text);
	}
	return err;
}

TEST_F(threads, read_the_same_pages)
{
	struct lab *lab = &self->lab;
	struct worker *worker;
	size_t page;
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < THREADS; i++) {
			worker = &self->workers[i];
			worker->pages = PAGES;
			worker->opcode = IBV_WR_RDMA_READ;
			mem_expect(worker->local, 0, self->remote->image,
				   self->remote->len);
		}
		DO(lab, run_all(lab, self->workers));
		for (i = 0; i < THREADS; i++)
			DO(lab, mem_check(lab, self->workers[i].local,
					  "local"));
		for (page = 0; mem_is_uffd(self->remote) && page < PAGES; page++)
			ASSERT_LE(round + 1,
				  page_source_messages(self->remote->source,
						       page));
		if (mem_is_uffd(self->remote))
			DO(lab, mem_drop(lab, self->remote, 0, PAGES));
	}
}

/* Each writes pages of its own, side by side with the others'. */
TEST_F(threads, write_neighbours)
{
	struct lab *lab = &self->lab;
	size_t share = PAGES / THREADS * lab->page_size;
	struct worker *worker;
	int i;

	for (i = 0; i < THREADS; i++) {
		worker = &self->workers[i];
		worker->first = i * PAGES / THREADS;
		worker->pages = PAGES / THREADS;
		worker->opcode = IBV_WR_RDMA_WRITE;
		mem_expect(self->remote, i * share,
			   worker->local->image + i * share, share);
	}
	DO(lab, run_all(lab, self->workers));
	DO(lab, mem_check_messages(lab, self->remote, "remote", 0,
				   self->remote->len, 1));
	DO(lab, mem_check(lab, self->remote, "remote"));
}

/* Half of them read what the others are writing; bytes are old or new. */
TEST_F(threads, read_while_written)
{
	struct lab *lab = &self->lab;
	struct mem *remote = self->remote;
	struct mem *source = self->workers[0].local;
	size_t at;
	int i;

	for (i = 0; i < THREADS; i++) {
		struct worker *worker = &self->workers[i];

		worker->first = i * 7;
		worker->pages = PAGES;
		worker->opcode = i % 2 ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
		if (i % 2 == 0)
			memcpy(worker->local->addr, source->image, source->len);
	}
	DO(lab, run_all(lab, self->workers));
	for (i = 1; i < THREADS; i += 2) {
		const char *have = self->workers[i].local->addr;

		for (at = 0; at < remote->len; at++)
			ASSERT_TRUE(have[at] == remote->image[at] ||
				    have[at] == source->image[at])
				TH_LOG("thread %d, byte %zu is neither", i, at);
	}
	mem_expect(remote, 0, source->image, source->len);
	DO(lab, mem_check(lab, remote, "remote"));
}

TEST_HARNESS_MAIN
