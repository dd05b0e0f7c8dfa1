// SPDX-License-Identifier: GPL-2.0
/*
 * Dirty tracking that sees what the network writes: a registered area is write
 * protected (UFFD_FEATURE_WP_ASYNC), peers and the CPU write to it, and
 * PAGEMAP_SCAN reads back the set of pages written and protects them again.
 * docs/dirty-tracking.md
 */
#include <pthread.h>
#include <sys/random.h>

#include "area.h"
#include "wp.h"

#define ROUNDS		6
#define WRITES		10		/* a round */
#define MOST		20000		/* bytes of one write */
#define TRAFFIC_TIME	(NSEC_PER_SEC)

#define SMALL_LEN	(256UL << 12)

FIXTURE(tracking)
{
	struct area area;
	int uffd, pagemap;
	size_t step;		/* what is protected and reported at once */
	size_t steps;
	bool *expected, *written;
	unsigned int seed;
};

FIXTURE_VARIANT(tracking)
{
	enum area_backing backing;
	size_t len, step;
};

FIXTURE_VARIANT_ADD(tracking, anon)
{
	.backing = BACK_ANON,
	.len = SMALL_LEN,
	.step = 4096,
};

/* A huge page is split when it is first written, to tell its pages apart. */
FIXTURE_VARIANT_ADD(tracking, thp)
{
	.backing = BACK_THP,
	.len = 2 * HUGE_SIZE,
	.step = 4096,
};

FIXTURE_VARIANT_ADD(tracking, shmem)
{
	.backing = BACK_SHMEM,
	.len = SMALL_LEN,
	.step = 4096,
};

FIXTURE_VARIANT_ADD(tracking, hugetlb)
{
	.backing = BACK_HUGETLB,
	.len = 4 * HUGE_SIZE,
	.step = HUGE_SIZE,
};

FIXTURE_SETUP(tracking)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;

	DO(lab, area_open(a, variant->backing, SIDE_REMOTE, variant->len));
	self->step = variant->step;
	self->steps = variant->len / variant->step;
	self->expected = calloc(self->steps, sizeof(bool));
	self->written = calloc(self->steps, sizeof(bool));
	self->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->pagemap);
	self->uffd = wp_open(UFFD_FEATURE_WP_ASYNC |
			     UFFD_FEATURE_WP_HUGETLBFS_SHMEM, &lab->failure);
	ASSERT_LE(0, self->uffd) TH_LOG("%s", lab->failure.text);
	DO(lab, wp_register(self->uffd, a->odp.addr, a->odp.len,
			    &lab->failure));
	ASSERT_EQ(sizeof(self->seed),
		  getrandom(&self->seed, sizeof(self->seed), 0));
	if (getenv("SEED"))
		self->seed = strtoul(getenv("SEED"), NULL, 0);
	TH_LOG("SEED=%u", self->seed);
}

FIXTURE_TEARDOWN(tracking)
{
	close(self->uffd);
	close(self->pagemap);
	area_close(&self->area);
	free(self->expected);
	free(self->written);
}

/*
 * Protect all of it for the first time. Not by a scan: that protects what it
 * reports, and there is nothing to report of a hugetlb page that is absent.
 */
static int begin(FIXTURE_DATA(tracking) *self)
{
	struct area *a = &self->area;

	return wp_protect(self->uffd, a->odp.addr, a->odp.len, true,
			  &a->lab.failure);
}

/* What was written since the last time; and from now on, what will be. */
static int collect(FIXTURE_DATA(tracking) *self)
{
	struct mem *odp = &self->area.odp;
	struct page_region regions[16];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)odp->addr,
		.end = (uintptr_t)odp->addr + odp->len,
		.vec = (uintptr_t)regions,
		.vec_len = ARRAY_SIZE(regions),
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	uint64_t at;
	int i, n;

	memset(self->written, 0, self->steps * sizeof(bool));
	while (arg.start < arg.end) {
		n = ioctl(self->pagemap, PAGEMAP_SCAN, &arg);
		if (n < 0)
			return fail(&self->area.lab.failure, errno,
				    "PAGEMAP_SCAN");
		for (i = 0; i < n; i++)
			for (at = regions[i].start; at < regions[i].end;
			     at += self->step)
				self->written[(at - (uintptr_t)odp->addr) /
					      self->step] = true;
		arg.start = arg.walk_end;
	}
	return 0;
}

static void expect(FIXTURE_DATA(tracking) *self, size_t at, size_t len)
{
	size_t i;

	for (i = at / self->step; i <= (at + len - 1) / self->step; i++)
		self->expected[i] = true;
}

