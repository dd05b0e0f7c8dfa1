/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RDMA_DEV_H
#define RDMA_DEV_H

#include <infiniband/verbs.h>
#include <stdbool.h>

#include "failure.h"

/* An open RDMA device and the port and GID that connections go through. */
struct rdma_dev {
	struct ibv_context *ctx;
	struct ibv_device_attr_ex attr;
	struct ibv_port_attr port_attr;
	uint8_t port;
	int gid_index;		/* -1 until a connection has found one */
	union ibv_gid gid;
};

/*
 * Open the device @name (NULL: the first one) with an active port @port. A
 * negative @gid_index leaves the choice of the GID to the first connection.
 */
int rdma_dev_open(struct rdma_dev *dev, const char *name, uint8_t port,
		  int gid_index, struct failure *failure);
void rdma_dev_close(struct rdma_dev *dev);

const char *rdma_dev_name(const struct rdma_dev *dev);
bool rdma_dev_is_ethernet(const struct rdma_dev *dev);
bool rdma_dev_is_rxe(const struct rdma_dev *dev);

/*
 * Indexes of the GIDs worth a try for a connection of the device to itself,
 * the best first; returns how many of @max it filled in.
 */
int rdma_dev_gids(const struct rdma_dev *dev, int *indexes, int max,
		  struct failure *failure);

/* On-demand paging for all of @rc_caps (IBV_ODP_SUPPORT_*) on RC? */
int rdma_dev_need_odp(struct ibv_context *ctx, uint32_t rc_caps,
		      struct failure *failure);

#endif
