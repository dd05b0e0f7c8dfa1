/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DEMO_H
#define DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command.h"
#include "rdma_dev.h"
#include "samples.h"
#include "uffdmr.h"

struct demo_options {
	struct rdma_options rdma;
	size_t pages;
	uint64_t page_latency_ns;
	uint64_t timeout_ns;
	bool json;
};

/* What the demonstration saw; the report is made of it. */
struct demo_result {
	struct rdma_dev dev;
	size_t pages;
	size_t page_size;
	uint64_t page_latency_ns;
	unsigned int messages;		/* faults seen by the handler */
	unsigned int requests[2];	/* completed: READs, WRITEs */
	uint64_t bytes[2];
	uint64_t time_ns;		/* of all transfers together */
	struct samples access;		/* post to completion, absent page */
	struct uffdmr_stats handler;	/* message read to page in place */
	bool right;
	char wrong[512];		/* if it is not: what and why */
};

/* 0 if there is a result to report, whatever the verdict. */
int demo_run(const struct demo_options *options, struct demo_result *result,
	     int *status, struct failure *failure);
void demo_result_free(struct demo_result *result);

int demo_report(struct demo_result *result, bool json);

#endif
