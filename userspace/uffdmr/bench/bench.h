/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command.h"
#include "rc_pair.h"
#include "rdma_dev.h"
#include "samples.h"
#include "uffdmr.h"

/* Messages that each queue pair has in flight. */
#define IN_FLIGHT	16

enum operation { READ, WRITE, OPERATIONS };

extern const char *const operation_names[OPERATIONS];

enum format { TABLE, JSON, CSV };

struct bench_options {
	struct rdma_options rdma;
	struct option_list latencies;	/* ns */
	struct option_list sizes;	/* bytes of a message */
	struct option_list qps;
	bool operations[OPERATIONS];	/* that are wanted */
	uint64_t region;		/* bytes */
	unsigned int runs;
	uint64_t timeout_ns;		/* of one transfer */
	enum format format;
	const char *picture;		/* or NULL */
};

/* A cold region that a CPU touches: one value of --page-latency. */
struct touch {
	uint64_t latency_ns;
	struct samples ns;		/* one value a run, and so below */
};

/* One combination of values of the options. */
struct cell {
	enum operation operation;
	uint64_t size;
	unsigned int qps;
	struct touch *touch;		/* has the page latency */
	struct samples cold_ns;
	struct samples resident_ns;
	struct uffdmr_stats faults;	/* of all cold runs: the latencies only */
};

struct bench_result {
	const struct bench_options *options;
	struct rdma_dev dev;
	size_t page_size;
	struct touch *touches;		/* as many as options->latencies */
	/* In the order that a table has them in: the page latency changes fastest. */
	struct cell *cells;
	size_t n_cells;
};

/* --- bench.c */

/* 0, or a negative errno and *@status says what to exit with. */
int bench_run(const struct bench_options *options, struct bench_result *result,
	      int *status, struct failure *failure);
void bench_result_free(struct bench_result *result);

/* --- transfer.c */

/* All of a region, in messages over the first @qps pairs. */
struct transfer {
	enum operation operation;
	uint64_t size;
	unsigned int qps;
	struct rc_pair *pairs;
	struct rc_cq *cq;		/* where all of them complete */
	const struct ibv_mr *local;	/* as long as the region */
	const struct ibv_mr *region;
	uint64_t timeout_ns;
};

/*
 * *@ns: how long it took. -EREMOTEIO if a message was refused, which *@refused is then
 * the completion of.
 */
int transfer_run(const struct transfer *transfer, uint64_t *ns,
		 struct ibv_wc *refused, struct failure *failure);

/* --- report.c and picture.c */

/* Bytes of the region in so many ns, in 10^6 bytes per second. */
double megabytes_per_second(const struct bench_result *result, uint64_t ns);

int bench_report(const struct bench_result *result);

/* Draw options->picture. */
int bench_draw(const struct bench_result *result, struct failure *failure);

#endif
