// SPDX-License-Identifier: GPL-2.0
/* Memory that the device must not be let into, however it was registered. */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "lab.h"

#define PAGES	4

FIXTURE(refuse)
{
	struct lab lab;
	struct mem *local;
	size_t len;
};

FIXTURE_SETUP(refuse)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->len = PAGES * lab->page_size;
	self->local = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
}

FIXTURE_TEARDOWN(refuse)
{
	lab_close(&self->lab);
}

/* Nothing but user space can be registered, up to the last byte there is. */
TEST_F(refuse, kernel_addresses)
{
	static const struct {
		uint64_t addr, len;
	} ranges[] = {
		{ 0xffff888000000000, 1 << 20 },
		{ 0xfffffffffffe0000, 0x10000 },
		{ 0xffffffffffff0000, 0xffff },
		{ 1 << 20, 0xfffffffffff00000 },
		{ 1 << 20, 1ULL << 63 },
	};
	struct lab *lab = &self->lab;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct ibv_mr *mr;

		mr = ibv_reg_mr(lab->pd, (void *)ranges[i].addr, ranges[i].len,
				ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
		EXPECT_EQ(NULL, mr)
			TH_LOG("%#lx, %#lx bytes", ranges[i].addr,
			       ranges[i].len);
		if (mr)
			ibv_dereg_mr(mr);
	}
}

/* The kernel cannot reach it either: it is not in the direct map. */
TEST_F(refuse, memfd_secret)
{
	static const enum ibv_wr_opcode opcodes[] = {
		IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE,
	};
	struct lab *lab = &self->lab;
	struct mem secret = { .len = self->len };
	struct ibv_wc wc;
	size_t i;
	int fd;

	fd = syscall(SYS_memfd_secret, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, self->len));
	secret.addr = mmap(NULL, self->len, PROT_READ | PROT_WRITE, MAP_SHARED,
			   fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)secret.addr);
	memset(secret.addr, 's', self->len);
	secret.iova = (uintptr_t)secret.addr;
	secret.mr = ibv_reg_mr(lab->pd, secret.addr, self->len,
			       ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
	ASSERT_NE(NULL, secret.mr);

	for (i = 0; i < ARRAY_SIZE(opcodes); i++) {
		struct rc_op op = mem_op(opcodes[i], self->local, 0, &secret, 0,
					 self->len);

		DO(lab, lab_run_status(lab, &lab->pair.end[0], &op,
				       IBV_WC_REM_ACCESS_ERR, &wc));
		DO(lab, lab_reconnect(lab));
	}
	for (i = 0; i < self->len; i++)
		ASSERT_EQ('s', secret.addr[i]);
	DO(lab, mem_check(lab, self->local, "local"));

	ibv_dereg_mr(secret.mr);
	munmap(secret.addr, self->len);
	close(fd);
}

TEST_HARNESS_MAIN
