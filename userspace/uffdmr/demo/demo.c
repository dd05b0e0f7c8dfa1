// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "delayed_region.h"
#include "demo.h"
#include "map_bytes.h"
#include "pattern.h"
#include "progress.h"
#include "rc_pair.h"
#include "refused.h"

#define REGION_SEED	1
#define WRITE_SEED	2
#define POISON		0x5a

/* Bytes behind a READ's sink that must stay as they were. */
#define GUARD		64

enum direction { READ, WRITE };

static const char *const names[] = { [READ] = "READ", [WRITE] = "WRITE" };

struct demo {
	const struct demo_options *options;
	struct demo_result *result;
	struct failure *failure;

	size_t page_size;
	size_t size;
	char *content;		/* what the pages of the region come with */
	char *image;		/* what the region has to be like */
	char *local;		/* the other end of the transfers, pinned */
	size_t local_size;

	struct uffdmr *region;
	struct ibv_pd *pd;
	struct ibv_mr *region_mr;
	struct ibv_mr *local_mr;
	struct rc_pair pair;
	uint64_t deadline;
	struct progress progress;
};

/* Fault messages that the region has read so far. */
static unsigned int messages(const struct demo *demo)
{
	struct uffdmr_stats stats;

	uffdmr_get_stats(demo->region, &stats);
	return stats.messages;
}

/* What a machine may lack: a device, on-demand paging, userfaultfd. */
static int find_means(struct demo *demo)
{
	const struct demo_options *options = demo->options;
	struct rdma_dev *dev = &demo->result->dev;
	int err;

	err = rdma_dev_open(dev, options->rdma.device, options->rdma.port,
			    options->rdma.gid_index, demo->failure);
	if (err)
		return err;
	err = rdma_dev_need_odp(dev->ctx, IBV_ODP_SUPPORT_READ |
				IBV_ODP_SUPPORT_WRITE, demo->failure);
	if (err)
		return err;
	demo->region = delayed_region(demo->content, demo->size,
				      options->page_latency_ns, demo->failure);
	return demo->region ? 0 : -EIO;
}

static int connect_region(struct demo *demo)
{
	struct rc_params params = rc_params_default;
	struct rdma_dev *dev = &demo->result->dev;

	demo->pd = ibv_alloc_pd(dev->ctx);
	if (!demo->pd)
		return fail(demo->failure, errno,
			    "cannot allocate a protection domain");
	demo->region_mr = uffdmr_reg_mr(demo->region, demo->pd,
					IBV_ACCESS_LOCAL_WRITE |
					IBV_ACCESS_REMOTE_READ |
					IBV_ACCESS_REMOTE_WRITE);
	if (!demo->region_mr)
		return fail(demo->failure, 0, "%s", uffdmr_error());
	demo->local_mr = ibv_reg_mr(demo->pd, demo->local, demo->local_size,
				    IBV_ACCESS_LOCAL_WRITE);
	if (!demo->local_mr)
		return fail(demo->failure, errno,
			    "cannot register a buffer of %zu bytes (see ulimit -l)",
			    demo->local_size);
	/* All pages of a request may be waited for before a packet moves. */
	params.timeout = rc_timeout(NSEC_PER_SEC + 2 * demo->options->pages *
				    demo->options->page_latency_ns);
	return rc_pair_open(&demo->pair, dev, demo->pd, &params, demo->failure);
}

static void explain(struct demo *demo, enum direction direction, size_t pages,
		    const struct ibv_wc *wc)
{
	struct demo_result *result = demo->result;
	char memory[32];

	snprintf(memory, sizeof(memory), "RDMA %s of %s", names[direction],
		 pages > 1 ? "pages" : "a page");
	refused(result->wrong, sizeof(result->wrong), &result->dev, memory, wc,
		messages(demo) - result->messages);
}

/* One work request; -EREMOTEIO, with the verdict, if it was refused. */
static int request(struct demo *demo, enum direction direction, size_t offset,
		   size_t length, uint64_t *ns)
{
	struct rc_end *end = &demo->pair.end[0];
	struct rc_op op = {
		.opcode = direction == READ ? IBV_WR_RDMA_READ :
					      IBV_WR_RDMA_WRITE,
		.laddr = (uintptr_t)demo->local,
		.lkey = demo->local_mr->lkey,
		.length = length,
		.raddr = (uintptr_t)uffdmr_addr(demo->region) + offset,
		.rkey = demo->region_mr->rkey,
	};
	size_t first = offset / demo->page_size;
	size_t last = (offset + length - 1) / demo->page_size;
	struct ibv_wc wc;
	uint64_t start;
	int err;

	start = now_ns();
	err = rc_post(end, &op, demo->failure);
	if (!err)
		err = rc_wait(&end->send, &wc, demo->deadline, demo->failure);
	if (err)
		return err;
	*ns = now_ns() - start;
	demo->result->time_ns += *ns;
	if (wc.status != IBV_WC_SUCCESS) {
		explain(demo, direction, last - first + 1, &wc);
		return -EREMOTEIO;
	}
	demo->result->messages = messages(demo);
	demo->result->requests[direction]++;
	progress_at(&demo->progress, demo->result->messages,
		    demo->options->pages);
	demo->result->bytes[direction] += length;
	return 0;
}

