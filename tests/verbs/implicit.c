// SPDX-License-Identifier: GPL-2.0
/*
 * Implicit on-demand paging: one memory region that is the whole address
 * space. What is mapped later than the registration is reached, too.
 */
#include <errno.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lab.h"

#define PAGES		16
#define GIB		(1UL << 30)

FIXTURE(implicit)
{
	struct lab lab;
	struct mem *local;
	struct ibv_mr *mr;
};

FIXTURE_SETUP(implicit)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->mr = ibv_reg_mr(lab->pd, NULL, SIZE_MAX,
			      ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
	ASSERT_NE(NULL, self->mr) TH_LOG("errno %d", errno);
	self->local = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
}

FIXTURE_TEARDOWN(implicit)
{
	if (self->mr)
		ibv_dereg_mr(self->mr);
	lab_close(&self->lab);
}

#define MOVE(opcode, addr, len, want) \
	DO(&self->lab, lab_access(&self->lab, self->local, self->mr, opcode, \
				  (uintptr_t)(addr), len, want))

TEST_F(implicit, caps)
{
	struct ibv_device_attr_ex attr;

	ASSERT_EQ(0, ibv_query_device_ex(self->lab.dev.ctx, NULL, &attr));
	EXPECT_NE(0, attr.odp_caps.general_caps & IBV_ODP_SUPPORT_IMPLICIT);
}

TEST_F(implicit, read_and_write)
{
	struct lab *lab = &self->lab;
	/* Registered, too, but reached by the other key. */
	struct mem *remote = mem_new(lab, MEM_UFFD, PAGES, ACCESS_ALL);

	ASSERT_NE(NULL, remote) TH_LOG("%s", lab->failure.text);
	remote->mr->rkey = self->mr->rkey;
	DO(lab, lab_read(lab, self->local, 100, remote, 4000, 3 * 4096));
	DO(lab, lab_write(lab, self->local, 0, remote, 6 * 4096 + 7, 9000));
	DO(lab, mem_check(lab, self->local, "local"));
	DO(lab, mem_check(lab, remote, "remote"));
	DO(lab, mem_drop(lab, remote, 0, PAGES));
	DO(lab, lab_read(lab, self->local, 0, remote, 0, remote->len));
	DO(lab, mem_check(lab, self->local, "local"));
	remote->mr->rkey = remote->mr->lkey;
}

/* The local side of both directions, and atomics. */
TEST_F(implicit, local_side)
{
	struct lab *lab = &self->lab;
	struct mem *mem = mem_new(lab, MEM_UFFD, PAGES, ACCESS_ALL);
	struct mem *remote = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	uint32_t lkey;

	ASSERT_NE(NULL, mem) TH_LOG("%s", lab->failure.text);
	ASSERT_NE(NULL, remote) TH_LOG("%s", lab->failure.text);
	lkey = mem->mr->lkey;
	mem->mr->lkey = self->mr->lkey;
	DO(lab, lab_write(lab, mem, 10, remote, 20, 3 * 4096));
	DO(lab, lab_read(lab, mem, 5 * 4096, remote, 3, 3 * 4096));
	DO(lab, mem_check(lab, mem, "local"));
	DO(lab, mem_check(lab, remote, "remote"));
	mem->mr->lkey = lkey;
}

/* Across the border of two parts, and to places far from each other. */
TEST_F(implicit, borders)
{
	char *area = mmap(NULL, 6 * GIB, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *border;
	int i;

	ASSERT_NE(MAP_FAILED, area);
	border = (char *)(((uintptr_t)area + GIB) & ~(GIB - 1));
	for (i = 0; i < 4; i++) {
		char *at = border + i * GIB - 1234;

		MOVE(IBV_WR_RDMA_WRITE, at, 5000, IBV_WC_SUCCESS);
		EXPECT_EQ(0, memcmp(at, self->local->addr, 5000));
		EXPECT_EQ(0, at[-1]);
		EXPECT_EQ(0, at[5000]);
	}
	munmap(area, 6 * GIB);
	MOVE(IBV_WR_RDMA_WRITE, border - 1234, 5000, IBV_WC_REM_ACCESS_ERR);
}

/* Parts come and go with what is mapped, many times over. */
TEST_F(implicit, reclaim)
{
	char *area = mmap(NULL, 64 * GIB, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int round, i;

	ASSERT_NE(MAP_FAILED, area);
	for (round = 0; round < 4; round++) {
		for (i = 0; i < 64; i++) {
			char *at = area + i * GIB + round * 4096;

			MOVE(IBV_WR_RDMA_WRITE, at, 100, IBV_WC_SUCCESS);
			ASSERT_EQ(0, memcmp(at, self->local->addr, 100));
			ASSERT_EQ(0, madvise(area + i * GIB, GIB,
					     MADV_DONTNEED));
		}
		/* With and without time for the worker to free them. */
		if (round & 1)
			usleep(1500 * 1000);
	}
	munmap(area, 64 * GIB);
}

#define REFUSED(name, opcode, addr, len) \
	TEST_F(implicit, name) \
	{ \
		MOVE(opcode, addr, len, IBV_WC_REM_ACCESS_ERR); \
		DO(&self->lab, mem_check(&self->lab, self->local, "local")); \
	}

REFUSED(null, IBV_WR_RDMA_READ, 0, 8)
REFUSED(write_null, IBV_WR_RDMA_WRITE, 0, 8)
REFUSED(kernel_space, IBV_WR_RDMA_READ, 0xffff888000000000, 8)
REFUSED(write_kernel_space, IBV_WR_RDMA_WRITE, 0xffffffff81000000, 4096)
REFUSED(non_canonical, IBV_WR_RDMA_READ, 0x1234567800000000, 4096)
REFUSED(end_of_user_space, IBV_WR_RDMA_READ, 0x7ffffffff000 - 8, 16)
REFUSED(end_of_all, IBV_WR_RDMA_READ, -8ULL, 8)
REFUSED(write_around_the_end, IBV_WR_RDMA_WRITE, -8ULL, 16)

TEST_F(implicit, iova_is_the_address)
{
	struct ibv_mr *mr;

	mr = ibv_reg_mr_iova(self->lab.pd, NULL, SIZE_MAX, 4096,
			     ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
	EXPECT_EQ(NULL, mr);
	EXPECT_EQ(EINVAL, errno);
}

TEST_HARNESS_MAIN
