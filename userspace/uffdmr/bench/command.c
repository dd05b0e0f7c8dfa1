// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"

#define MAX_REGION	0x40000000ULL	/* 1 GiB */
#define MAX_QPS		64
#define MAX_RUNS	1000
#define MAX_LATENCY	(10 * NSEC_PER_SEC)
#define MAX_TIMEOUT	(3600 * NSEC_PER_SEC)

enum {
	OPTION_PAGE_LATENCY = 256,
	OPTION_SIZE,
	OPTION_QPS,
	OPTION_OP,
	OPTION_REGION,
	OPTION_RUNS,
	OPTION_TIMEOUT,
	OPTION_JSON,
	OPTION_CSV,
	OPTION_PLOT,
};

static const struct argp_option options[] = {
	{ "page-latency", OPTION_PAGE_LATENCY, "TIME,...", 0,
	  "How long after it is asked for a page comes (default: 0,100us,1ms)", 2 },
	{ "size", OPTION_SIZE, "SIZE,...", 0,
	  "Bytes of a message (default: 4K,64K,256K)", 2 },
	{ "qps", OPTION_QPS, "N,...", 0, "Queue pairs (default: 1,4)", 2 },
	{ "op", OPTION_OP, "read|write|both", 0,
	  "RDMA READ, RDMA WRITE, or both (default: read)", 2 },
	{ "region", OPTION_REGION, "SIZE", 0,
	  "Size of the region (default: 1M)", 2 },
	{ "runs", OPTION_RUNS, "N", 0,
	  "Runs of each, of which the median counts (default: 5)", 2 },
	{ "timeout", OPTION_TIMEOUT, "TIME", 0,
	  "Give up when one transfer or touch takes longer (default: 60s)", 2 },
	{ "json", OPTION_JSON, NULL, 0,
	  "Report as one JSON object, times in nanoseconds", 3 },
	{ "csv", OPTION_CSV, NULL, 0, "Report as comma-separated values", 3 },
	{ "plot", OPTION_PLOT, "FILE", 0,
	  "Draw it, too: FILE.svg or FILE.png (takes gnuplot)", 3 },
	{ 0 }
};

static const char doc[] =
	"Measure what late pages cost: READ and WRITE a region over loopback RC connections "
	"when none of its pages is there (cold), again when all are (resident), and have a "
	"CPU touch each page of a cold one in turn. Done for each combination of --op, "
	"--size, --qps and --page-latency. Every byte is checked."
	"\v"
	"Sizes and times take units: 64K, 1M; 100us, 1ms. The fault latency is that of "
	"libuffdmr: from the fault message to the page being in place.\n\n"
	"Exit status: 0 every byte was right; 1 an access failed or bytes differ; 2 bad "
	"arguments; 3 no RDMA device, no on-demand paging, no permission for userfaultfd "
	"or no gnuplot; 4 any other error, the timeout included.";

static uint64_t one_time(struct argp_state *state, const char *option,
			 const char *text, uint64_t min, uint64_t max)
{
	(void)min;
	return option_time(state, option, text, max);
}

static void set_operations(struct argp_state *state, struct bench_options *bench,
			   const char *text)
{
	bool both = !strcmp(text, "both");

	bench->operations[READ] = both || !strcmp(text, "read");
	bench->operations[WRITE] = both || !strcmp(text, "write");
	if (!bench->operations[READ] && !bench->operations[WRITE])
		argp_failure(state, STATUS_USAGE, 0,
			     "--op wants read, write or both, not '%s'", text);
}

static void set_format(struct argp_state *state, struct bench_options *bench,
		       enum format format)
{
	if (bench->format != TABLE && bench->format != format)
		argp_failure(state, STATUS_USAGE, 0,
			     "--json or --csv, not both");
	bench->format = format;
}

/* What only all options together tell. */
static void check(struct argp_state *state, const struct bench_options *bench)
{
	size_t page_size = sysconf(_SC_PAGESIZE);
	size_t i;

	if (bench->region % page_size)
		argp_failure(state, STATUS_USAGE, 0,
			     "--region wants whole pages of %zu bytes",
			     page_size);
	for (i = 0; i < bench->sizes.n; i++)
		if (bench->sizes.values[i] > bench->region)
			argp_failure(state, STATUS_USAGE, 0,
				     "a message of %ju bytes is larger than the region, see --size and --region",
				     (uintmax_t)bench->sizes.values[i]);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct bench_options *bench = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &bench->rdma;
		return 0;
	case OPTION_PAGE_LATENCY:
		option_list(state, "page-latency", arg, &bench->latencies,
			    one_time, 0, MAX_LATENCY);
		return 0;
	case OPTION_SIZE:
		option_list(state, "size", arg, &bench->sizes, option_size, 1,
			    MAX_REGION);
		return 0;
	case OPTION_QPS:
		option_list(state, "qps", arg, &bench->qps, option_number, 1,
			    MAX_QPS);
		return 0;
	case OPTION_OP:
		set_operations(state, bench, arg);
		return 0;
	case OPTION_REGION:
		bench->region = option_size(state, "region", arg, 1, MAX_REGION);
		return 0;
	case OPTION_RUNS:
		bench->runs = option_number(state, "runs", arg, 1, MAX_RUNS);
		return 0;
	case OPTION_TIMEOUT:
		bench->timeout_ns = option_time(state, "timeout", arg,
						MAX_TIMEOUT);
		return 0;
	case OPTION_JSON:
		set_format(state, bench, JSON);
		return 0;
	case OPTION_CSV:
		set_format(state, bench, CSV);
		return 0;
	case OPTION_PLOT:
		bench->picture = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_failure(state, STATUS_USAGE, 0,
			     "takes no argument '%s' (see --help)", arg);
		return 0;
	case ARGP_KEY_END:
		check(state, bench);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* A picture that cannot be drawn does not take the report away. */
static int tell(const struct bench_result *result, struct failure *failure)
{
	int err = 0;

	if (bench_report(result))
		err = fail(failure, 0, "cannot write the report");
	if (result->options->picture)
		err = bench_draw(result, failure) ?: err;
	return err;
}

static int run(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{ .argp = &rdma_argp },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = doc,
		.children = children,
	};
	struct bench_options opt = {
		.rdma = RDMA_OPTIONS_DEFAULT,
		.latencies = { { 0, 100 * NSEC_PER_USEC, NSEC_PER_MSEC }, 3 },
		.sizes = { { 4 << 10, 64 << 10, 256 << 10 }, 3 },
		.qps = { { 1, 4 }, 2 },
		.operations = { [READ] = true },
		.region = 1 << 20,
		.runs = 5,
		.timeout_ns = 60 * NSEC_PER_SEC,
	};
	struct bench_result result = { 0 };
	struct failure failure = { 0 };
	int status = STATUS_ERROR;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opt))
		return STATUS_ERROR;
	if (!bench_run(&opt, &result, &status, &failure) &&
	    tell(&result, &failure))
		status = STATUS_ERROR;
	if (status != STATUS_OK)
		fprintf(stderr, "%s: %s\n", argv[0], failure.text);
	bench_result_free(&result);
	return status;
}

const struct command bench_command = {
	.name = "bench",
	.summary = "measure RDMA of absent and of resident pages, and CPU touch",
	.run = run,
};
