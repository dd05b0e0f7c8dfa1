// SPDX-License-Identifier: GPL-2.0
/*
 * Advice to prefetch: what it asks for, and what it refuses.
 *
 * ibv_advise_mr() of many versions of rdma-core does not pass it on for rxe,
 * so this asks the kernel itself.
 */
#include "machine.h"
#include "odp_fixture.h"
#include "uverbs.h"

/* Of a page that is supplied slowly. */
#define LATENCY		(300 * NSEC_PER_SEC / 1000)

enum { ASYNC = 0, SYNC = IBV_ADVISE_MR_FLAG_FLUSH };

/* 0, or a positive errno as ibv_advise_mr() returns it. */
static int advise_list(struct lab *lab, enum ibv_advise_mr_advice advice,
		       struct ibv_sge *sge, unsigned int num_sge)
{
	return uverbs_advise_mr(lab->pd, advice, SYNC, sge, num_sge);
}

static struct ibv_sge part(struct mem *mem, size_t offset, size_t len)
{
	return (struct ibv_sge){
		.addr = mem->iova + offset,
		.length = len,
		.lkey = mem->mr->lkey,
	};
}

/* Without SYNC it is done when it is done. */
static int advise_by(struct lab *lab, struct mem *mem, uint64_t offset,
		     uint32_t len, enum ibv_advise_mr_advice advice, int flags)
{
	struct ibv_sge sge = part(mem, offset, len);

	return uverbs_advise_mr(lab->pd, advice, flags, &sge, 1);
}

static int advise(struct lab *lab, struct mem *mem, size_t offset, size_t len,
		  enum ibv_advise_mr_advice advice)
{
	return advise_by(lab, mem, offset, len, advice, SYNC);
}

static size_t present(struct lab *lab, struct mem *mem, size_t offset,
		      size_t len)
{
	size_t first = offset / lab->page_size * lab->page_size;

	return pagemap_count(mem->addr + first, offset + len - first,
			     PM_PRESENT);
}

/* The pages of a range that begins and ends within one. */
#define FROM	(2 * self->page_size + 100)
#define LENGTH	(5 * self->page_size)

TEST_F(odp, prefetch)
{
	struct lab *lab = &self->lab;

	ASSERT_EQ(0, advise(lab, self->remote, FROM, LENGTH,
			    IBV_ADVISE_MR_ADVICE_PREFETCH));
	DO(lab, mem_check_messages(lab, self->remote, "remote", FROM, LENGTH,
				   1));
	DO(lab, lab_read(lab, self->local, FROM, self->remote, FROM, LENGTH));
	DO(lab, lab_write(lab, self->local, 0, self->remote, FROM, LENGTH));
	DO(lab, mem_check_messages(lab, self->remote, "remote", FROM, LENGTH,
				   1));
	CHECK_BYTES();
}

TEST_F(odp, prefetch_write)
{
	struct lab *lab = &self->lab;

	ASSERT_EQ(0, advise(lab, self->remote, FROM, LENGTH,
			    IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE));
	DO(lab, mem_check_messages(lab, self->remote, "remote", FROM, LENGTH,
				   1));
	DO(lab, lab_write(lab, self->local, 0, self->remote, FROM, LENGTH));
	DO(lab, mem_check_messages(lab, self->remote, "remote", FROM, LENGTH,
				   1));
	CHECK_BYTES();
}

TEST_F(odp, no_fault)
{
	struct lab *lab = &self->lab;

	ASSERT_EQ(0, advise(lab, self->remote, FROM, LENGTH,
			    IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT));
	ASSERT_EQ(0, mem_messages(self->remote));
	DO(lab, lab_read(lab, self->local, FROM, self->remote, FROM, LENGTH));
	DO(lab, mem_check_messages(lab, self->remote, "remote", FROM, LENGTH,
				   1));
	CHECK_BYTES();
}

TEST_F(odp, beyond_the_end)
{
	struct lab *lab = &self->lab;

	static const int flags[] = { SYNC, ASYNC };
	struct {
		uint64_t offset;
		uint32_t len;
	} range[] = {
		{ self->len - self->page_size, 2 * self->page_size },
		{ self->len, 1 },
		{ -1ULL, 1 },
		{ -1ULL, 2 },
		{ 0, -1 },
		{ self->page_size, -1 },
		/* Around the end of all addresses, and back into the region. */
		{ -(uint64_t)self->remote->iova - 1, 2 },
		{ -(uint64_t)self->remote->iova - self->page_size, -1 },
	};
	size_t i;

	for (i = 0; i < 2 * ARRAY_SIZE(range); i++)
		EXPECT_EQ(EFAULT, advise_by(lab, self->remote,
					    range[i / 2].offset,
					    range[i / 2].len,
					    IBV_ADVISE_MR_ADVICE_PREFETCH,
					    flags[i % 2]))
			TH_LOG("range %zu", i / 2);
	ASSERT_EQ(0, mem_messages(self->remote));
	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len));
	CHECK_BYTES();
}

