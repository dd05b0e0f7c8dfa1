// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
#include "region.h"
#include "stats.h"

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int n = ns ? 63 - __builtin_clzll(ns) : 0;

	return n < UFFDMR_BUCKETS ? n : UFFDMR_BUCKETS - 1;
}

void stats_latency(struct uffdmr_stats *stats, uint64_t ns)
{
	if (!stats->latency_count || ns < stats->latency_min_ns)
		stats->latency_min_ns = ns;
	if (ns > stats->latency_max_ns)
		stats->latency_max_ns = ns;
	stats->latency_sum_ns += ns;
	stats->latency_count++;
	stats->latency[bucket_of(ns)]++;
}

void uffdmr_get_stats(struct uffdmr *region, struct uffdmr_stats *stats)
{
	*stats = (struct uffdmr_stats){ 0 };
	if (region_check(region))
		return;
	pthread_mutex_lock(&region->lock);
	*stats = *region->stats;
	pthread_mutex_unlock(&region->lock);
}

uint64_t uffdmr_percentile(const struct uffdmr_stats *stats, double percent)
{
	double before = 0, wanted = stats->latency_count * percent / 100;
	double low, width, ns;
	int i;

	if (!stats->latency_count)
		return 0;
	for (i = 0; i < UFFDMR_BUCKETS - 1; i++) {
		if (before + stats->latency[i] >= wanted)
			break;
		before += stats->latency[i];
	}
	/* As if those of a bucket were spread evenly over it. */
	low = i ? (double)(1ULL << i) : 0;
	width = (double)(1ULL << (i + 1)) - low;
	ns = low;
	if (stats->latency[i])
		ns += width * (wanted - before) / stats->latency[i];
	if (ns < stats->latency_min_ns)
		return stats->latency_min_ns;
	return ns > stats->latency_max_ns ? stats->latency_max_ns : ns;
}
