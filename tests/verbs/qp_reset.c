// SPDX-License-Identifier: GPL-2.0
/*
 * A queue pair that is reset after an access that failed half way, and
 * connected again, starts afresh.
 */
#include <sys/mman.h>

#include "odp_fixture.h"

#define READ_PAGES	8

/* Through RESET, and to each other again. */
TEST_F(odp, after_half_a_read)
{
	struct lab *lab = &self->lab;
	size_t size = self->page_size;
	struct rc_op op = mem_op(IBV_WR_RDMA_READ, self->local, 0,
				 self->remote, 0, READ_PAGES * size);
	struct ibv_wc wc;

	/* The first pages are sent before the hole is met. */
	ASSERT_EQ(0, munmap(self->remote->addr + (READ_PAGES - 1) * size,
			    size));
	DO(lab, lab_run_status(lab, &lab->pair.end[0], &op,
			       IBV_WC_REM_ACCESS_ERR, &wc));
	DO(lab, rc_pair_reset(&lab->pair, &rc_params_default, &lab->failure));
	memcpy(self->local->image, self->local->addr, self->local->len);
	DO(lab, lab_write(lab, self->local, 100, self->remote, 50, 3000));
	DO(lab, lab_read(lab, self->local, 4 * size, self->remote, 50, 3000));
	DO(lab, mem_check(lab, self->local, "local"));
	ASSERT_EQ(0, memcmp(self->remote->addr, self->remote->image,
			    (READ_PAGES - 1) * size));
}

TEST_HARNESS_MAIN
