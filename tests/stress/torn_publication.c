// SPDX-License-Identifier: GPL-2.0
/*
 * A fault that ends in an error, or has to start over, while pages of its range
 * are thrown away: what it had found until then must not become usable. The
 * next access has to find the pages that are there by now.
 *
 * A driver in which the walk over the page table writes straight into what
 * accesses translate with fails both tests: entries that are stored between an
 * invalidation and the unmapping stay there for ever, for pages that were freed.
 */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"
#include "uverbs.h"

#define PAGES		8192
#define READ_PAGES	1024	/* of them, the last ones */
#define OTHERS		8
#define ROUNDS		16
#define RACE_TIME	(3 * NSEC_PER_SEC)
#define POLL_US		200

/* A thread that asks for the whole region. */
struct faulter {
	struct lab *lab;
	struct mem *mem;
	_Atomic bool pause, stop;
	_Atomic bool idle;		/* and stays so while @pause is set */
	_Atomic unsigned long calls;
	_Atomic int err;		/* of the latest call */
	pthread_t thread;
};

static int prefetch(struct lab *lab, struct mem *mem)
{
	struct ibv_sge sge = {
		.addr = mem->iova,
		.length = mem->len,
		.lkey = mem->mr->lkey,
	};

	return uverbs_advise_mr(lab->pd, IBV_ADVISE_MR_ADVICE_PREFETCH,
				IBV_ADVISE_MR_FLAG_FLUSH, &sge, 1);
}

static void *fault(void *arg)
{
	struct faulter *f = arg;

	while (!f->stop) {
		if (f->pause) {
			f->idle = true;
			usleep(POLL_US);
			continue;
		}
		f->idle = false;
		f->err = prefetch(f->lab, f->mem);
		f->calls++;
	}
	return NULL;
}

static uint64_t *word(struct mem *mem, size_t page, bool last)
{
	size_t size = mem->len / mem->pages;
	size_t at = page * size + (last ? size - sizeof(uint64_t) : 0);

	return (uint64_t *)(mem->addr + at);
}

/*
 * A freed page is most likely the next to be allocated, so the generation alone
 * would not tell a page from what is now the page of another address.
 */
static uint64_t stamp_of(uint64_t generation, size_t page)
{
	return generation * PAGES + page;
}

static void stamp(struct mem *mem, size_t pages, uint64_t generation)
{
	size_t i;

	for (i = 0; i < pages; i++) {
		*(volatile uint64_t *)word(mem, i, false) =
			stamp_of(generation, i);
		*(volatile uint64_t *)word(mem, i, true) =
			stamp_of(generation, i);
	}
}

FIXTURE(torn)
{
	struct lab lab;
	struct mem *local, *remote;
	struct faulter faulter;
};

