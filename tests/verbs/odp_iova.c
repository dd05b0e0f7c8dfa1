// SPDX-License-Identifier: GPL-2.0
/*
 * Regions whose device addresses are not their virtual addresses, or that
 * begin and end within a page; on both sides of the connection.
 */
#include "kselftest_harness.h"
#include "lab.h"

#define PAGES	16

FIXTURE(iova)
{
	struct lab lab;
	struct mem *local, *remote;
	size_t len;
};

FIXTURE_VARIANT(iova)
{
	enum mem_kind kind;
	uint64_t local, remote;
};

FIXTURE_VARIANT_ADD(iova, pinned)
{
	.kind = MEM_PINNED,
	.local = 0,
	.remote = 0x123450000,
};

FIXTURE_VARIANT_ADD(iova, resident)
{
	.kind = MEM_RESIDENT,
	.local = 0x10000,
	.remote = 0x7fff12345000,
};

FIXTURE_VARIANT_ADD(iova, resident_zero_based)
{
	.kind = MEM_RESIDENT,
	.local = 0,
	.remote = 0,
};

FIXTURE_VARIANT_ADD(iova, uffd_low)
{
	.kind = MEM_UFFD,
	.local = 0,
	.remote = 0x1000,
};

FIXTURE_VARIANT_ADD(iova, uffd_high)
{
	.kind = MEM_UFFD,
	.local = 0xffff123456789000,
	.remote = 0xfffffffffffe0000,
};

FIXTURE_SETUP(iova)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->len = PAGES * lab->page_size;
	self->local = mem_map(lab, variant->kind, PAGES);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_map(lab, variant->kind, PAGES);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
}

FIXTURE_TEARDOWN(iova)
{
	lab_close(&self->lab);
}

static void check(struct __test_metadata *_metadata, FIXTURE_DATA(iova) *self)
{
	struct lab *lab = &self->lab;

	DO(lab, mem_check(lab, self->local, "local"));
	DO(lab, mem_check(lab, self->remote, "remote"));
}

TEST_F(iova, whole)
{
	struct lab *lab = &self->lab;

	DO(lab, mem_register(lab, self->local, ACCESS_ALL, variant->local));
	DO(lab, mem_register(lab, self->remote, ACCESS_ALL, variant->remote));
	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len / 2));
	DO(lab, lab_write(lab, self->local, self->len / 2 + 100, self->remote,
			  self->len / 2 + 300, self->len / 2 - 300));
	check(_metadata, self);
}

TEST_F(iova, atomic)
{
	struct lab *lab = &self->lab;
	size_t at = 5 * lab->page_size + 64;
	uint64_t old, new;
	struct rc_op op;

	DO(lab, mem_register(lab, self->local, ACCESS_ALL, variant->local));
	DO(lab, mem_register(lab, self->remote, ACCESS_ALL, variant->remote));
	op = mem_op(IBV_WR_ATOMIC_FETCH_AND_ADD, self->local, 24, self->remote,
		    at, 8);
	op.compare_add = 5;
	memcpy(&old, self->remote->image + at, sizeof(old));
	new = old + op.compare_add;
	mem_expect(self->remote, at, &new, sizeof(new));
	mem_expect(self->local, 24, &old, sizeof(old));
	DO(lab, lab_run(lab, &op));
	check(_metadata, self);
}

/* All but the first 104 and the last 200 bytes of the remote memory. */
static int register_part(struct lab *lab, struct mem *mem, uint64_t iova)
{
	unsigned int odp = mem->kind == MEM_PINNED ? 0 : IBV_ACCESS_ON_DEMAND;

	mem->mr = ibv_reg_mr_iova(lab->pd, mem->addr + 104, mem->len - 304,
				  iova + 104, ACCESS_ALL | odp);
	mem->iova = iova;
	return mem->mr ? 0 : fail(&lab->failure, errno,
				  "cannot register part of the memory");
}

TEST_F(iova, part)
{
	struct lab *lab = &self->lab;
	size_t len = self->len - 304;

	DO(lab, mem_register(lab, self->local, ACCESS_ALL, variant->local));
	DO(lab, register_part(lab, self->remote, variant->remote));
	DO(lab, lab_read(lab, self->local, 0, self->remote, 104, len));
	check(_metadata, self);
	DO(lab, lab_write(lab, self->local, 17, self->remote, 104, len));
	check(_metadata, self);
}

TEST_F(iova, out_of_bounds)
{
	static const struct {
		ssize_t from;	/* negative: from the end */
		size_t len;
	} outside[] = {
		{ 103, 2 },
		{ 0, 104 },
		{ -201, 2 },
		{ -200, 1 },
		{ 104, (PAGES << 12) - 303 },
	};
	static const enum ibv_wr_opcode opcodes[] = {
		IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE,
	};
	struct lab *lab = &self->lab;
	unsigned int before;
	struct ibv_wc wc;
	struct rc_op op;
	size_t i, j, at;

	DO(lab, mem_register(lab, self->local, ACCESS_ALL, variant->local));
	DO(lab, register_part(lab, self->remote, variant->remote));
	/* What a WRITE takes with it shall not count. */
	DO(lab, lab_read(lab, self->local, 0, self->remote, 104,
			 self->len - 304));
	before = mem_messages(self->remote);
	for (i = 0; i < ARRAY_SIZE(outside) * ARRAY_SIZE(opcodes); i++) {
		j = i / ARRAY_SIZE(opcodes);
		at = outside[j].from + (outside[j].from < 0 ? self->len : 0);
		op = mem_op(opcodes[i % ARRAY_SIZE(opcodes)], self->local, 0,
			    self->remote, at, outside[j].len);
		DO(lab, lab_run_status(lab, &lab->pair.end[0], &op,
				       IBV_WC_REM_ACCESS_ERR, &wc));
		DO(lab, lab_reconnect(lab));
	}
	ASSERT_EQ(before, mem_messages(self->remote));
	check(_metadata, self);
}

TEST_HARNESS_MAIN
