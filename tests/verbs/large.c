// SPDX-License-Identifier: GPL-2.0
/*
 * Memory regions of several GiB over sparse memory: registered, reached at
 * both ends and at each GiB, and flushed.
 */
#include <errno.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "flush.h"

#define GIB	(1UL << 30)
#define LEN	4096

FIXTURE(large)
{
	struct lab lab;
	struct mem *local;
	char *area;
	size_t size;
	struct ibv_mr *mr;
	struct rawq rawq;
};

FIXTURE_VARIANT(large)
{
	size_t gib;
	uint64_t iova;
};

#define VARIANT(name, n, at) \
	FIXTURE_VARIANT_ADD(large, name) \
	{ \
		.gib = n, \
		.iova = at, \
	}

VARIANT(of_2_gib, 2, 0);
VARIANT(of_3_gib, 3, 0);
VARIANT(of_4_gib, 4, 0);
VARIANT(of_8_gib, 8, 0);
VARIANT(of_8_gib_high, 8, -8 * GIB);

FIXTURE_SETUP(large)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	DO(lab, flush_prepare(lab, &lab->pair, &self->rawq));
	self->local = mem_new(lab, MEM_PINNED, 2, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	/* Odd ends, so that the number of pages is not a round one. */
	self->size = variant->gib * GIB - 10;
	self->area = mmap(NULL, variant->gib * GIB, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	self->mr = ibv_reg_mr_iova(lab->pd, self->area, self->size,
				   variant->iova, ACCESS_ALL |
				   RAWQ_ACCESS_PERSIST |
				   IBV_ACCESS_ON_DEMAND);
	ASSERT_NE(NULL, self->mr) TH_LOG("errno %d", errno);
}

FIXTURE_TEARDOWN(large)
{
	if (self->mr)
		ibv_dereg_mr(self->mr);
	munmap(self->area, variant->gib * GIB);
	lab_close(&self->lab);
}

#define MOVE(opcode, offset, len, want) \
	DO(&self->lab, lab_access(&self->lab, self->local, self->mr, opcode, \
				  variant->iova + (offset), len, want))

TEST_F(large, read_and_write)
{
	size_t i;

	/* The last bytes, and what lies to both sides of each GiB. */
	for (i = 1; i <= variant->gib; i++) {
		size_t end = i < variant->gib ? i * GIB + LEN / 2 : self->size;
		char *at = self->area + end - LEN;

		MOVE(IBV_WR_RDMA_WRITE, end - LEN, LEN, IBV_WC_SUCCESS);
		EXPECT_EQ(0, memcmp(at, self->local->addr, LEN));
		EXPECT_EQ(0, at[-1]);
		memset(at, i, LEN);
		MOVE(IBV_WR_RDMA_READ, end - LEN, LEN, IBV_WC_SUCCESS);
		EXPECT_EQ(0, memcmp(at, self->local->addr, LEN));
	}
	MOVE(IBV_WR_RDMA_WRITE, 0, LEN, IBV_WC_SUCCESS);
	EXPECT_EQ(0, memcmp(self->area, self->local->addr, LEN));
}

TEST_F(large, read_past_the_end)
{
	MOVE(IBV_WR_RDMA_READ, self->size - 7, 8, IBV_WC_REM_ACCESS_ERR);
}

TEST_F(large, flush)
{
	struct lab *lab = &self->lab;

	MOVE(IBV_WR_RDMA_WRITE, 0, LEN, IBV_WC_SUCCESS);
	MOVE(IBV_WR_RDMA_WRITE, self->size - LEN, LEN, IBV_WC_SUCCESS);
	DO(lab, flush(lab, &self->rawq, self->mr, variant->iova, LEN, IB_FLUSH_RANGE,
		      IBV_WC_SUCCESS));
	DO(lab, flush(lab, &self->rawq, self->mr, variant->iova + self->size - LEN, LEN,
		      IB_FLUSH_RANGE, IBV_WC_SUCCESS));
	/* As much as a request can name. */
	DO(lab, flush(lab, &self->rawq, self->mr, variant->iova, 1U << 31, IB_FLUSH_RANGE,
		      variant->gib > 2 ? IBV_WC_SUCCESS :
					 IBV_WC_REM_ACCESS_ERR));
}

TEST_F(large, flush_all)
{
	struct lab *lab = &self->lab;

	MOVE(IBV_WR_RDMA_WRITE, self->size - LEN, LEN, IBV_WC_SUCCESS);
	DO(lab, flush(lab, &self->rawq, self->mr, 0, 0, IB_FLUSH_MR, IBV_WC_SUCCESS));
	/* The connection is good for more. */
	MOVE(IBV_WR_RDMA_READ, self->size - LEN, LEN, IBV_WC_SUCCESS);
	EXPECT_EQ(0, memcmp(self->area + self->size - LEN, self->local->addr,
			    LEN));
}

/* All of it means all of it: past 4 GiB, too, where something is missing. */
TEST_F(large, flush_all_with_a_hole)
{
	struct lab *lab = &self->lab;

	ASSERT_EQ(0, munmap(self->area + variant->gib * GIB - 2 * LEN, LEN));
	DO(lab, flush(lab, &self->rawq, self->mr, 0, 0, IB_FLUSH_MR,
		      IBV_WC_REM_ACCESS_ERR));
}

TEST_HARNESS_MAIN
