// SPDX-License-Identifier: GPL-2.0
/* What a destination has to tell: as text, as JSON, and as a picture. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "plot.h"
#include "report.h"

/* Of all client processes together. */
struct sums {
	uint64_t clients, operations, gap, lost, wrong;
};

static struct sums sum_up(const struct move *move)
{
	const struct client_result *result;
	struct sums sums = { 0 };

	for (result = move->results; result; result = result->next) {
		sums.clients += result->words[RESULT_CLIENTS];
		sums.operations += result->words[RESULT_OPERATIONS];
		sums.lost += result->words[RESULT_LOST];
		sums.wrong += result->words[RESULT_WRONG];
		if (result->words[RESULT_GAP_NS] > sums.gap)
			sums.gap = result->words[RESULT_GAP_NS];
	}
	return sums;
}

bool move_right(const struct move *move)
{
	struct sums sums = sum_up(move);

	return !move->wrong_records && !move->wrong_cells && !sums.lost &&
	       !sums.wrong && !move->clients_missing;
}

static uint64_t background_bytes(const struct move *move)
{
	return move->stats.background_bytes - move->before_bytes;
}

static double ms(uint64_t ns)
{
	return ns / 1e6;
}

/* --- text */

/* As QEMU prints it: only the rows in use, and those between them. */
static void print_histogram(const struct uffdmr_stats *stats)
{
	int first = 0, last = UFFDMR_BUCKETS - 1, i;

	if (!stats->latency_count)
		return;
	while (!stats->latency[first])
		first++;
	while (!stats->latency[last])
		last--;
	for (i = first; i <= last; i++)
		printf("  [ %9.1f us - %9.1f us ]: %8" PRIu64 "\n",
		       (i ? 1ULL << i : 0) / 1e3, (2ULL << i) / 1e3,
		       stats->latency[i]);
}

static void print_verdict(const struct move *move, const struct sums *sums)
{
	if (move_right(move))
		printf("verdict         PASS: every record is whole, and what clients had acknowledged is there\n");
	else if (move->wrong_records || move->wrong_cells)
		printf("verdict         FAIL: %ld records and %ld cells are wrong\n",
		       move->wrong_records, move->wrong_cells);
	else if (sums->wrong || sums->lost)
		printf("verdict         FAIL: clients miss %" PRIu64 " changes, and find %" PRIu64 " wrong\n",
		       sums->lost, sums->wrong);
	else
		printf("verdict         FAIL: %" PRIu64 " clients have not come to an end\n",
		       move->clients_missing);
}

static void report_text(struct move *move)
{
	const struct uffdmr_stats *stats = &move->stats;
	struct sums sums = sum_up(move);

	printf("move            %s, %zu MiB from %s\n",
	       postcopy_modes[move->options->mode], move->length >> 20,
	       move->source);
	printf("bare READ       median %.3f ms, p99 %.3f ms (4 KiB, %zu times, before the move)\n",
	       ms(samples_percentile(&move->bare, 50)),
	       ms(samples_percentile(&move->bare, 99)), move->bare.count);
	printf("downtime        %.3f ms here (source told to stop, to the start here), %.3f ms for clients\n",
	       ms(move->started - move->stop), ms(sums.gap));
	printf("total time      %.3f ms\n", ms(move->complete - move->begun));
	if (move->before_bytes)
		printf("before the stop %" PRIu64 " bytes, %u rounds after the first\n",
		       move->before_bytes, move->rounds);
	printf("at the start    %" PRIu64 " bytes were missing\n",
	       move->left_bytes);
	printf("demand          %" PRIu64 " bytes\n", stats->demand_bytes);
	printf("background      %" PRIu64 " bytes after the stop\n",
	       background_bytes(move));
	printf("duplicates      %" PRIu64 " pages were there already, %" PRIu64 " bytes were asked for again\n",
	       stats->duplicates, move->again_bytes);
	if (move->pauses)
		printf("pauses          %u, %.3f ms without the source\n",
		       move->pauses, ms(move->paused_ns));
	if (stats->latency_count)
		printf("fault latency   %" PRIu64 " faults, median %.3f ms, p99 %.3f ms (message to page in place)\n",
		       stats->latency_count,
		       ms(uffdmr_percentile(stats, 50)),
		       ms(uffdmr_percentile(stats, 99)));
	print_histogram(stats);
	printf("clients         %" PRIu64 ", %" PRIu64 " operations\n",
	       sums.clients, sums.operations);
	printf("CPU             %" PRIu64 " steps\n", move->steps);
	print_verdict(move, &sums);
}

