/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PULL_H
#define PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"
#include "samples.h"
#include "uffdmr.h"

/*
 * A source of pages for a region: the table of a peer, by RDMA READ over two queue pairs,
 * one for what somebody waits for and one for the background. While the peer cannot be
 * reached it keeps what it has been asked for.
 */
struct pull;

struct pull_config {
	const char *address, *port;
	uint64_t session;
	size_t length;
};

/*
 * Extents of the region, which gives one in four (libuffdmr) to the background. These two
 * are on their way: a demand READ comes behind them on the wire.
 */
#define PULL_DEPTH		8

struct pull *pull_open(const struct pull_config *config, uint64_t deadline,
		       struct failure *failure);

/* For uffdmr_create(), which owns it from then on. */
struct uffdmr_source *pull_source(struct pull *pull);

/* Only of one that no region has had. NULL is none. */
void pull_close(struct pull *pull);

/* How long a READ of 4 KiB takes, @n times; before a region has it. */
int pull_measure(struct pull *pull, unsigned int n, struct samples *ns,
		 struct failure *failure);

/* Whether a connection is lost: nothing comes over it any more. */
bool pull_lost(struct pull *pull);

/* Bytes of READs that a lost connection did not complete: the source is asked again. */
uint64_t pull_again(struct pull *pull);

/* Try to connect again what is lost; 0 when nothing is. */
int pull_reconnect(struct pull *pull, uint64_t deadline, struct failure *failure);

#endif
