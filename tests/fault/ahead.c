// SPDX-License-Identifier: GPL-2.0
/*
 * How long a cold transfer takes, against what it is made of: CPU threads that touch
 * the same pages with the same handler, and the transfer of pages that are there.
 * All in one boot, in turn, the medians of five.
 */
#include <pthread.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "samples.h"

#define PAGES	512
#define TURNS	5
#define THREADS	64

FIXTURE(ahead)
{
	struct lab lab;
	struct mem *local, *cold, *warm;
	struct samples cpu, one, resident, transfer;
};

FIXTURE_VARIANT(ahead)
{
	enum ibv_wr_opcode opcode;
	uint64_t latency;
	int threads;
};

FIXTURE_VARIANT_ADD(ahead, read_10ms)
{
	.opcode = IBV_WR_RDMA_READ,
	.latency = 10 * NSEC_PER_MSEC,
	.threads = THREADS,
};

FIXTURE_VARIANT_ADD(ahead, write_10ms)
{
	.opcode = IBV_WR_RDMA_WRITE,
	.latency = 10 * NSEC_PER_MSEC,
	.threads = THREADS,
};

FIXTURE_VARIANT_ADD(ahead, read_at_once)
{
	.opcode = IBV_WR_RDMA_READ,
	.threads = 1,
};

FIXTURE_VARIANT_ADD(ahead, write_at_once)
{
	.opcode = IBV_WR_RDMA_WRITE,
	.threads = 1,
};

FIXTURE_SETUP(ahead)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->local = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->warm = mem_new(lab, MEM_RESIDENT, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->warm) TH_LOG("%s", lab->failure.text);
	lab->page_latency_ns = variant->latency;
	self->cold = mem_new(lab, MEM_UFFD, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->cold) TH_LOG("%s", lab->failure.text);
}

FIXTURE_TEARDOWN(ahead)
{
	samples_free(&self->cpu);
	samples_free(&self->one);
	samples_free(&self->resident);
	samples_free(&self->transfer);
	lab_close(&self->lab);
}

struct toucher {
	char *first;
	size_t page_size;
	int step, n;
	bool write;
	pthread_t thread;
};

static void *touch(void *arg)
{
	struct toucher *t = arg;
	int i;

	for (i = 0; i < t->n; i++) {
		volatile char *at = t->first +
				    (size_t)i * t->step * t->page_size;

		if (t->write)
			*at = *at;
		else
			(void)*at;
	}
	return NULL;
}

/* All pages, each by one of @threads, side by side. */
static int touch_all(struct lab *lab, struct mem *mem, int threads, bool write,
		     struct samples *took)
{
	struct toucher touchers[THREADS];
	uint64_t begun = now_ns();
	int i;

	for (i = 0; i < threads; i++) {
		touchers[i] = (struct toucher){
			.first = mem->addr + i * lab->page_size,
			.page_size = lab->page_size,
			.step = threads,
			.n = PAGES / threads,
			.write = write,
		};
		if (pthread_create(&touchers[i].thread, NULL, touch,
				   &touchers[i]))
			return fail(&lab->failure, 0, "cannot start a thread");
	}
	for (i = 0; i < threads; i++)
		pthread_join(touchers[i].thread, NULL);
	return samples_add(took, now_ns() - begun);
}

static int move(struct lab *lab, enum ibv_wr_opcode opcode, struct mem *local,
		struct mem *mem, struct samples *took)
{
	uint64_t begun = now_ns();
	int err;

	if (opcode == IBV_WR_RDMA_READ)
		err = lab_read(lab, local, 0, mem, 0, mem->len);
	else
		err = lab_write(lab, local, 0, mem, 0, mem->len);
	return err ?: samples_add(took, now_ns() - begun);
}

static double median_ms(struct samples *samples)
{
	return samples_percentile(samples, 50) / 1e6;
}

TEST_F_TIMEOUT(ahead, cold_transfer, 300)
{
	bool write = variant->opcode == IBV_WR_RDMA_WRITE;
	double cpu, one, resident, transfer;
	struct lab *lab = &self->lab;
	int i;

	for (i = 0; i < TURNS; i++) {
		DO(lab, mem_drop(lab, self->cold, 0, PAGES));
		DO(lab, touch_all(lab, self->cold, variant->threads, write,
				  &self->cpu));
		DO(lab, move(lab, variant->opcode, self->local, self->warm,
			     &self->resident));
		DO(lab, mem_drop(lab, self->cold, 0, PAGES));
		DO(lab, move(lab, variant->opcode, self->local, self->cold,
			     &self->transfer));
		DO(lab, mem_check(lab, self->cold, "cold"));
		DO(lab, mem_check(lab, self->local, "local"));

		/* What one page takes, of those that wait for nothing else. */
		DO(lab, mem_drop(lab, self->cold, 0, 1));
		DO(lab, touch_all(lab, self->cold, 1, write, &self->one));
	}
	cpu = median_ms(&self->cpu);
	one = median_ms(&self->one);
	resident = median_ms(&self->resident);
	transfer = median_ms(&self->transfer);
	TH_LOG("cold %.1f ms, %d threads %.1f ms, resident %.1f ms, one page %.1f ms",
	       transfer, variant->threads, cpu, resident, one);
	if (variant->threads > 1) {
		TH_LOG("cold / threads: %.2f", transfer / cpu);
		TH_LOG("cold / (one page + resident): %.2f",
		       transfer / (one + resident));
		EXPECT_LE((int)(transfer * 100 / cpu), 150);
	} else {
		TH_LOG("cold / (thread + resident): %.2f",
		       transfer / (cpu + resident));
		TH_LOG("cold / the larger of them: %.2f",
		       transfer / (cpu > resident ? cpu : resident));
		EXPECT_LE((int)(transfer * 100 / (cpu + resident)), 125);
	}
}

TEST_HARNESS_MAIN