/* Only memory regions with on-demand paging take advice. */
TEST_F(odp, pinned_region)
{
	static const enum ibv_advise_mr_advice advices[] = {
		IBV_ADVISE_MR_ADVICE_PREFETCH,
		IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
		IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT,
	};
	struct lab *lab = &self->lab;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		EXPECT_EQ(EINVAL, advise(lab, self->local, 0, self->len,
					 advices[i]));
		EXPECT_EQ(EINVAL, advise_by(lab, self->local, 0, self->len,
					    advices[i], ASYNC));
	}
	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len));
	CHECK_BYTES();
}

/* To read needs no right to write, to write does. */
TEST_F(odp, read_only_region)
{
	struct lab *lab = &self->lab;
	struct mem *mem;

	mem = mem_new(lab, variant->remote, PAGES, IBV_ACCESS_REMOTE_READ);
	ASSERT_NE(NULL, mem) TH_LOG("%s", lab->failure.text);
	ASSERT_EQ(EPERM, advise(lab, mem, FROM, LENGTH,
				IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE));
	ASSERT_EQ(0, mem_messages(mem));
	ASSERT_EQ(0, advise(lab, mem, FROM, LENGTH,
			    IBV_ADVISE_MR_ADVICE_PREFETCH));
	DO(lab, mem_check_messages(lab, mem, "remote", FROM, LENGTH, 1));
	DO(lab, lab_read(lab, self->local, FROM, mem, FROM, LENGTH));
	DO(lab, mem_check_messages(lab, mem, "remote", FROM, LENGTH, 1));
	DO(lab, mem_check(lab, self->local, "local"));
	DO(lab, mem_check(lab, mem, "remote"));
}

/* A list is taken as a whole, and a bad key in it is an error. */
TEST_F(odp, list)
{
	struct lab *lab = &self->lab;
	struct ibv_sge sge[] = {
		part(self->remote, 0, 2 * self->page_size),
		part(self->remote, 3 * self->page_size, self->page_size),
		part(self->remote, 5 * self->page_size - 1, 2),
	};
	static const bool wanted[PAGES] = {
		true, true, false, true, true, true,
	};
	unsigned int have;
	size_t i;

	ASSERT_EQ(0, advise_list(lab, IBV_ADVISE_MR_ADVICE_PREFETCH, sge,
				 ARRAY_SIZE(sge)));
	for (i = 0; mem_is_uffd(self->remote) && i < PAGES; i++) {
		have = page_source_messages(self->remote->source, i);
		ASSERT_EQ(wanted[i], have) TH_LOG("page %zu", i);
	}
	sge[1].lkey++;
	ASSERT_EQ(EFAULT, advise_list(lab, IBV_ADVISE_MR_ADVICE_PREFETCH, sge,
				      ARRAY_SIZE(sge)));
}

/* The caller does not wait for the pages, the first access neither. */
TEST_F(odp, asynchronous)
{
	static const enum ibv_advise_mr_advice advices[] = {
		IBV_ADVISE_MR_ADVICE_PREFETCH,
		IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
	};
	struct lab *lab = &self->lab;
	struct mem *mem;
	uint64_t end;
	size_t i;

	lab->page_latency_ns = LATENCY;
	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		mem = mem_new(lab, variant->remote, PAGES, ACCESS_ALL);
		ASSERT_NE(NULL, mem) TH_LOG("%s", lab->failure.text);
		ASSERT_EQ(0, advise_by(lab, mem, FROM, LENGTH, advices[i],
				       ASYNC));
		if (mem_is_uffd(mem))
			EXPECT_GT(6, present(lab, mem, FROM, LENGTH));
		for (end = now_ns() + PATIENCE;
		     present(lab, mem, FROM, LENGTH) < 6; usleep(1000))
			ASSERT_LT(now_ns(), end);
		DO(lab, lab_read(lab, self->local, FROM, mem, FROM, LENGTH));
		DO(lab, mem_check_messages(lab, mem, "remote", FROM, LENGTH,
					   1));
		DO(lab, mem_check(lab, mem, "remote"));
	}
	DO(lab, mem_check(lab, self->local, "local"));
}

/* It asks for nothing, so it has nothing to wait for. */
TEST_F(odp, asynchronous_no_fault)
{
	struct lab *lab = &self->lab;

	ASSERT_EQ(0, advise_by(lab, self->remote, FROM, LENGTH,
			       IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT, ASYNC));
	DO(lab, lab_read(lab, self->local, FROM, self->remote, FROM, LENGTH));
	DO(lab, mem_check_messages(lab, self->remote, "remote", FROM, LENGTH,
				   1));
	CHECK_BYTES();
}

/* A memory region goes while what was advised about it is under way. */
TEST_F(odp, asynchronous_and_deregistered)
{
	struct lab *lab = &self->lab;
	struct mem *mem;
	int i;

	lab->page_latency_ns = LATENCY / 30;
	for (i = 0; i < 5; i++) {
		mem = mem_new(lab, variant->remote, PAGES, ACCESS_ALL);
		ASSERT_NE(NULL, mem) TH_LOG("%s", lab->failure.text);
		ASSERT_EQ(0, advise_by(lab, mem, 0, self->len,
				       IBV_ADVISE_MR_ADVICE_PREFETCH, ASYNC));
		ASSERT_EQ(0, ibv_dereg_mr(mem->mr));
		mem->mr = NULL;
	}
	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len));
	CHECK_BYTES();
}

TEST_HARNESS_MAIN
