// SPDX-License-Identifier: GPL-2.0
/*
 * FLUSH of memory that outlives the machine: a file on DAX, mapped with MAP_SYNC
 * and registered with on-demand paging. What is written back is seen where the
 * kernel writes processor caches back, with a kprobe. To be run by on-dax.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "flush.h"
#include "machine.h"

#define TRACING	"/sys/kernel/tracing/"
#define PAGES	64

FIXTURE(dax)
{
	struct lab lab;
	struct mem *local;
	struct rawq rawq;
	size_t page_size, len;
	int fd;
	char *content, *addr;
	struct ibv_mr *mr;
};

/* The bytes that were written back since the last time. */
static long long written_back(void)
{
	FILE *trace = fopen(TRACING "trace", "re");
	unsigned long long size;
	long long sum = 0;
	char line[256];
	int fd;

	if (!trace)
		return -1;
	while (fgets(line, sizeof(line), trace)) {
		const char *at = strstr(line, "size=");

		if (at && sscanf(at, "size=%llu", &size) == 1)
			sum += size;
	}
	fclose(trace);
	/* Opened so, it is emptied. */
	fd = open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -1;
	close(fd);
	return sum;
}

FIXTURE_SETUP(dax)
{
	struct failure *failure = &self->lab.failure;
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	DO(lab, flush_prepare(lab, &lab->pair, &self->rawq));
	self->page_size = lab->page_size;
	self->len = PAGES * lab->page_size;
	self->local = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", failure->text);
	self->content = malloc(self->len);
	ASSERT_NE(NULL, self->content);
	pattern_fill(self->content, self->len, 1, 0);

	self->fd = open("/tmp/file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ((ssize_t)self->len,
		  pwrite(self->fd, self->content, self->len, 0));
	ASSERT_EQ(0, fsync(self->fd));
	self->addr = mmap(NULL, self->len, PROT_READ | PROT_WRITE,
			  MAP_SHARED_VALIDATE | MAP_SYNC, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("not DAX: errno %d", errno);
	self->mr = ibv_reg_mr(lab->pd, self->addr, self->len,
			      ACCESS_ALL | RAWQ_ACCESS_PERSIST |
			      IBV_ACCESS_ON_DEMAND);
	ASSERT_NE(NULL, self->mr) TH_LOG("errno %d", errno);

	DO(lab, set_knob(TRACING "kprobe_events",
			 "p:rxe_uffd/written_back arch_wb_cache_pmem size=%si:u64",
			 failure));
	DO(lab, set_knob(TRACING "events/rxe_uffd/enable", "1", failure));
	ASSERT_LE(0, written_back());
}

FIXTURE_TEARDOWN(dax)
{
	struct failure ignored = {};

	set_knob(TRACING "events/rxe_uffd/enable", "0", &ignored);
	set_knob(TRACING "kprobe_events", "-:rxe_uffd/written_back", &ignored);
	if (self->mr)
		ibv_dereg_mr(self->mr);
	munmap(self->addr, self->len);
	close(self->fd);
	free(self->content);
	lab_close(&self->lab);
}

#define WRITE(offset, length) do { \
	DO(lab, lab_access(lab, self->local, self->mr, IBV_WR_RDMA_WRITE, \
			   (uintptr_t)self->addr + (offset), length, \
			   IBV_WC_SUCCESS)); \
	memcpy(self->content + (offset), self->local->addr, length); \
} while (0)

#define CHECK_FILE() do { \
	char *have = malloc(self->len); \
	ASSERT_EQ((ssize_t)self->len, pread(self->fd, have, self->len, 0)); \
	ASSERT_EQ(0, memcmp(have, self->content, self->len)); \
	free(have); \
} while (0)

/* What was written, and what merely is there; within a page and over some. */
TEST_F(dax, range)
{
	struct lab *lab = &self->lab;
	const struct {
		size_t offset, len;
	} range[] = {
		{ 0, self->page_size },
		{ 3 * self->page_size + 5, 17 },
		{ 10 * self->page_size - 9, 20 * self->page_size },
		{ self->len - 1, 1 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(range); i++) {
		if (i % 2)
			WRITE(range[i].offset, range[i].len);
		written_back();
		DO(lab, flush(lab, &self->rawq, self->mr,
			      (uintptr_t)self->addr + range[i].offset,
			      range[i].len, IB_FLUSH_RANGE, IBV_WC_SUCCESS));
		EXPECT_EQ((long long)range[i].len, written_back())
			TH_LOG("range %zu", i);
	}
	CHECK_FILE();
}

TEST_F(dax, all)
{
	struct lab *lab = &self->lab;

	WRITE(5 * self->page_size, self->page_size);
	written_back();
	DO(lab, flush(lab, &self->rawq, self->mr, 0, 0, IB_FLUSH_MR,
		      IBV_WC_SUCCESS));
	EXPECT_EQ((long long)self->len, written_back());
	CHECK_FILE();
}

/* A file with holes and pages that are unwritten. */
TEST_F(dax, sparse_file)
{
	struct lab *lab = &self->lab;
	size_t half = self->len / 2;

	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, 0, half));
	memset(self->content, 0, half);
	WRITE(self->page_size, self->page_size);
	DO(lab, flush(lab, &self->rawq, self->mr, 0, 0, IB_FLUSH_MR,
		      IBV_WC_SUCCESS));
	EXPECT_LE((long long)half, written_back());
	WRITE(2 * self->page_size + 7, 3 * self->page_size);
	CHECK_FILE();
}

/* The file has become shorter than the region. */
TEST_F(dax, truncated_file)
{
	struct lab *lab = &self->lab;

	ASSERT_EQ(0, ftruncate(self->fd, self->len / 2));
	DO(lab, flush(lab, &self->rawq, self->mr, 0, 0, IB_FLUSH_MR,
		      IBV_WC_REM_ACCESS_ERR));
	DO(lab, lab_reconnect(lab));
	ASSERT_EQ(0, ftruncate(self->fd, self->len));
	memset(self->content + self->len / 2, 0, self->len / 2);
	WRITE(self->len - self->page_size, self->page_size);
	CHECK_FILE();
}

/* Memory that does not outlive the machine has nothing to be written back. */
TEST_F(dax, other_memory)
{
	struct lab *lab = &self->lab;
	struct mem *mem = mem_map(lab, MEM_RESIDENT, PAGES);

	ASSERT_NE(NULL, mem) TH_LOG("%s", lab->failure.text);
	DO(lab, mem_register(lab, mem, ACCESS_ALL | RAWQ_ACCESS_PERSIST,
			     (uintptr_t)mem->addr));
	written_back();
	DO(lab, flush(lab, &self->rawq, mem->mr, 0, 0, IB_FLUSH_MR,
		      IBV_WC_SUCCESS));
	EXPECT_EQ(0, written_back());
}

TEST_HARNESS_MAIN