/* --- JSON */

static json_t *json_bucket(const struct uffdmr_stats *stats, int i)
{
	return json_pack("{sI sI sI}",
			 "from", (json_int_t)(i ? 1ULL << i : 0),
			 "to", (json_int_t)(2ULL << i),
			 "faults", (json_int_t)stats->latency[i]);
}

static json_t *json_histogram(const struct uffdmr_stats *stats)
{
	json_t *array = json_array();
	int i;

	for (i = 0; i < UFFDMR_BUCKETS; i++)
		if (stats->latency[i])
			json_array_append_new(array, json_bucket(stats, i));
	return array;
}

static json_t *json_result(const struct move *move,
			   const struct client_result *result)
{
	json_t *buckets = json_array();
	uint64_t start = result->words[RESULT_START] - move->begun;
	size_t i;

	for (i = 0; i < result->n; i++)
		json_array_append_new(buckets, json_integer(result->buckets[i]));
	return json_pack("{sI sI so}", "start", (json_int_t)start,
			 "bucket", (json_int_t)result->words[RESULT_BUCKET_NS],
			 "operations", buckets);
}

static json_t *json_throughput(const struct move *move)
{
	const struct client_result *result;
	json_t *all = json_array();

	for (result = move->results; result; result = result->next)
		json_array_append_new(all, json_result(move, result));
	return all;
}

static json_t *json_fetched(const struct move *move)
{
	return json_pack("{sI sI sI sI sI sI}",
			 "before_stop", (json_int_t)move->before_bytes,
			 "missing_at_start", (json_int_t)move->left_bytes,
			 "demand", (json_int_t)move->stats.demand_bytes,
			 "background", (json_int_t)background_bytes(move),
			 "duplicate_pages", (json_int_t)move->stats.duplicates,
			 "asked_again", (json_int_t)move->again_bytes);
}

static json_t *json_latency(struct move *move)
{
	const struct uffdmr_stats *stats = &move->stats;

	return json_pack("{sI sI sI so}",
			 "faults", (json_int_t)stats->latency_count,
			 "median", (json_int_t)uffdmr_percentile(stats, 50),
			 "p99", (json_int_t)uffdmr_percentile(stats, 99),
			 "histogram", json_histogram(stats));
}

static int report_json(struct move *move)
{
	struct sums sums = sum_up(move);
	json_t *root;
	int err;

	root = json_pack("{ss sI s{sI sI} s{sI sI} sI si so si sI so s{sI sI sI sI sI} s{sI sI} so sb}",
			 "mode", postcopy_modes[move->options->mode],
			 "length", (json_int_t)move->length,
			 "bare_read",
			 "median", (json_int_t)samples_percentile(&move->bare, 50),
			 "p99", (json_int_t)samples_percentile(&move->bare, 99),
			 "downtime",
			 "server", (json_int_t)(move->started - move->stop),
			 "clients", (json_int_t)sums.gap,
			 "total", (json_int_t)(move->complete - move->begun),
			 "rounds", (int)move->rounds,
			 "bytes", json_fetched(move),
			 "pauses", (int)move->pauses,
			 "paused", (json_int_t)move->paused_ns,
			 "fault_latency", json_latency(move),
			 "clients",
			 "number", (json_int_t)sums.clients,
			 "operations", (json_int_t)sums.operations,
			 "lost", (json_int_t)sums.lost,
			 "wrong", (json_int_t)sums.wrong,
			 "missing", (json_int_t)move->clients_missing,
			 "wrong",
			 "records", (json_int_t)move->wrong_records,
			 "cells", (json_int_t)move->wrong_cells,
			 "throughput", json_throughput(move),
			 "pass", move_right(move));
	if (!root)
		return -ENOMEM;
	err = json_dumpf(root, stdout, JSON_INDENT(2));
	json_decref(root);
	putchar('\n');
	return err;
}

