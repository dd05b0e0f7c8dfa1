/* SPDX-License-Identifier: GPL-2.0 */
#ifndef UFFDMR_VERBS_1_0_H
#define UFFDMR_VERBS_1_0_H

#include <infiniband/verbs.h>

/* As a program that was built with libibverbs 1.0 has it. */
struct pd_1_0 {
	void *context;
	uint32_t handle;
	struct ibv_pd *real;
};

struct mr_1_0 {
	void *context;
	struct ibv_pd *pd;
	uint32_t handle;
	uint32_t lkey;
	uint32_t rkey;
	struct ibv_mr *real;
};

struct mr_1_0 *reg_mr_1_0(struct pd_1_0 *pd, void *addr, size_t length,
			  int access);
int dereg_mr_1_0(struct mr_1_0 *mr);
__asm__(".symver reg_mr_1_0, ibv_reg_mr@IBVERBS_1.0");
__asm__(".symver dereg_mr_1_0, ibv_dereg_mr@IBVERBS_1.0");

#endif
