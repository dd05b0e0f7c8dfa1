// SPDX-License-Identifier: GPL-2.0
/*
 * Measures. A region is made for each cold pass, which the resident one follows, and
 * for each pass of a CPU; queue pairs, their completion queue and the memory of the
 * other side are made once.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"
#include "delayed_region.h"
#include "format.h"
#include "map_bytes.h"
#include "pattern.h"
#include "plot.h"
#include "progress.h"
#include "refused.h"
#include "statistics.h"

#define REGION_SEED	1
#define WRITE_SEED	2
#define POISON		0x5a

const char *const operation_names[] = { [READ] = "READ", [WRITE] = "WRITE" };

struct bench {
	const struct bench_options *options;
	struct bench_result *result;
	struct failure *failure;
	int *status;

	char *content;		/* what is in the region */
	char *written;		/* what a WRITE puts there */
	char *local;		/* the other end of the transfers, pinned */
	struct ibv_pd *pd;
	struct ibv_mr *local_mr;
	struct rc_cq cq;
	struct rc_pair *pairs;
	unsigned int n_pairs;

	struct progress progress;
	uint64_t passes, all_passes;
};

/* --- what is measured */

static int wrong_byte(struct bench *bench, const char *what, size_t offset)
{
	*bench->status = STATUS_WRONG;
	return fail(bench->failure, 0,
		    "%s: the byte at offset %zu of the region (page %zu, byte %zu of it) is wrong",
		    what, offset, offset / bench->result->page_size,
		    offset % bench->result->page_size);
}

static int add(struct bench *bench, struct samples *samples, uint64_t ns)
{
	progress_at(&bench->progress, ++bench->passes, bench->all_passes);
	if (samples_add(samples, ns))
		return fail(bench->failure, ENOMEM, "no memory");
	return 0;
}

static struct uffdmr *cold_region(struct bench *bench, uint64_t latency_ns)
{
	return delayed_region(bench->content, bench->options->region,
			      latency_ns, bench->failure);
}

static int run_touch(struct bench *bench, struct touch *touch)
{
	struct uffdmr *region = cold_region(bench, touch->latency_ns);
	size_t length = bench->options->region, at;
	uint64_t ns, deadline;
	const char *bytes;
	int err;

	if (!region)
		return -EIO;
	bytes = uffdmr_addr(region);
	ns = now_ns();
	deadline = ns + bench->options->timeout_ns;
	for (at = 0; at < length && now_ns() < deadline;
	     at += bench->result->page_size)
		__atomic_load_n(&bytes[at], __ATOMIC_RELAXED);
	ns = now_ns() - ns;
	if (at < length)
		err = fail(bench->failure, ETIMEDOUT,
			   "a CPU has touched %zu of %zu bytes only", at,
			   length);
	else if (bytes_equal(bench->content, bytes, length, &at))
		err = add(bench, &touch->ns, ns);
	else
		err = wrong_byte(bench, "touched by a CPU", at);
	uffdmr_destroy(region);
	return err;
}

/* A message was refused: say why. */
static int not_done(struct bench *bench, const struct cell *cell, bool cold,
		    struct uffdmr *region, const struct ibv_wc *wc)
{
	const char *name = operation_names[cell->operation];
	struct uffdmr_stats stats;
	char text[256], memory[32];

	*bench->status = STATUS_WRONG;
	if (!cold)
		return fail(bench->failure, 0,
			    "RDMA %s of pages that are there: %s", name,
			    ibv_wc_status_str(wc->status));
	uffdmr_get_stats(region, &stats);
	snprintf(memory, sizeof(memory), "RDMA %s of pages", name);
	refused(text, sizeof(text), &bench->result->dev, memory, wc,
		stats.messages);
	return fail(bench->failure, 0, "%s", text);
}

/* Whatever was there before the pass is not what has to be there after it. */
static void prepare(struct bench *bench, enum operation operation, bool cold,
		    struct uffdmr *region)
{
	size_t length = bench->options->region;

	if (operation == WRITE)
		memcpy(bench->local, bench->written, length);
	else
		memset(bench->local, POISON, length);
	if (operation == WRITE && !cold)
		memset(uffdmr_addr(region), POISON, length);
}

/* Every byte: of the sink of a READ, or the region that was written. */
static int compare(struct bench *bench, enum operation operation,
		   struct uffdmr *region)
{
	const char *want = operation == READ ? bench->content : bench->written;
	const char *have = operation == READ ? bench->local :
					       uffdmr_addr(region);
	char what[32];
	size_t at;

	if (bytes_equal(want, have, bench->options->region, &at))
		return 0;
	snprintf(what, sizeof(what), "RDMA %s", operation_names[operation]);
	return wrong_byte(bench, what, at);
}

