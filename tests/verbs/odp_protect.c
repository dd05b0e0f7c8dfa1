// SPDX-License-Identifier: GPL-2.0
/*
 * Permissions that the address space has lost since the registration: the
 * device's access is refused, nothing moves, and other accesses work on.
 */
#include "odp_fixture.h"

static int refused(struct lab *lab, enum ibv_wr_opcode opcode,
		   struct mem *local, struct mem *remote, size_t offset,
		   size_t len)
{
	struct rc_op op = mem_op(opcode, local, offset, remote, offset, len);
	struct ibv_wc wc;

	return lab_run_status(lab, &lab->pair.end[0], &op,
			      IBV_WC_REM_ACCESS_ERR, &wc) ?:
	       lab_reconnect(lab);
}

TEST_F(odp, write_to_read_only)
{
	struct lab *lab = &self->lab;
	size_t len = self->page_size;

	ASSERT_EQ(0, mprotect(self->remote->addr, self->len, PROT_READ));
	DO(lab, refused(lab, IBV_WR_RDMA_WRITE, self->local, self->remote, 0,
			len));
	/* Nobody was asked for a page that could not be used. */
	ASSERT_EQ(0, mem_messages(self->remote));
	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len));
	DO(lab, refused(lab, IBV_WR_RDMA_WRITE, self->local, self->remote, 100,
			len));
	DO(lab, mem_check_messages(lab, self->remote, "remote", 0,
				   self->len, 1));
	CHECK_BYTES();
}

TEST_F(odp, write_to_read_only_after_write)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_write(lab, self->local, 0, self->remote, 0, self->len));
	memset(self->local->addr, 0x33, self->len);
	memset(self->local->image, 0x33, self->len);
	ASSERT_EQ(0, mprotect(self->remote->addr, self->len, PROT_READ));
	DO(lab, refused(lab, IBV_WR_RDMA_WRITE, self->local, self->remote, 100,
			self->page_size));
	CHECK_BYTES();
	ASSERT_EQ(0, mprotect(self->remote->addr, self->len,
			      PROT_READ | PROT_WRITE));
	DO(lab, lab_write(lab, self->local, 100, self->remote, 100,
			  self->page_size));
	CHECK_BYTES();
}

TEST_F(odp, no_access)
{
	struct lab *lab = &self->lab;

	ASSERT_EQ(0, mprotect(self->remote->addr, self->page_size, PROT_NONE));
	DO(lab, refused(lab, IBV_WR_RDMA_READ, self->local, self->remote, 0,
			100));
	DO(lab, refused(lab, IBV_WR_RDMA_WRITE, self->local, self->remote, 0,
			100));
	ASSERT_EQ(0, mem_messages(self->remote));
	ASSERT_EQ(0, mprotect(self->remote->addr, self->page_size,
			      PROT_READ | PROT_WRITE));
	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len));
	CHECK_BYTES();
}

TEST_F(odp, unmapped)
{
	struct lab *lab = &self->lab;
	size_t size = self->page_size;
	char *hole = self->remote->addr + 4 * size;

	/* One page that the device has seen, one that it has not. */
	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, 5 * size));
	ASSERT_EQ(0, munmap(hole, 2 * size));
	DO(lab, refused(lab, IBV_WR_RDMA_READ, self->local, self->remote,
			4 * size, 8));
	DO(lab, refused(lab, IBV_WR_RDMA_WRITE, self->local, self->remote,
			5 * size, 8));
	DO(lab, lab_read(lab, self->local, 6 * size, self->remote, 6 * size,
			 self->len - 6 * size));
	/* What is mapped there next is what an access gets. */
	ASSERT_EQ(hole, mmap(hole, 2 * size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			     -1, 0));
	memset(hole, 0x44, 2 * size);
	memset(self->remote->image + 4 * size, 0x44, 2 * size);
	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len));
	CHECK_BYTES();
}

TEST_HARNESS_MAIN
