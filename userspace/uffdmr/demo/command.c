// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>

#include "clock.h"
#include "demo.h"

#define MIN_PAGES	4
#define MAX_PAGES	65536
#define MAX_LATENCY	(10 * NSEC_PER_SEC)
#define MAX_TIMEOUT	(3600 * NSEC_PER_SEC)

enum {
	OPTION_PAGE_LATENCY = 256,
	OPTION_TIMEOUT,
	OPTION_JSON,
};

static const struct argp_option options[] = {
	{ "pages", 'n', "N", 0,
	  "Size of the region in pages, 4 to 65536 (default: 256)", 2 },
	{ "page-latency", OPTION_PAGE_LATENCY, "TIME", 0,
	  "Supply each page TIME after it is asked for: 250us, 10ms (default: 0)",
	  2 },
	{ "timeout", OPTION_TIMEOUT, "TIME", 0,
	  "Give up when it takes longer (default: 30s)", 2 },
	{ "json", OPTION_JSON, NULL, 0,
	  "Report as one JSON object, times in nanoseconds", 2 },
	{ 0 }
};

static const char doc[] =
	"Map a region, register it with userfaultfd and, for on-demand paging, with an "
	"RDMA device while none of its pages exists, then READ and WRITE it over a "
	"loopback RC connection while a thread supplies the pages. Every byte is checked."
	"\v"
	"The fault latency is what the access sees: from posting a work request for one "
	"absent page to its completion. The handler latency is the part of it from "
	"reading the fault message to the page being in place.\n\n"
	"Exit status: 0 every byte was right; 1 an access failed or bytes differ; 2 bad "
	"arguments; 3 no RDMA device, no on-demand paging or no permission for "
	"userfaultfd; 4 any other error, the timeout included.";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct demo_options *demo = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &demo->rdma;
		return 0;
	case 'n':
		demo->pages = option_number(state, "pages", arg, MIN_PAGES,
					    MAX_PAGES);
		return 0;
	case OPTION_PAGE_LATENCY:
		demo->page_latency_ns = option_time(state, "page-latency", arg,
						    MAX_LATENCY);
		return 0;
	case OPTION_TIMEOUT:
		demo->timeout_ns = option_time(state, "timeout", arg,
					       MAX_TIMEOUT);
		return 0;
	case OPTION_JSON:
		demo->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_failure(state, STATUS_USAGE, 0,
			     "takes no argument '%s' (see --help)", arg);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
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
	struct demo_options opt = {
		.rdma = RDMA_OPTIONS_DEFAULT,
		.pages = 256,
		.timeout_ns = 30 * NSEC_PER_SEC,
	};
	struct demo_result result = { 0 };
	struct failure failure = { 0 };
	int status = STATUS_ERROR;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opt))
		return STATUS_ERROR;
	if (demo_run(&opt, &result, &status, &failure)) {
		fprintf(stderr, "%s: %s\n", argv[0], failure.text);
	} else if (demo_report(&result, opt.json)) {
		fprintf(stderr, "%s: cannot write the report\n", argv[0]);
		status = STATUS_ERROR;
	}
	demo_result_free(&result);
	return status;
}

const struct command demo_command = {
	.name = "demo",
	.summary = "show an RDMA READ and WRITE faulting in userfaultfd memory",
	.run = run,
};