static int run_pass(struct bench *bench, struct cell *cell, bool cold,
		    struct uffdmr *region, const struct ibv_mr *mr)
{
	struct transfer transfer = {
		.operation = cell->operation,
		.size = cell->size,
		.qps = cell->qps,
		.pairs = bench->pairs,
		.cq = &bench->cq,
		.local = bench->local_mr,
		.region = mr,
		.timeout_ns = bench->options->timeout_ns,
	};
	struct ibv_wc wc;
	uint64_t ns;
	int err;

	prepare(bench, cell->operation, cold, region);
	err = transfer_run(&transfer, &ns, &wc, bench->failure);
	if (err == -EREMOTEIO)
		return not_done(bench, cell, cold, region, &wc);
	if (!err)
		err = compare(bench, cell->operation, region);
	if (err)
		return err;
	return add(bench, cold ? &cell->cold_ns : &cell->resident_ns, ns);
}

static int run_cell(struct bench *bench, struct cell *cell)
{
	struct uffdmr *region = cold_region(bench, cell->touch->latency_ns);
	struct uffdmr_stats stats;
	struct ibv_mr *mr;
	int err;

	if (!region)
		return -EIO;
	mr = uffdmr_reg_mr(region, bench->pd, IBV_ACCESS_LOCAL_WRITE |
			   IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
	if (!mr) {
		uffdmr_destroy(region);
		return fail(bench->failure, 0, "%s", uffdmr_error());
	}
	err = run_pass(bench, cell, true, region, mr);
	uffdmr_get_stats(region, &stats);
	statistics_add_latencies(&cell->faults, &stats);
	if (!err)
		err = run_pass(bench, cell, false, region, mr);
	ibv_dereg_mr(mr);
	uffdmr_destroy(region);
	return err;
}

/* The runs take turns, so that what slows the machine down for a while hits all alike. */
static int run_all(struct bench *bench)
{
	const struct bench_options *options = bench->options;
	struct bench_result *result = bench->result;
	unsigned int run;
	size_t i;
	int err = 0;

	bench->all_passes = options->runs *
			    (options->latencies.n + 2 * result->n_cells);
	progress_start(&bench->progress, "uffdmr bench");
	for (run = 0; !err && run < options->runs; run++) {
		for (i = 0; !err && i < options->latencies.n; i++)
			err = run_touch(bench, &result->touches[i]);
		for (i = 0; !err && i < result->n_cells; i++)
			err = run_cell(bench, &result->cells[i]);
	}
	progress_end(&bench->progress);
	return err;
}

/* --- what it takes */

static uint64_t most(const struct option_list *list)
{
	uint64_t most = 0;
	size_t i;

	for (i = 0; i < list->n; i++)
		if (list->values[i] > most)
			most = list->values[i];
	return most;
}

static int map_all(struct bench *bench)
{
	int err;

	err = map_bytes(&bench->content, bench->options->region,
			bench->failure);
	if (!err)
		err = map_bytes(&bench->written, bench->options->region,
				bench->failure);
	if (!err)
		err = map_bytes(&bench->local, bench->options->region,
				bench->failure);
	if (err)
		return err;
	pattern_fill(bench->content, bench->options->region, REGION_SEED, 0);
	pattern_fill(bench->written, bench->options->region, WRITE_SEED, 0);
	return 0;
}

/* What a machine may lack. */
static int find_means(struct bench *bench)
{
	const struct bench_options *options = bench->options;
	struct rdma_dev *dev = &bench->result->dev;
	uint64_t size = most(&options->sizes);
	uint32_t caps = 0;
	struct uffdmr *region;
	int err;

	err = rdma_dev_open(dev, options->rdma.device, options->rdma.port,
			    options->rdma.gid_index, bench->failure);
	if (err)
		return err;
	if (options->operations[READ])
		caps |= IBV_ODP_SUPPORT_READ;
	if (options->operations[WRITE])
		caps |= IBV_ODP_SUPPORT_WRITE;
	err = rdma_dev_need_odp(dev->ctx, caps, bench->failure);
	if (err)
		return err;
	if (size > dev->port_attr.max_msg_sz)
		return fail(bench->failure, EMSGSIZE,
			    "%s has messages of up to %" PRIu32 " bytes, choose a smaller --size",
			    rdma_dev_name(dev), dev->port_attr.max_msg_sz);
	region = cold_region(bench, 0);
	if (!region)
		return -EIO;
	uffdmr_destroy(region);
	return 0;
}

static int connect_pairs(struct bench *bench)
{
	const struct bench_options *options = bench->options;
	struct rc_params params = rc_params_default;
	unsigned int n = most(&options->qps);
	uint64_t pages;
	int err;

	bench->pairs = calloc(n, sizeof(*bench->pairs));
	if (!bench->pairs)
		return fail(bench->failure, ENOMEM, "no memory");
	err = rc_cq_open(&bench->cq, bench->result->dev.ctx, IN_FLIGHT * n,
			 bench->failure);
	if (err)
		return err;
	/* All pages of a message may be waited for before a packet moves. */
	pages = most(&options->sizes) / bench->result->page_size + 2;
	params.timeout = rc_timeout(NSEC_PER_SEC +
				    2 * pages * most(&options->latencies));
	params.send = &bench->cq;
	params.queue = IN_FLIGHT;
	while (!err && bench->n_pairs < n) {
		err = rc_pair_open(&bench->pairs[bench->n_pairs],
				   &bench->result->dev, bench->pd, &params,
				   bench->failure);
		if (!err)
			bench->n_pairs++;
	}
	return err;
}

static int connect_all(struct bench *bench)
{
	uint64_t size = bench->options->region;

	bench->pd = ibv_alloc_pd(bench->result->dev.ctx);
	if (!bench->pd)
		return fail(bench->failure, errno,
			    "cannot allocate a protection domain");
	bench->local_mr = ibv_reg_mr(bench->pd, bench->local, size,
				     IBV_ACCESS_LOCAL_WRITE);
	if (!bench->local_mr)
		return fail(bench->failure, errno,
			    "cannot register a buffer of %" PRIu64 " bytes (see ulimit -l)",
			    size);
	return connect_pairs(bench);
}

/* Each combination, with no figures yet. */
static int make_cells(struct bench *bench)
{
	const struct bench_options *options = bench->options;
	const struct option_list *latencies = &options->latencies;
	struct bench_result *result = bench->result;
	struct cell *cell;
	size_t size, qps, i, operation;

	result->touches = calloc(latencies->n, sizeof(*result->touches));
	result->cells = calloc(OPERATIONS * options->sizes.n * options->qps.n *
			       latencies->n, sizeof(*result->cells));
	if (!result->touches || !result->cells)
		return fail(bench->failure, ENOMEM, "no memory");
	for (i = 0; i < latencies->n; i++)
		result->touches[i].latency_ns = latencies->values[i];
	cell = result->cells;
	for (operation = READ; operation < OPERATIONS; operation++)
		for (size = 0; size < options->sizes.n; size++)
			for (qps = 0; qps < options->qps.n; qps++)
				for (i = 0; i < latencies->n; i++) {
					if (!options->operations[operation])
						continue;
					cell->operation = operation;
					cell->size = options->sizes.values[size];
					cell->qps = options->qps.values[qps];
					cell->touch = &result->touches[i];
					cell++;
				}
	result->n_cells = cell - result->cells;
	return 0;
}

/* Whether there will be a picture is seen before the measurement, not after it. */
static int check_picture(struct bench *bench)
{
	int err = plot_check(bench->options->picture, bench->failure);

	if (err == -EINVAL)
		*bench->status = STATUS_USAGE;
	else if (err == -ENOPKG)
		*bench->status = STATUS_UNABLE;
	return err;
}

static int set_up(struct bench *bench)
{
	int err;

	err = bench->options->picture ? check_picture(bench) : 0;
	if (!err)
		err = make_cells(bench);
	if (!err)
		err = map_all(bench);
	if (err)
		return err;
	err = find_means(bench);
	if (err) {
		*bench->status = STATUS_UNABLE;
		return err;
	}
	return connect_all(bench);
}

static void clean_up(struct bench *bench)
{
	size_t size = bench->options->region;

	while (bench->n_pairs)
		rc_pair_close(&bench->pairs[--bench->n_pairs]);
	rc_cq_close(&bench->cq);
	if (bench->local_mr)
		ibv_dereg_mr(bench->local_mr);
	if (bench->pd)
		ibv_dealloc_pd(bench->pd);
	if (bench->content)
		munmap(bench->content, size);
	if (bench->written)
		munmap(bench->written, size);
	if (bench->local)
		munmap(bench->local, size);
	free(bench->pairs);
}

int bench_run(const struct bench_options *options, struct bench_result *result,
	      int *status, struct failure *failure)
{
	struct bench bench = {
		.options = options,
		.result = result,
		.failure = failure,
		.status = status,
	};
	int err;

	*status = STATUS_ERROR;
	result->options = options;
	result->page_size = sysconf(_SC_PAGESIZE);
	err = set_up(&bench);
	if (!err)
		err = run_all(&bench);
	if (!err)
		*status = STATUS_OK;
	clean_up(&bench);
	return err;
}

void bench_result_free(struct bench_result *result)
{
	size_t i;

	for (i = 0; i < result->n_cells; i++) {
		samples_free(&result->cells[i].cold_ns);
		samples_free(&result->cells[i].resident_ns);
	}
	for (i = 0; result->touches && i < result->options->latencies.n; i++)
		samples_free(&result->touches[i].ns);
	free(result->cells);
	free(result->touches);
	rdma_dev_close(&result->dev);
}
