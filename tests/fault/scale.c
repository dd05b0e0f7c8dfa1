// SPDX-License-Identifier: GPL-2.0
/*
 * Many waiters: for many pages and for one, answered in whatever order.
 */
#include <dirent.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"
#include "uffd.h"

#define PAIRS	1000
#define PAGES	10000
#define FEW	10

/* Workers of one process, and what the kernel does for other reasons. */
#define THREADS	(16 + 16)

/* It resends after 4 s: those that wait are to keep quiet meanwhile. */
static const struct rc_params params = {
	.timeout = 20,
	.retry_cnt = 7,
	.rnr_retry = 7,
	.min_rnr_timer = 30,
	.max_rd_atomic = 1,
	.access = ACCESS_ALL,
	.queue = 2,
	.sge = 1,
};

FIXTURE(scale)
{
	struct lab lab;
	struct mem *local, *remote;
	struct rc_pair *pairs;
	int npairs, uffd;
	char *page;
	bool *asked;
	unsigned int messages;
	uint32_t random;
};

FIXTURE_SETUP(scale)
{
	struct lab *lab = &self->lab;
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);

	self->random = 1;
	DO(lab, lab_open(lab));
	self->pairs = calloc(PAIRS, sizeof(*self->pairs));
	self->asked = calloc(PAGES, sizeof(*self->asked));
	self->page = malloc(lab->page_size);
	ASSERT_TRUE(self->pairs && self->asked && self->page);
	self->local = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_new(lab, MEM_RESIDENT, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
	ASSERT_EQ(0, madvise(self->remote->addr, self->remote->len,
			     MADV_DONTNEED));
	self->uffd = uffd_open(&lab->failure);
	ASSERT_LE(0, self->uffd) TH_LOG("%s", lab->failure.text);
	DO(lab, uffd_register(self->uffd, self->remote->addr, self->remote->len,
			      &lab->failure));
}

FIXTURE_TEARDOWN(scale)
{
	int i;

	for (i = 0; i < self->npairs; i++)
		rc_pair_close(&self->pairs[i]);
	if (self->uffd >= 0)
		close(self->uffd);
	lab_close(&self->lab);
}

static int open_pairs(FIXTURE_DATA(scale) *self, int n)
{
	struct lab *lab = &self->lab;

	while (self->npairs < n) {
		int err = rc_pair_open(&self->pairs[self->npairs], &lab->dev,
				       lab->pd, &params, &lab->failure);

		if (err)
			return err;
		self->npairs++;
	}
	return 0;
}

static int read_pages(FIXTURE_DATA(scale) *self, int pair, size_t local,
		      size_t remote, size_t pages)
{
	size_t size = self->lab.page_size;
	struct rc_op op = mem_op(IBV_WR_RDMA_READ, self->local, local * size,
				 self->remote, remote * size, pages * size);

	mem_expect(self->local, local * size, self->remote->image + remote * size,
		   pages * size);
	return rc_post(&self->pairs[pair].end[0], &op, &self->lab.failure);
}

/* Take what messages there are; each page is asked for once. */
static int listen_for(FIXTURE_DATA(scale) *self, int timeout_ms)
{
	struct pollfd fd = { .fd = self->uffd, .events = POLLIN };
	struct lab *lab = &self->lab;
	struct uffd_msg msgs[64];
	ssize_t n, i;

	if (poll(&fd, 1, timeout_ms) <= 0)
		return 0;
	n = read(self->uffd, msgs, sizeof(msgs));
	if (n < 0)
		return errno == EAGAIN ? 0 :
		       fail(&lab->failure, errno, "cannot read messages");
	for (i = 0; i < n / (ssize_t)sizeof(msgs[0]); i++) {
		size_t page = (msgs[i].arg.pagefault.address -
			       (uintptr_t)self->remote->addr) / lab->page_size;

		if (self->asked[page])
			return fail(&lab->failure, 0,
				    "page %zu was asked for again", page);
		self->asked[page] = true;
		self->messages++;
	}
	return 0;
}

static int supply(FIXTURE_DATA(scale) *self, size_t page)
{
	size_t size = self->lab.page_size, at = page * size;
	int err;

	memcpy(self->page, self->remote->image + at, size);
	err = uffd_copy(self->uffd, self->remote->addr + at, self->page, size);
	return err ? fail(&self->lab.failure, -err, "cannot put page %zu in place", page) : 0;
}