int move_report(struct move *move, struct failure *failure)
{
	int err = 0;

	if (move->options->json)
		err = report_json(move);
	else
		report_text(move);
	if (err || fflush(stdout) || ferror(stdout))
		return fail(failure, 0, "cannot write the report");
	return 0;
}

/* --- the picture */

static double after_begin(const struct move *move, uint64_t when)
{
	return ((double)when - (double)move->begun) / 1e9;
}

static void plot_throughput_data(const struct move *move, FILE *plot)
{
	const struct client_result *result;
	size_t i;

	fprintf(plot, "$throughput << EOD\n");
	for (result = move->results; result; result = result->next) {
		double width = result->words[RESULT_BUCKET_NS] / 1e9;
		double start = after_begin(move, result->words[RESULT_START]);

		/* The last one is not whole. */
		for (i = 0; i + 1 < result->n; i++)
			fprintf(plot, "%.4f %.1f\n", start + i * width,
				result->buckets[i] / width);
		/* Another line. */
		fprintf(plot, "\n");
	}
	fprintf(plot, "EOD\n");
}

static void plot_latency_data(const struct move *move, FILE *plot)
{
	int i;

	fprintf(plot, "$latency << EOD\n");
	for (i = 0; i < UFFDMR_BUCKETS; i++)
		if (move->stats.latency[i])
			fprintf(plot, "%g %" PRIu64 "\n", (1ULL << i) * 1.5 / 1e3,
				move->stats.latency[i]);
	fprintf(plot, "EOD\n");
}

static void plot_event(FILE *plot, double at, double height, const char *what)
{
	fprintf(plot, "set arrow from %f, graph 0 to %f, graph 1 nohead dashtype 2\n",
		at, at);
	fprintf(plot, "set label ' %s' at %f, graph %.2f\n", what, at, height);
}

static void plot_events(const struct move *move, FILE *plot)
{
	plot_event(plot, 0, 0.95, "begin");
	if (move->stop - move->begun > NSEC_PER_MSEC)
		plot_event(plot, after_begin(move, move->stop), 0.89, "stop");
	plot_event(plot, after_begin(move, move->started), 0.83, "start");
	plot_event(plot, after_begin(move, move->complete), 0.77,
		   "nothing missing");
}

int move_plot(const struct move *move, struct failure *failure)
{
	const char *path = move->options->plot;
	FILE *plot = plot_open(path, failure);

	if (!plot)
		return -EIO;
	plot_throughput_data(move, plot);
	plot_latency_data(move, plot);
	fprintf(plot, "set multiplot layout 2, 1\nset grid\nset yrange [0:]\n");
	plot_events(move, plot);
	fprintf(plot, "set title '%s of %zu MiB'\n",
		postcopy_modes[move->options->mode], move->length >> 20);
	fprintf(plot, "set xlabel 'seconds'\nset ylabel 'operations a second'\n");
	if (move->results)
		fprintf(plot, "plot $throughput using 1:2 with lines notitle\n");
	else
		fprintf(plot, "plot [-1:1] [0:1] 0 title 'no clients'\n");
	fprintf(plot, "unset arrow\nunset label\nset title 'demand faults'\n");
	fprintf(plot, "set xlabel 'latency in us'\nset ylabel 'faults'\n");
	fprintf(plot, "set logscale x 2\nset boxwidth 0.6 relative\nset style fill solid 0.5\n");
	fprintf(plot, "set format x '%%.0f'\n");
	if (move->stats.latency_count)
		fprintf(plot, "plot $latency using 1:2 with boxes notitle\n");
	else
		fprintf(plot, "plot [1:2] [0:1] 0 title 'none'\n");
	fprintf(plot, "unset multiplot\n");
	return plot_close(plot, path, failure);
}
