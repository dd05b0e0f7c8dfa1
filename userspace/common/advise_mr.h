/* SPDX-License-Identifier: GPL-2.0 */
#ifndef ADVISE_MR_H
#define ADVISE_MR_H

#include <errno.h>
#include <infiniband/verbs.h>
#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/ib_user_ioctl_verbs.h>
#include <rdma/rdma_user_ioctl_cmds.h>
#include <sys/ioctl.h>

/*
 * ibv_advise_mr() of many versions of rdma-core does not pass it on for rxe:
 * this asks the kernel itself. 0 or a positive errno, as the call has it.
 */
static inline int uverbs_advise_mr(struct ibv_pd *pd, uint64_t advice,
				   uint64_t flags, const struct ibv_sge *sge,
				   unsigned int num_sge)
{
	struct {
		struct ib_uverbs_ioctl_hdr hdr;
		struct ib_uverbs_attr attrs[4];
	} cmd = {
		.hdr = {
			.length = sizeof(cmd),
			.object_id = UVERBS_OBJECT_MR,
			.method_id = UVERBS_METHOD_ADVISE_MR,
			.num_attrs = 4,
			.driver_id = RDMA_DRIVER_RXE,
		},
		.attrs = {
			{
				.attr_id = UVERBS_ATTR_ADVISE_MR_PD_HANDLE,
				.data = pd->handle,
			},
			{
				.attr_id = UVERBS_ATTR_ADVISE_MR_ADVICE,
				.len = sizeof(uint64_t),
				.data = advice,
			},
			{
				.attr_id = UVERBS_ATTR_ADVISE_MR_FLAGS,
				.len = sizeof(uint64_t),
				.data = flags,
			},
			{
				.attr_id = UVERBS_ATTR_ADVISE_MR_SGE_LIST,
				.len = num_sge * sizeof(*sge),
				.data = (uintptr_t)sge,
			},
		},
	};
	int i;

	for (i = 0; i < 4; i++)
		cmd.attrs[i].flags = UVERBS_ATTR_F_MANDATORY;
	return ioctl(pd->context->cmd_fd, RDMA_VERBS_IOCTL, &cmd) ? errno : 0;
}

#endif