static int compare(FIXTURE_DATA(tracking) *self)
{
	struct lab *lab = &self->area.lab;
	size_t i;
	int err;

	err = collect(self);
	for (i = 0; !err && i < self->steps; i++)
		if (self->written[i] != self->expected[i])
			err = fail(&lab->failure, 0,
				   "page %zu was %swritten, and is reported otherwise",
				   i, self->expected[i] ? "" : "not ");
	memset(self->expected, 0, self->steps * sizeof(bool));
	return err ?: area_check(&self->area);
}

/* --- the ways to write */

enum writer {
	BY_WRITE,
	BY_SEND,
	BY_FETCH_ADD,
	BY_CMP_SWP,
	BY_READ_RESPONSE,	/* our own RDMA READ puts it there */
	BY_ATOMIC_RESULT,	/* what our own atomic has found there */
	BY_CPU,
	WRITERS,
};

static int write_send(struct area *a, size_t at, size_t len)
{
	struct rc_op op = mem_op(IBV_WR_SEND, a->buf, at, &a->odp, at, len);
	struct ibv_sge sge = { (uintptr_t)a->odp.addr + at, len,
			       a->odp.mr->lkey };
	struct lab *lab = &a->lab;
	struct ibv_wc wc;

	buf_renew(a, at, len);
	mem_expect(&a->odp, at, a->buf->image + at, len);
	return rc_post_recv(&lab->pair.end[1], &sge, 1, &lab->failure) ?:
	       lab_run(lab, &op) ?:
	       rc_wait(&lab->pair.end[1].recv, &wc, now_ns() + PATIENCE,
		       &lab->failure) ?:
	       (wc.status ? fail(&lab->failure, 0, "receive: %s",
				 ibv_wc_status_str(wc.status)) : 0);
}

static int write_atomic(struct area *a, size_t at, enum writer writer)
{
	struct rc_op op = mem_op(IBV_WR_ATOMIC_FETCH_AND_ADD, a->buf, 0,
				 &a->odp, at, 8);
	uint64_t old, new;

	memcpy(&old, a->odp.image + at, sizeof(old));
	op.compare_add = 0x0123456789abcdef;
	new = old + op.compare_add;
	if (writer == BY_CMP_SWP) {
		op.opcode = IBV_WR_ATOMIC_CMP_AND_SWP;
		op.compare_add = old;
		op.swap = new;
	}
	mem_expect(&a->odp, at, &new, sizeof(new));
	mem_expect(a->buf, 0, &old, sizeof(old));
	return lab_run(&a->lab, &op);
}

static int write_result(struct area *a, size_t at)
{
	struct rc_op op = mem_op(IBV_WR_ATOMIC_FETCH_AND_ADD, &a->odp, at,
				 a->buf, 0, 8);
	uint64_t old, new;

	memcpy(&old, a->buf->image, sizeof(old));
	op.compare_add = 0x0fedcba987654321;
	new = old + op.compare_add;
	mem_expect(a->buf, 0, &new, sizeof(new));
	mem_expect(&a->odp, at, &old, sizeof(old));
	return lab_run(&a->lab, &op);
}

static int write_response(struct area *a, size_t at, size_t len)
{
	struct rc_op op = mem_op(IBV_WR_RDMA_READ, &a->odp, at, a->buf, at,
				 len);

	buf_renew(a, at, len);
	mem_expect(&a->odp, at, a->buf->image + at, len);
	return lab_run(&a->lab, &op);
}

static int write_somewhere(FIXTURE_DATA(tracking) *self, enum writer writer)
{
	struct area *a = &self->area;
	size_t len = 1 + rand_r(&self->seed) % MOST;
	size_t at = rand_r(&self->seed) % (a->odp.len - len);
	bool atomic = writer == BY_FETCH_ADD || writer == BY_CMP_SWP ||
		      writer == BY_ATOMIC_RESULT;

	if (atomic) {
		len = 8;
		at &= ~7UL;
	}
	expect(self, at, len);
	switch (writer) {
	case BY_WRITE:
		return area_push(a, at, len);
	case BY_SEND:
		return write_send(a, at, len);
	case BY_READ_RESPONSE:
		return write_response(a, at, len);
	case BY_ATOMIC_RESULT:
		return write_result(a, at);
	case BY_CPU:
		area_tell_part(a, at, len);
		return 0;
	default:
		return write_atomic(a, at, writer);
	}
}

/* Reading is not writing, and changes nothing. */
static int read_somewhere(FIXTURE_DATA(tracking) *self)
{
	size_t len = 1 + rand_r(&self->seed) % MOST;
	size_t at = rand_r(&self->seed) % (self->area.odp.len - len);

	return area_pull(&self->area, at, len);
}

