/* SPDX-License-Identifier: GPL-2.0 */
#ifndef REPORT_H
#define REPORT_H

#include "postcopy.h"
#include "samples.h"
#include "uffdmr.h"
#include "wire.h"

/* What a client process has told; times are of this machine's clock. */
struct client_result {
	uint64_t words[RESULT_WORDS];
	uint64_t *buckets;		/* operations completed in each */
	size_t n;
	struct client_result *next;
};

/* What a destination has seen. Times are now_ns(). */
struct move {
	const struct postcopy_options *options;
	const char *source;		/* its address */
	size_t length;
	struct samples bare;		/* READs of 4 KiB before anything else, ns */
	uint64_t begun, stop, started, complete;
	unsigned int rounds;		/* of pre-copy */
	uint64_t before_bytes;		/* fetched before the stop */
	uint64_t left_bytes;		/* missing when it started */
	unsigned int pauses;
	uint64_t paused_ns;
	uint64_t again_bytes;		/* asked for again after a lost connection */
	struct uffdmr_stats stats;
	long wrong_records, wrong_cells;
	uint64_t steps;			/* of the CPU */
	uint64_t clients_missing;	/* that have not come to an end here */
	struct client_result *results;
};

/* Everything is right. */
bool move_right(const struct move *move);

int move_report(struct move *move, struct failure *failure);

/* A file that plot_check() has passed. */
int move_plot(const struct move *move, struct failure *failure);

#endif
