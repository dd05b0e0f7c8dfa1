/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
#ifndef UFFDMR_STATS_H
#define UFFDMR_STATS_H

#include "uffdmr.h"

/* One more; whoever owns @stats has its lock. */
void stats_latency(struct uffdmr_stats *stats, uint64_t ns);

#endif
