// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>

#include "statistics.h"
#include "util.h"

void statistics_add_latencies(struct uffdmr_stats *to,
			      const struct uffdmr_stats *from)
{
	int i;

	if (from->latency_count && (!to->latency_count ||
				    from->latency_min_ns < to->latency_min_ns))
		to->latency_min_ns = from->latency_min_ns;
	if (from->latency_max_ns > to->latency_max_ns)
		to->latency_max_ns = from->latency_max_ns;
	to->latency_count += from->latency_count;
	to->latency_sum_ns += from->latency_sum_ns;
	for (i = 0; i < UFFDMR_BUCKETS; i++)
		to->latency[i] += from->latency[i];
}

void statistics_add(struct published *sum, const struct published *slot)
{
	const struct uffdmr_stats *from = &slot->stats;
	struct uffdmr_stats *to = &sum->stats;

	sum->regions += slot->regions;
	sum->registrations += slot->registrations;
	sum->unmanaged += slot->unmanaged;
	sum->dropped += slot->dropped;
	to->length += from->length;
	to->present += from->present;
	to->poisoned += from->poisoned;
	to->messages += from->messages;
	to->demand_bytes += from->demand_bytes;
	to->background_bytes += from->background_bytes;
	to->zeroed_bytes += from->zeroed_bytes;
	to->copies += from->copies;
	to->duplicates += from->duplicates;
	to->failures += from->failures;
	to->retries += from->retries;
	statistics_add_latencies(to, from);
}

static json_t *latency_json(const struct uffdmr_stats *stats)
{
	json_t *buckets = json_array();
	uint64_t n = stats->latency_count;
	int i;

	for (i = 0; i < UFFDMR_BUCKETS; i++)
		json_array_append_new(buckets, json_integer(stats->latency[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
			 "count", (json_int_t)n,
			 "min", (json_int_t)stats->latency_min_ns,
			 "mean", (json_int_t)(n ? stats->latency_sum_ns / n : 0),
			 "max", (json_int_t)stats->latency_max_ns,
			 "median", (json_int_t)uffdmr_percentile(stats, 50),
			 "p99", (json_int_t)uffdmr_percentile(stats, 99),
			 "buckets", buckets);
}

json_t *statistics_json(const struct published *slot)
{
	const struct uffdmr_stats *stats = &slot->stats;
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		{ "regions", slot->regions },
		{ "registrations", slot->registrations },
		{ "unmanaged_bytes", slot->unmanaged },
		{ "dropped_bytes", slot->dropped },
		{ "bytes", stats->length },
		{ "present_bytes", stats->present },
		{ "poisoned_bytes", stats->poisoned },
		{ "faults", stats->messages },
		{ "demand_bytes", stats->demand_bytes },
		{ "background_bytes", stats->background_bytes },
		{ "zeroed_bytes", stats->zeroed_bytes },
		{ "copies", stats->copies },
		{ "duplicates", stats->duplicates },
		{ "failures", stats->failures },
		{ "retries", stats->retries },
	};
	json_t *object = json_object();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		json_object_set_new(object, numbers[i].name,
				    json_integer(numbers[i].value));
	json_object_set_new(object, "latency_ns", latency_json(stats));
	return object;
}

/* One of a few, in turns. */
static char *room(size_t *size)
{
	static char texts[4][32];
	static unsigned int next;

	*size = sizeof(texts[0]);
	return texts[next++ % ARRAY_SIZE(texts)];
}

const char *text_bytes(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = bytes;
	size_t unit = 0, size;
	char *text = room(&size);

	for (; value >= 1024 && unit < ARRAY_SIZE(units) - 1; unit++)
		value /= 1024;
	snprintf(text, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

const char *text_time(uint64_t ns)
{
	size_t size;
	char *text = room(&size);

	if (ns < 1000000)
		snprintf(text, size, "%.1f us", ns / 1e3);
	else if (ns < 1000000000)
		snprintf(text, size, "%.1f ms", ns / 1e6);
	else
		snprintf(text, size, "%.2f s", ns / 1e9);
	return text;
}