FIXTURE_SETUP(torn)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->local = mem_new(lab, MEM_PINNED, READ_PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_new(lab, MEM_RESIDENT, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
	self->faulter.lab = lab;
	self->faulter.mem = self->remote;
}

FIXTURE_TEARDOWN(torn)
{
	if (self->faulter.thread) {
		self->faulter.stop = true;
		pthread_join(self->faulter.thread, NULL);
	}
	lab_close(&self->lab);
}

/*
 * The last page of the region is not mapped: each fault of all of it fails, and
 * the longer part of it has been looked up by then. The fault during which the
 * pages go is the last one, as another would mend what it has left behind. Other
 * memory regions on the same pages make the invalidation last.
 */
TEST_F_TIMEOUT(torn, error_half_way, 600)
{
	struct lab *lab = &self->lab;
	struct mem *remote = self->remote;
	struct faulter *f = &self->faulter;
	size_t size = lab->page_size;
	size_t pages = PAGES - 1;
	size_t first_page = pages - READ_PAGES;
	struct rc_op op = mem_op(IBV_WR_RDMA_READ, self->local, 0, remote,
				 first_page * size, READ_PAGES * size);
	struct ibv_mr *others[OTHERS];
	uint64_t generation = 1;
	size_t page;
	int round, i;

	for (i = 0; i < OTHERS; i++) {
		others[i] = ibv_reg_mr(lab->pd, remote->addr, remote->len,
				       ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
		ASSERT_NE(NULL, others[i]);
	}
	ASSERT_EQ(0, munmap(remote->addr + pages * size, size));
	f->pause = true;
	ASSERT_EQ(0, pthread_create(&f->thread, NULL, fault, f));

	for (round = 0; round < rounds(ROUNDS); round++) {
		unsigned long calls = f->calls;

		stamp(remote, pages, generation);
		f->pause = false;
		while (f->calls < calls + 2)
			usleep(POLL_US);
		ASSERT_EQ(EFAULT, f->err)
			TH_LOG("a fault of a range with a hole in it");
		f->pause = true;
		ASSERT_EQ(0, madvise(remote->addr, pages * size,
				     MADV_DONTNEED));
		while (!f->idle)
			usleep(POLL_US);
		ASSERT_NE(0, f->err);

		generation++;
		stamp(remote, pages, generation);
		DO(lab, lab_run(lab, &op));
		for (page = 0; page < READ_PAGES; page++) {
			uint64_t first = *word(self->local, page, false);
			uint64_t last = *word(self->local, page, true);
			uint64_t want = stamp_of(generation, first_page + page);

			ASSERT_TRUE(first == want && last == want)
				TH_LOG("round %d, page %zu: %#lx and %#lx were read, %#lx is there",
				       round, first_page + page, first, last,
				       want);
		}
	}
	for (i = 0; i < OTHERS; i++)
		ASSERT_EQ(0, ibv_dereg_mr(others[i]));
}

struct dropper {
	struct mem *mem;
	_Atomic bool stop;
	_Atomic uint64_t done;	/* all pages have this generation or a later */
	pthread_t thread;
};

static void *drop(void *arg)
{
	struct dropper *d = arg;
	uint64_t generation = 1;

	while (!d->stop) {
		generation++;
		madvise(d->mem->addr, d->mem->len, MADV_DONTNEED);
		stamp(d->mem, d->mem->pages, generation);
		d->done = generation;
	}
	return NULL;
}

/* A page that was just thrown away has zeros; else it only gets newer. */
static bool is_wrong(uint64_t found, uint64_t before)
{
	return found && (found < before || (found - before) % PAGES);
}

/*
 * No fault fails here, but those that have to start over meet accesses of
 * another connection to the same pages: these neither fail nor see a page from
 * before.
 */
TEST_F_TIMEOUT(torn, faults_meet, 300)
{
	struct lab *lab = &self->lab;
	struct dropper dropper = { .mem = self->remote, .done = 1 };
	uint64_t end = now_ns() + RACE_TIME;
	size_t size = lab->page_size;
	unsigned long reads = 0;
	bool wrong = false;
	uint64_t before = 0, found = 0;
	int err = 0;

	stamp(self->remote, PAGES, dropper.done);
	ASSERT_EQ(0, pthread_create(&self->faulter.thread, NULL, fault,
				    &self->faulter));
	ASSERT_EQ(0, pthread_create(&dropper.thread, NULL, drop, &dropper));

	/* To a prefetch -EBUSY is a fair answer, to an access it is not. */
	while (!err && !wrong && now_ns() < end) {
		size_t page = reads++ * 31 % PAGES;
		struct rc_op op = mem_op(IBV_WR_RDMA_READ, self->local, 0,
					 self->remote, page * size, size);

		before = stamp_of(dropper.done, page);
		err = lab_run(lab, &op);
		found = *word(self->local, 0, false);
		wrong = is_wrong(found, before);
		if (wrong)
			break;
		found = *word(self->local, 0, true);
		wrong = is_wrong(found, before);
	}
	dropper.stop = true;
	pthread_join(dropper.thread, NULL);
	DO(lab, err);
	ASSERT_FALSE(wrong)
		TH_LOG("read %lu: %#lx was read, and %#lx was there before the access",
		       reads, found, before);
	ASSERT_LT(1, dropper.done);
	TH_LOG("%lu reads, %lu faults of all, %lu generations", reads,
	       self->faulter.calls, dropper.done);
}

TEST_HARNESS_MAIN