static uint32_t next_random(FIXTURE_DATA(scale) *self)
{
	self->random = self->random * 1664525 + 1013904223;
	return self->random >> 8;
}

static int wait_all(FIXTURE_DATA(scale) *self, int n)
{
	struct lab *lab = &self->lab;
	struct ibv_wc wc;
	int i, err;

	for (i = 0; i < n; i++) {
		err = rc_wait(&self->pairs[i].end[0].send, &wc,
			      now_ns() + 3 * PATIENCE, &lab->failure);
		if (err)
			return err;
		if (wc.status != IBV_WC_SUCCESS)
			return fail(&lab->failure, 0, "READ %d: %s", i,
				    ibv_wc_status_str(wc.status));
	}
	return 0;
}

/* Workers that have something to do, or wait for something; not the spare ones. */
static int busy_workers(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int n = 0;

	while (proc && (entry = readdir(proc))) {
		char path[300], state = 'I';
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%*d (kworker/%*[^)]) %c", &state) == 1)
			n += state != 'I';
		fclose(f);
	}
	if (proc)
		closedir(proc);
	return n;
}

/* Each waits for a page of its own. */
TEST_F_TIMEOUT(scale, pages_of_their_own, 300)
{
	struct lab *lab = &self->lab;
	int n = rounds(PAIRS), threads, i;
	uint64_t deadline;
	long long slab;
	uint32_t *order;

	order = calloc(n, sizeof(*order));
	ASSERT_NE(NULL, order);
	DO(lab, open_pairs(self, n));
	slab = sum_of("/proc/meminfo", "Slab:");
	for (i = 0; i < n; i++)
		DO(lab, read_pages(self, i, i, i, 1));
	deadline = now_ns() + 3 * PATIENCE;
	while (self->messages < (unsigned int)n) {
		ASSERT_LT(now_ns(), deadline)
			TH_LOG("%u pages were asked for", self->messages);
		DO(lab, listen_for(self, 100));
	}
	threads = busy_workers();
	slab = sum_of("/proc/meminfo", "Slab:") - slab;
	TH_LOG("%d waiters: %d kernel threads, %lld bytes each, of their packets too",
	       n, threads, slab * 1024 / n);
	ASSERT_LE(threads, THREADS);

	for (i = 0; i < n; i++) {
		int j = next_random(self) % (i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (i = 0; i < n; i++)
		DO(lab, supply(self, order[i]));
	DO(lab, wait_all(self, n));
	DO(lab, mem_check(lab, self->local, "local"));
	ASSERT_EQ((unsigned int)n, self->messages);
	free(order);
}

/* All wait for the same one: it is asked for once. */
TEST_F_TIMEOUT(scale, one_page, 300)
{
	struct lab *lab = &self->lab;
	int n = rounds(PAIRS), i;

	DO(lab, open_pairs(self, n));
	for (i = 0; i < n; i++)
		DO(lab, read_pages(self, i, i, 0, 1));
	for (i = 0; i < 20; i++)
		DO(lab, listen_for(self, 100));
	ASSERT_EQ(1, self->messages);
	DO(lab, supply(self, 0));
	DO(lab, wait_all(self, n));
	DO(lab, mem_check(lab, self->local, "local"));
	ASSERT_EQ(1, self->messages);
}

/* A few want very many, and get the last that was asked for first. */
TEST_F_TIMEOUT(scale, many_pages, 300)
{
	struct lab *lab = &self->lab;
	size_t each = rounds(PAGES) / FEW, page;
	uint64_t deadline = now_ns() + 6 * PATIENCE;
	size_t supplied = 0;
	bool *done;
	int i;

	done = calloc(PAGES, sizeof(*done));
	ASSERT_NE(NULL, done);
	DO(lab, open_pairs(self, FEW));
	for (i = 0; i < FEW; i++)
		DO(lab, read_pages(self, i, i * each, i * each, each));
	while (supplied < each * FEW) {
		unsigned int before = self->messages;

		ASSERT_LT(now_ns(), deadline)
			TH_LOG("%zu of %zu pages", supplied, each * FEW);
		DO(lab, listen_for(self, 50));
		if (self->messages != before)
			continue;
		for (page = each * FEW; page-- > 0;) {
			if (!self->asked[page] || done[page])
				continue;
			DO(lab, supply(self, page));
			done[page] = true;
			supplied++;
		}
	}
	DO(lab, wait_all(self, FEW));
	DO(lab, mem_check(lab, self->local, "local"));
	free(done);
}

TEST_HARNESS_MAIN
