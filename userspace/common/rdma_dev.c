// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>

#include "rdma_dev.h"

/* The vendor number that the kernel's rxe driver reports; nobody else's. */
#define RXE_VENDOR_ID	0xffffff

static int open_named(struct rdma_dev *dev, const char *name,
		      struct failure *failure)
{
	struct ibv_device **list;
	int i, n, err = 0;

	list = ibv_get_device_list(&n);
	if (!list)
		return fail(failure, errno, "no RDMA support in this kernel");
	if (!n) {
		err = fail(failure, ENODEV,
			   "no RDMA device (Soft-RoCE: rdma link add rxe0 type rxe netdev NETDEV)");
		goto out;
	}
	for (i = 0; name && i < n; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			break;
	if (name && i == n) {
		err = fail(failure, ENODEV,
			   "no RDMA device %s (ibv_devices lists those there are)",
			   name);
		goto out;
	}
	errno = 0;
	dev->ctx = ibv_open_device(list[name ? i : 0]);
	if (!dev->ctx) {
		struct ibv_device *device = list[name ? i : 0];

		err = fail(failure, errno ? errno : EIO,
			   "cannot open %s (see the permissions of /dev/infiniband/%s)",
			   ibv_get_device_name(device), device->dev_name);
	}
out:
	ibv_free_device_list(list);
	return err;
}

static int query_device(struct rdma_dev *dev, uint8_t port, struct failure *failure)
{
	const char *name = rdma_dev_name(dev);
	int err;

	err = ibv_query_device_ex(dev->ctx, NULL, &dev->attr);
	if (err)
		return fail(failure, err, "cannot query %s", name);
	if (port > dev->attr.orig_attr.phys_port_cnt)
		return fail(failure, EINVAL, "%s has ports 1 to %u, no port %u",
			    name, dev->attr.orig_attr.phys_port_cnt, port);
	err = ibv_query_port(dev->ctx, port, &dev->port_attr);
	if (err)
		return fail(failure, err, "cannot query port %u of %s", port,
			    name);
	if (dev->port_attr.state != IBV_PORT_ACTIVE)
		return fail(failure, ENETDOWN,
			    "port %u of %s is not active (is its network interface up?)",
			    port, name);
	dev->port = port;
	return 0;
}

static int query_gid(struct rdma_dev *dev, int index, struct failure *failure)
{
	static const union ibv_gid none;

	/* An entry of the table that is free reads as zeros. */
	if (index >= dev->port_attr.gid_tbl_len ||
	    ibv_query_gid(dev->ctx, dev->port, index, &dev->gid) ||
	    !memcmp(&dev->gid, &none, sizeof(none)))
		return fail(failure, EINVAL, "%s has no GID with index %d",
			    rdma_dev_name(dev), index);
	return 0;
}

int rdma_dev_open(struct rdma_dev *dev, const char *name, uint8_t port,
		  int gid_index, struct failure *failure)
{
	int err;

	*dev = (struct rdma_dev){ .gid_index = gid_index };
	err = open_named(dev, name, failure);
	if (err)
		return err;
	err = query_device(dev, port, failure);
	if (!err && gid_index >= 0)
		err = query_gid(dev, gid_index, failure);
	if (err)
		rdma_dev_close(dev);
	return err;
}

void rdma_dev_close(struct rdma_dev *dev)
{
	if (dev->ctx)
		ibv_close_device(dev->ctx);
	dev->ctx = NULL;
}

const char *rdma_dev_name(const struct rdma_dev *dev)
{
	return ibv_get_device_name(dev->ctx->device);
}

bool rdma_dev_is_ethernet(const struct rdma_dev *dev)
{
	return dev->port_attr.link_layer == IBV_LINK_LAYER_ETHERNET;
}

bool rdma_dev_is_rxe(const struct rdma_dev *dev)
{
	return dev->attr.orig_attr.vendor_id == RXE_VENDOR_ID;
}

/* IPv4 before IPv6 before link-local IPv6, which may belong to no address. */
static int rank(const union ibv_gid *gid)
{
	static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (!memcmp(gid->raw, v4_mapped, sizeof(v4_mapped)))
		return 0;
	return gid->raw[0] == 0xfe && (gid->raw[1] & 0xc0) == 0x80 ? 2 : 1;
}

#define RANKS	3

int rdma_dev_gids(const struct rdma_dev *dev, int *indexes, int max,
		  struct failure *failure)
{
	struct ibv_gid_entry entries[64];
	int n = 0, want;
	ssize_t i, all;

	if (dev->gid_index >= 0 || !rdma_dev_is_ethernet(dev)) {
		indexes[0] = dev->gid_index >= 0 ? dev->gid_index : 0;
		return 1;
	}
	all = ibv_query_gid_table(dev->ctx, entries, ARRAY_SIZE(entries), 0);
	if (all < 0)
		return fail(failure, -all, "cannot read the GIDs of %s",
			    rdma_dev_name(dev));
	for (want = 0; want < RANKS; want++)
		for (i = 0; i < all && n < max; i++)
			if (entries[i].port_num == dev->port &&
			    entries[i].gid_type == IBV_GID_TYPE_ROCE_V2 &&
			    rank(&entries[i].gid) == want)
				indexes[n++] = entries[i].gid_index;
	if (!n)
		return fail(failure, EADDRNOTAVAIL,
			    "%s has no RoCE v2 GID (does its network interface have an address?)",
			    rdma_dev_name(dev));
	return n;
}

int rdma_dev_need_odp(struct ibv_context *ctx, uint32_t rc_caps,
		      struct failure *failure)
{
	const char *name = ibv_get_device_name(ctx->device);
	struct ibv_device_attr_ex attr;
	uint32_t has;
	int err;

	err = ibv_query_device_ex(ctx, NULL, &attr);
	if (err)
		return fail(failure, err, "cannot query %s", name);
	if (!(attr.odp_caps.general_caps & IBV_ODP_SUPPORT))
		return fail(failure, EOPNOTSUPP,
			    "%s has no on-demand paging (for rxe: CONFIG_INFINIBAND_ON_DEMAND_PAGING)",
			    name);
	has = attr.odp_caps.per_transport_caps.rc_odp_caps;
	if (rc_caps & ~has)
		return fail(failure, EOPNOTSUPP,
			    "%s has on-demand paging, but not for all RC operations needed (has %#x, needs %#x)",
			    name, has, rc_caps);
	return 0;
}
