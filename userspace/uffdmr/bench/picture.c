// SPDX-License-Identifier: GPL-2.0
/*
 * What a late page costs: bandwidth over page latency. A panel an operation; a colour
 * for each message size and number of queue pairs, with a line for cold pages and a
 * dashed one for resident ones; and a black line for the CPU.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bench.h"
#include "format.h"
#include "plot.h"

/* The curves of a panel, each a block of lines of a cell: a page latency a line. */
static void put_data(FILE *plot, const struct bench_result *result,
		     enum operation operation)
{
	size_t points = result->options->latencies.n;
	size_t i;

	fprintf(plot, "$%s << EOD\n", operation_names[operation]);
	for (i = 0; i < result->n_cells; i++) {
		struct cell *cell = &result->cells[i];

		if (cell->operation != operation)
			continue;
		/* Two empty lines begin another block. */
		fprintf(plot, "%s%zu %.6f %.6f %.6f\n",
			i % points ? "" : "\n\n", i % points,
			megabytes_per_second(result, samples_percentile(&cell->cold_ns, 50)),
			megabytes_per_second(result, samples_percentile(&cell->resident_ns, 50)),
			megabytes_per_second(result, samples_percentile(&cell->touch->ns, 50)));
	}
	fprintf(plot, "EOD\n");
}

static void put_axes(FILE *plot, const struct bench_result *result)
{
	const struct option_list *latencies = &result->options->latencies;
	char text[24];
	size_t i;

	fprintf(plot, "set logscale y\nset format y '%%g'\nset grid ytics\n");
	fprintf(plot, "set xrange [-0.3:%zu.3]\n", latencies->n - 1);
	fprintf(plot, "set xtics (");
	for (i = 0; i < latencies->n; i++)
		fprintf(plot, "%s'%s' %zu", i ? ", " : "",
			format_time(latencies->values[i], text, sizeof(text)),
			i);
	fprintf(plot, ")\nset key outside bottom center horizontal maxcols 2 font ',9'\n");
}

/* The fifth of gnuplot's colours is yellow, which is hard to see on white. */
static size_t colour(size_t curve)
{
	return curve < 4 ? curve + 1 : curve + 2;
}

static void put_panel(FILE *plot, const struct bench_result *result,
		      enum operation operation)
{
	const struct bench_options *options = result->options;
	const char *name = operation_names[operation];
	char text[16];
	size_t i, size, qps, curves = options->sizes.n * options->qps.n;

	fprintf(plot, "set title 'RDMA %s'\nplot \\\n", name);
	for (i = 0; i < curves; i++) {
		size = options->sizes.values[i / options->qps.n];
		qps = options->qps.values[i % options->qps.n];
		fprintf(plot, " $%s index %zu using 1:2 with linespoints lc %zu pt 7 ps 0.6 title 'cold, %s, %zu QP%s',\\\n",
			name, i, colour(i), format_size(size, text, sizeof(text)),
			qps, qps == 1 ? "" : "s");
		fprintf(plot, " $%s index %zu using 1:3 with lines lc %zu dt 2 notitle,\\\n",
			name, i, colour(i));
	}
	fprintf(plot, " $%s index 0 using 1:4 with linespoints lc 'black' lw 2 pt 5 ps 0.6 title 'CPU touch, cold',\\\n",
		name);
	fprintf(plot, " NaN with lines lc 'black' dt 2 title 'dashed: resident'\n");
}

int bench_draw(const struct bench_result *result, struct failure *failure)
{
	const struct bench_options *options = result->options;
	enum operation operation;
	FILE *plot;

	plot = plot_open(options->picture, failure);
	if (!plot)
		return -EIO;
	for (operation = READ; operation < OPERATIONS; operation++)
		if (options->operations[operation])
			put_data(plot, result, operation);
	put_axes(plot, result);
	fprintf(plot, "set multiplot layout 1,%d title 'What late pages cost: bandwidth over page latency'\n",
		options->operations[READ] + options->operations[WRITE]);
	fprintf(plot, "set ylabel 'MB/s'\n");
	for (operation = READ; operation < OPERATIONS; operation++)
		if (options->operations[operation])
			put_panel(plot, result, operation);
	fprintf(plot, "unset multiplot\n");
	return plot_close(plot, options->picture, failure);
}
