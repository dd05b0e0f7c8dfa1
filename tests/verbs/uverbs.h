/* SPDX-License-Identifier: GPL-2.0 */
#ifndef UVERBS_H
#define UVERBS_H

#include <errno.h>
#include <infiniband/verbs.h>
#include <rdma/ib_user_verbs.h>
#include <unistd.h>

#include "advise_mr.h"

/*
 * ibv_rereg_mr(), as the kernel itself is asked. The keys of rxe stay what they are.
 */
static inline int uverbs_rereg_mr(struct ibv_mr *mr, int flags,
				  struct ibv_pd *pd, void *addr, size_t length,
				  unsigned int access)
{
	struct ib_uverbs_rereg_mr_resp response;
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_rereg_mr cmd;
	} request = {
		.hdr = {
			.command = IB_USER_VERBS_CMD_REREG_MR,
			.in_words = sizeof(request) / 4,
			.out_words = sizeof(response) / 4,
		},
		.cmd = {
			.response = (uintptr_t)&response,
			.mr_handle = mr->handle,
			.flags = flags,
			.start = (uintptr_t)addr,
			.hca_va = (uintptr_t)addr,
			.length = length,
			.pd_handle = pd ? pd->handle : 0,
			.access_flags = access,
		},
	};

	return write(mr->context->cmd_fd, &request, sizeof(request)) ==
	       sizeof(request) ? 0 : errno;
}

#endif
