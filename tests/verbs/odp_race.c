// SPDX-License-Identifier: GPL-2.0
/*
 * A thread throws pages away (MADV_DONTNEED) and stamps new ones, as fast as it
 * can, while the device reads them. A page may be seen stamped or, before that,
 * as zeros; one that was thrown away before the access began must not be seen.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lab.h"

#define PAGES		16
#define RACE_TIME	(3 * NSEC_PER_SEC)

struct stamper {
	struct mem *mem;
	size_t page_size;
	_Atomic bool stop;
	_Atomic uint64_t done[PAGES];	/* the latest stamp of each page */
};

static void *stamp(void *arg)
{
	struct stamper *s = arg;
	uint64_t stamp = 0;
	size_t i;

	while (!s->stop) {
		stamp++;
		for (i = 0; i < PAGES; i++) {
			char *page = s->mem->addr + i * s->page_size;
			uint64_t *last = (void *)(page + s->page_size);

			madvise(page, s->page_size, MADV_DONTNEED);
			*(volatile uint64_t *)page = stamp;
			*(volatile uint64_t *)(last - 1) = stamp;
			s->done[i] = stamp;
		}
	}
	return NULL;
}

FIXTURE(race)
{
	struct lab lab;
	struct mem *local, *remote;
	struct stamper stamper;
	pthread_t thread;
};

FIXTURE_SETUP(race)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->local = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_new(lab, MEM_RESIDENT, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
	self->stamper.mem = self->remote;
	self->stamper.page_size = lab->page_size;
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, stamp,
				    &self->stamper));
	while (!self->stamper.done[PAGES - 1])
		sched_yield();
}

FIXTURE_TEARDOWN(race)
{
	self->stamper.stop = true;
	pthread_join(self->thread, NULL);
	lab_close(&self->lab);
}

TEST_F_TIMEOUT(race, read, 120)
{
	struct lab *lab = &self->lab;
	uint64_t end = now_ns() + RACE_TIME;
	size_t size = lab->page_size;
	unsigned long reads = 0;

	while (now_ns() < end) {
		size_t i = reads++ % PAGES;
		uint64_t before = self->stamper.done[i];
		const uint64_t *page = (void *)(self->local->addr + i * size);
		const uint64_t *last = page + size / sizeof(*page) - 1;
		struct rc_op op = mem_op(IBV_WR_RDMA_READ, self->local,
					 i * size, self->remote, i * size,
					 size);

		DO(lab, lab_run(lab, &op));
		ASSERT_TRUE(!*page || *page >= before)
			TH_LOG("page %zu: stamp %lu was gone before %lu", i,
			       *page, before);
		ASSERT_TRUE(!*last || *last >= before)
			TH_LOG("page %zu: stamp %lu was gone before %lu", i,
			       *last, before);
	}
	TH_LOG("%lu pages read, %lu generations", reads,
	       self->stamper.done[PAGES - 1]);
}

TEST_HARNESS_MAIN