static int bad_bytes(struct demo *demo, const char *where, size_t offset)
{
	snprintf(demo->result->wrong, sizeof(demo->result->wrong),
		 "%s: the byte at offset %zu of the region (page %zu, byte %zu of it) is wrong",
		 where, offset, offset / demo->page_size,
		 offset % demo->page_size);
	return -EREMOTEIO;
}

static int read_range(struct demo *demo, size_t offset, size_t length,
		      uint64_t *ns)
{
	char guard[GUARD];
	size_t at;
	int err;

	memset(demo->local, POISON, length + GUARD);
	memset(guard, POISON, GUARD);
	err = request(demo, READ, offset, length, ns);
	if (err)
		return err;
	if (!bytes_equal(demo->image + offset, demo->local, length, &at))
		return bad_bytes(demo, "RDMA READ", offset + at);
	if (!bytes_equal(guard, demo->local + length, GUARD, &at))
		return bad_bytes(demo, "RDMA READ went beyond its end",
				 offset + length + at);
	return 0;
}

static int write_range(struct demo *demo, size_t offset, size_t length,
		       uint64_t *ns)
{
	pattern_fill(demo->local, length, WRITE_SEED, offset);
	/* The region itself is compared when all is done. */
	memcpy(demo->image + offset, demo->local, length);
	return request(demo, WRITE, offset, length, ns);
}

static int transfer(struct demo *demo, enum direction direction, size_t offset,
		    size_t length, uint64_t *ns)
{
	return direction == READ ? read_range(demo, offset, length, ns) :
				   write_range(demo, offset, length, ns);
}

/*
 * @pages pages of the region in one direction: half of them a page at a time,
 * at changing places within the page, the rest in one request that begins and
 * ends within a page.
 */
static int transfer_pages(struct demo *demo, enum direction direction,
			  size_t first, size_t pages)
{
	size_t page_size = demo->page_size;
	size_t single = pages / 2;
	size_t i, from, length;
	uint64_t ns;
	int err;

	for (i = 0; i < single; i++) {
		from = i * 37 % (page_size / 2);
		length = 1 + (i * 1021 + 511) % (page_size - from);
		err = transfer(demo, direction, (first + i) * page_size + from,
			       length, &ns);
		if (!err && samples_add(&demo->result->access, ns))
			err = fail(demo->failure, ENOMEM, "no memory");
		if (err)
			return err;
	}
	length = (pages - single) * page_size - 100 - 50;
	return transfer(demo, direction, (first + single) * page_size + 100,
			length, &ns);
}

static int transfer_all(struct demo *demo)
{
	size_t pages = demo->options->pages;
	size_t at;
	int err;

	err = transfer_pages(demo, READ, 0, pages / 2);
	if (!err)
		err = transfer_pages(demo, WRITE, pages / 2,
				     pages - pages / 2);
	if (err)
		return err;
	if (!bytes_equal(demo->image, uffdmr_addr(demo->region), demo->size, &at))
		return bad_bytes(demo, "the region after all transfers", at);
	return 0;
}

/* The region goes last: a driver may have to wait for pages that were asked for. */
static void clean_up(struct demo *demo)
{
	rc_pair_close(&demo->pair);
	if (demo->region_mr)
		ibv_dereg_mr(demo->region_mr);
	if (demo->local_mr)
		ibv_dereg_mr(demo->local_mr);
	if (demo->pd)
		ibv_dealloc_pd(demo->pd);
	uffdmr_destroy(demo->region);
	if (demo->content)
		munmap(demo->content, demo->size);
	if (demo->image)
		munmap(demo->image, demo->size);
	if (demo->local)
		munmap(demo->local, demo->local_size);
}

static int set_up(struct demo *demo, int *status)
{
	int err;

	demo->local_size = demo->size / 2 + GUARD;
	err = map_bytes(&demo->content, demo->size, demo->failure);
	if (!err)
		err = map_bytes(&demo->image, demo->size, demo->failure);
	if (!err)
		err = map_bytes(&demo->local, demo->local_size,
				demo->failure);
	if (err)
		return err;
	pattern_fill(demo->content, demo->size, REGION_SEED, 0);
	memcpy(demo->image, demo->content, demo->size);
	err = find_means(demo);
	if (err) {
		*status = STATUS_UNABLE;
		return err;
	}
	return connect_region(demo);
}

int demo_run(const struct demo_options *options, struct demo_result *result,
	     int *status, struct failure *failure)
{
	struct demo demo = {
		.options = options,
		.result = result,
		.failure = failure,
		.page_size = sysconf(_SC_PAGESIZE),
	};
	int err;

	*status = STATUS_ERROR;
	demo.size = options->pages * demo.page_size;
	result->pages = options->pages;
	result->page_size = demo.page_size;
	result->page_latency_ns = options->page_latency_ns;
	err = set_up(&demo, status);
	if (!err) {
		demo.deadline = now_ns() + options->timeout_ns;
		progress_start(&demo.progress, "uffdmr demo");
		err = transfer_all(&demo);
		progress_end(&demo.progress);
		if (!err)
			result->right = true;
		/* A verdict, good or bad, is a result. */
		if (err == -EREMOTEIO)
			err = 0;
	}
	if (!err)
		uffdmr_get_stats(demo.region, &result->handler);
	if (!err)
		*status = result->right ? STATUS_OK : STATUS_WRONG;
	clean_up(&demo);
	return err;
}

void demo_result_free(struct demo_result *result)
{
	samples_free(&result->access);
	rdma_dev_close(&result->dev);
}