static int rounds_of(FIXTURE_DATA(tracking) *self)
{
	int i, err = 0;

	for (i = 1; !err && i <= ROUNDS * WRITES; i++) {
		err = write_somewhere(self, rand_r(&self->seed) % WRITERS) ?:
		      read_somewhere(self);
		if (!err && i % WRITES == 0)
			err = compare(self);
	}
	return err;
}

TEST_F_TIMEOUT(tracking, rounds, 240)
{
	struct lab *lab = &self->area.lab;

	area_tell(&self->area);
	DO(lab, begin(self));
	/* Nothing since; then only reads; then what is drawn. */
	DO(lab, compare(self));
	DO(lab, read_somewhere(self));
	DO(lab, compare(self));
	DO(lab, rounds_of(self));
}

/* One of each, so that none depends on what is drawn. */
TEST_F_TIMEOUT(tracking, each_writer, 240)
{
	struct lab *lab = &self->area.lab;
	int writer;

	area_tell(&self->area);
	DO(lab, begin(self));
	for (writer = 0; writer < WRITERS; writer++) {
		DO(lab, write_somewhere(self, writer));
		DO(lab, compare(self));
	}
}

/* Memory that was never touched is tracked like any other. */
TEST_F_TIMEOUT(tracking, untouched, 240)
{
	struct lab *lab = &self->area.lab;

	DO(lab, begin(self));
	DO(lab, compare(self));
	DO(lab, rounds_of(self));
}

/* Private memory that is dropped has changed; a hole in a file is not seen. */
TEST_F_TIMEOUT(tracking, dropped, 240)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;
	size_t at = 2 * self->step;

	area_tell(a);
	DO(lab, begin(self));
	ASSERT_EQ(0, madvise(a->odp.addr + at, self->step,
			     area_is_anon(a) ? MADV_DONTNEED : MADV_REMOVE));
	memset(a->odp.image + at, 0, self->step);
	self->expected[at / self->step] = area_is_anon(a);
	DO(lab, area_pull(a, at, 8));
	DO(lab, compare(self));
	DO(lab, area_push(a, at, 8));
	expect(self, at, 8);
	DO(lab, compare(self));
}

/* Why it has to be on-demand paging: pinned pages are written behind its back. */
TEST_F_TIMEOUT(tracking, pinned_is_not_seen, 240)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;

	area_tell(a);
	ASSERT_EQ(0, ibv_dereg_mr(a->odp.mr));
	a->odp.mr = ibv_reg_mr(lab->pd, a->odp.addr, a->odp.len, ACCESS_ALL);
	ASSERT_NE(NULL, a->odp.mr);
	DO(lab, begin(self));
	DO(lab, area_push_check(a, 0, 3 * lab->page_size));
	DO(lab, compare(self));
}

/* --- a copy that is kept up to date while the peer writes */

struct traffic {
	FIXTURE_DATA(tracking) *self;
	_Atomic bool stop;
	unsigned long writes;
	int err;
};

static void *write_all_the_time(void *arg)
{
	struct traffic *traffic = arg;

	while (!traffic->stop && !traffic->err) {
		traffic->err = write_somewhere(traffic->self, BY_WRITE);
		traffic->writes++;
	}
	return NULL;
}

static int copy_written(FIXTURE_DATA(tracking) *self, char *copy)
{
	size_t i;
	int err = collect(self);

	for (i = 0; !err && i < self->steps; i++)
		if (self->written[i])
			memcpy(copy + i * self->step,
			       self->area.odp.addr + i * self->step,
			       self->step);
	return err;
}

/* As a live migration would: what is written after its copy comes again. */
TEST_F_TIMEOUT(tracking, copy_under_traffic, 240)
{
	struct area *a = &self->area;
	struct traffic traffic = { .self = self };
	uint64_t end = now_ns() + TRAFFIC_TIME;
	char *copy = malloc(a->odp.len);
	unsigned long passes;
	pthread_t thread;
	int err = 0;

	ASSERT_NE(NULL, copy);
	area_tell(a);
	memcpy(copy, a->odp.image, a->odp.len);
	DO(&a->lab, begin(self));
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_all_the_time,
				    &traffic));
	for (passes = 0; !err && (now_ns() < end || passes < 3); passes++) {
		err = copy_written(self, copy);
		/* What a migration takes to send it. */
		usleep(5000);
	}
	traffic.stop = true;
	pthread_join(thread, NULL);
	DO(&a->lab, traffic.err);
	DO(&a->lab, err);
	DO(&a->lab, copy_written(self, copy));
	ASSERT_EQ(0, memcmp(copy, a->odp.image, a->odp.len));
	DO(&a->lab, area_check(a));
	TH_LOG("%lu writes, %lu passes", traffic.writes, passes);
	free(copy);
}

TEST_HARNESS_MAIN
