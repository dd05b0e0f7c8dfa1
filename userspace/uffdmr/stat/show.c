// SPDX-License-Identifier: GPL-2.0
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "stat.h"
#include "statistics.h"

#define BAR	40	/* characters of the longest */

static uint64_t faults_before(const struct published *slot,
			      const struct published *before, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (before[i].pid == slot->pid && before[i].addr == slot->addr)
			return before[i].stats.messages;
	return slot->stats.messages;
}

/* How many lines a screen has; the last one is the cursor's. */
static int screen_lines(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row)
		return INT_MAX;
	return size.ws_row - 1;
}

/* If there is room for it. */
static void histogram(const struct uffdmr_stats *stats, int lines)
{
	int first = 0, last = UFFDMR_BUCKETS - 1, i;
	uint64_t most = 1;

	while (first < last && !stats->latency[first])
		first++;
	while (last > first && !stats->latency[last])
		last--;
	if (last - first + 3 > lines)
		return;
	printf("\nfrom the fault to its page:\n");
	for (i = first; i <= last; i++)
		if (stats->latency[i] > most)
			most = stats->latency[i];
	for (i = first; i <= last; i++)
		printf("  %9s - %-9s %9ju %.*s\n",
		       text_time(i ? 1ULL << i : 0), text_time(2ULL << i),
		       (uintmax_t)stats->latency[i],
		       (int)(stats->latency[i] * BAR / most),
		       "########################################");
}

static void row(const struct published *slot, double per_second)
{
	const struct uffdmr_stats *stats = &slot->stats;
	uint64_t mapped = stats->length - slot->dropped;
	double share = mapped ? 100.0 * stats->present / mapped : 100;

	printf("%-15s %7u %7u %10s %5.1f %9ju %8.0f %10s %10s\n", slot->program,
	       slot->pid, slot->regions, text_bytes(stats->length), share,
	       (uintmax_t)stats->messages, per_second,
	       text_time(uffdmr_percentile(stats, 50)),
	       text_time(uffdmr_percentile(stats, 99)));
}

void stat_screen(const struct published *slots, int n,
		 const struct published *before, int n_before, double seconds)
{
	/* Behind the heading, an empty line and the sum. */
	int lines = screen_lines() - 3, shown = n;
	struct published sum = { 0 };
	int i;

	if (shown > lines)
		shown = lines > 1 ? lines - 1 : 0;
	/* From the top; what was longer before is erased, and what is too wide cut off. */
	printf("\033[H\033[J\033[?7l");
	printf("%-15s %7s %7s %10s %5s %9s %8s %10s %10s\n", "PROGRAM", "PID",
	       "REGIONS", "SIZE", "HERE%", "FAULTS", "/s", "MEDIAN", "P99");
	for (i = 0; i < n; i++) {
		uint64_t faults = slots[i].stats.messages -
				  faults_before(&slots[i], before, n_before);

		if (i < shown)
			row(&slots[i], seconds > 0 ? faults / seconds : 0);
		statistics_add(&sum, &slots[i]);
	}
	if (shown < n)
		printf("%d more\n", n - shown);
	printf("\n%s on demand, %s in the background, %ju failures, %ju retries\n",
	       text_bytes(sum.stats.demand_bytes),
	       text_bytes(sum.stats.background_bytes),
	       (uintmax_t)sum.stats.failures, (uintmax_t)sum.stats.retries);
	if (sum.stats.latency_count)
		histogram(&sum.stats, lines - n);
	printf("\033[?7h");
	fflush(stdout);
}

void stat_lines(const struct published *slots, int n, bool heading)
{
	int i;

	if (heading)
		printf("program pid regions bytes present faults demand_bytes background_bytes median_ns p99_ns\n");
	for (i = 0; i < n; i++) {
		const struct uffdmr_stats *stats = &slots[i].stats;

		printf("%s %u %u %zu %zu %ju %ju %ju %ju %ju\n",
		       slots[i].program, slots[i].pid, slots[i].regions,
		       stats->length, stats->present, (uintmax_t)stats->messages,
		       (uintmax_t)stats->demand_bytes,
		       (uintmax_t)stats->background_bytes,
		       (uintmax_t)uffdmr_percentile(stats, 50),
		       (uintmax_t)uffdmr_percentile(stats, 99));
	}
	fflush(stdout);
}

int stat_json(const struct published *slots, int n)
{
	json_t *all = json_array(), *object;
	int i, err;

	for (i = 0; i < n; i++) {
		object = statistics_json(&slots[i]);
		json_object_set_new(object, "program",
				    json_string(slots[i].program));
		json_object_set_new(object, "pid", json_integer(slots[i].pid));
		json_array_append_new(all, object);
	}
	err = json_dumpf(all, stdout, JSON_COMPACT);
	json_decref(all);
	return err || printf("\n") < 0 || fflush(stdout);
}
