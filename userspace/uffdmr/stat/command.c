// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "command.h"
#include "parse.h"
#include "stat.h"

#define MAX_SLOTS	128

struct options {
	pid_t pid;
	uint64_t interval_ns;
	uint64_t count;
	bool json;
};

enum {
	OPTION_JSON = 256,
};

static const struct argp_option options[] = {
	{ "interval", 'i', "TIME", 0, "Look every TIME (default: 1s)", 0 },
	{ "count", 'n', "N", 0, "Look N times (default: until the process ends)", 0 },
	{ "json", OPTION_JSON, NULL, 0,
	  "An array a line, of an object for each region, times in nanoseconds", 0 },
	{ 0 }
};

static const char doc[] =
	"Show the lazy memory of a process: what libuffdmr, or uffdmr run, does for it. On "
	"a terminal it is one screen, otherwise lines."
	"\v"
	"Exit status: 0; 2 bad arguments; 3 there is no such process, it is another user's, "
	"or it has no lazy memory; 4 any other error.";

static pid_t pid_argument(struct argp_state *state, const char *text)
{
	uint64_t pid = 0;

	if (parse_number(text, 1, INT_MAX, &pid))
		argp_failure(state, STATUS_USAGE, 0,
			     "a process has a number, not '%s'", text);
	return pid;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *opt = state->input;

	switch (key) {
	case 'i':
		opt->interval_ns = option_time(state, "interval", arg,
					       3600 * NSEC_PER_SEC);
		return 0;
	case 'n':
		opt->count = option_number(state, "count", arg, 1, UINT32_MAX);
		return 0;
	case OPTION_JSON:
		opt->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_failure(state, STATUS_USAGE, 0,
				     "one process at a time (see --help)");
		opt->pid = pid_argument(state, arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_failure(state, STATUS_USAGE, 0,
			     "which process? (see --help)");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* Returns false if it cannot be written. */
static bool show(const struct options *opt, const struct published *slots, int n,
		 const struct published *before, int n_before, bool first)
{
	if (opt->json)
		return !stat_json(slots, n);
	if (isatty(STDOUT_FILENO))
		stat_screen(slots, n, before, n_before,
			    first ? 0 : (double)opt->interval_ns / NSEC_PER_SEC);
	else
		stat_lines(slots, n, first);
	return !ferror(stdout);
}

static int watch(const struct options *opt, struct failure *failure)
{
	static struct published slots[2][MAX_SLOTS];
	int n[2] = { 0 };
	uint64_t i;

	for (i = 0; !opt->count || i < opt->count; i++) {
		int now = i % 2, then = !now;

		n[now] = stat_read(opt->pid, slots[now], MAX_SLOTS, failure);
		/* It has come to its end, after all. */
		if (n[now] == -ESRCH && i)
			return STATUS_OK;
		if (n[now] < 0)
			return STATUS_UNABLE;
		if (!n[now] && i)
			return STATUS_OK;
		if (!n[now]) {
			fail(failure, 0,
			     "process %d has no lazy memory (of libuffdmr or uffdmr run)",
			     opt->pid);
			return STATUS_UNABLE;
		}
		if (!show(opt, slots[now], n[now], slots[then], n[then], !i)) {
			fail(failure, errno, "cannot write");
			return STATUS_ERROR;
		}
		if (i + 1 != opt->count)
			poll(NULL, 0, opt->interval_ns / NSEC_PER_MSEC);
	}
	return STATUS_OK;
}

static int run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "PID",
		.doc = doc,
	};
	struct options opt = { .interval_ns = NSEC_PER_SEC };
	struct failure failure = { 0 };
	int status;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opt))
		return STATUS_ERROR;
	status = watch(&opt, &failure);
	if (status != STATUS_OK)
		fprintf(stderr, "%s: %s\n", argv[0], failure.text);
	return status;
}

const struct command stat_command = {
	.name = "stat",
	.summary = "show the lazy memory of a process, live",
	.run = run,
};
