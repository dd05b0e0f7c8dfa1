// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "command.h"
#include "parse.h"
#include "run.h"
#include "uapi.h"
#include "uffdmr.h"
#include "userfaultfd.h"

#define MAX_LATENCY	(10 * NSEC_PER_SEC)
#define MAX_POPULATE	10000000

enum {
	OPTION_JITTER = 256,
	OPTION_DISTRIBUTION,
	OPTION_FAIL,
	OPTION_SEED,
	OPTION_JSON,
};

static const struct argp_option options[] = {
	{ "latency", 'l', "TIME", 0,
	  "Supply each page TIME after it is asked for: 250us, 10ms (default: 0)", 0 },
	{ "jitter", OPTION_JITTER, "TIME", 0,
	  "How far from that it may be (default: 0)", 0 },
	{ "distribution", OPTION_DISTRIBUTION, "SHAPE", 0,
	  "uniform: from -TIME to +TIME, the default; normal: a standard deviation of TIME; exponential: later by TIME on average",
	  0 },
	{ "populate", 'P', "N/s", 0,
	  "Supply N pages a second that nobody has asked for (default: none)", 0 },
	{ "fail", OPTION_FAIL, "PERCENT", 0,
	  "So many of the pages that are asked for cannot be had: an access to one is an error (default: 0)",
	  0 },
	{ "seed", OPTION_SEED, "N", 0,
	  "Of the latencies and failures (default: another one each time)", 0 },
	{ "json", OPTION_JSON, "FILE", 0,
	  "Write the report to FILE, as one JSON object, times in nanoseconds", 0 },
	{ "quiet", 'q', NULL, 0, "No report on stderr", 0 },
	{ 0 }
};

static const char doc[] =
	"Run an unmodified verbs program with its registered memory made lazy: what "
	"ibv_reg_mr() is given is registered for on-demand paging, its pages are taken "
	"away, and each comes back when the program or a peer accesses it."
	"\v"
	"Memory whose pages cannot be taken away stays as it is: the stack of the main "
	"thread, private mappings of files, private hugepages. The report tells how much "
	"that was.\n\n"
	"Exit status: that of PROGRAM, 128 and the number of the signal that ended it; 127 "
	"it cannot be run; 2 bad arguments; 3 there is no permission for userfaultfd, or this "
	"kernel lacks something; 4 any other error.";

static double percent(struct argp_state *state, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (!strcmp(end, "%"))
		end++;
	if (end == text || *end || !(value >= 0 && value <= 100))
		argp_failure(state, STATUS_USAGE, 0,
			     "--fail wants a percentage from 0 to 100, not '%s'",
			     text);
	return value;
}

static enum distribution shape(struct argp_state *state, const char *text)
{
	static const char *const names[] = {
		[UNIFORM] = "uniform",
		[NORMAL] = "normal",
		[EXPONENTIAL] = "exponential",
	};
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i]))
			return i;
	argp_failure(state, STATUS_USAGE, 0,
		     "--distribution wants uniform, normal or exponential, not '%s'",
		     text);
	return UNIFORM;
}

/* "100" and "100/s" */
static uint64_t per_second(struct argp_state *state, const char *text)
{
	size_t n = strlen(text);
	char number[32];

	if (n > 2 && !strcmp(text + n - 2, "/s"))
		n -= 2;
	snprintf(number, sizeof(number), "%.*s", (int)n, text);
	return option_number(state, "populate", number, 0, MAX_POPULATE);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct run_options *run = state->input;
	struct preload_config *config = &run->config;

	switch (key) {
	case 'l':
		config->latency_ns = option_time(state, "latency", arg,
						 MAX_LATENCY);
		return 0;
	case OPTION_JITTER:
		config->jitter_ns = option_time(state, "jitter", arg,
						MAX_LATENCY);
		return 0;
	case OPTION_DISTRIBUTION:
		config->distribution = shape(state, arg);
		return 0;
	case 'P':
		config->populate = per_second(state, arg);
		return 0;
	case OPTION_FAIL:
		config->fail_ppm = lround(percent(state, arg) * 10000);
		return 0;
	case OPTION_SEED:
		config->seed = option_number(state, "seed", arg, 0, INT32_MAX);
		return 0;
	case OPTION_JSON:
		run->json = arg;
		return 0;
	case 'q':
		run->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		run->program = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_failure(state, STATUS_USAGE, 0,
			     "which program? (see --help)");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* Before anything is run: whether there can be a report, and lazy memory. */
static enum exit_status check(const struct run_options *run,
			      struct failure *failure)
{
	struct procmap_query query = { .size = sizeof(query) };
	FILE *file;
	int fd, err;

	if (run->json) {
		file = fopen(run->json, "ae");
		if (!file) {
			fail(failure, errno, "cannot write %s", run->json);
			return STATUS_ERROR;
		}
		fclose(file);
	}
	fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	err = ioctl(fd, PROCMAP_QUERY, &query) ? errno : 0;
	close(fd);
	/* ENOENT would only say that there is nothing at address 0. */
	if (err == ENOTTY || err == EBADF) {
		fail(failure, 0,
		     "this kernel does not tell what memory is mapped where (PROCMAP_QUERY, Linux 6.11 does)");
		return STATUS_UNABLE;
	}
	fd = uffd_new(PRELOAD_FEATURES);
	if (fd < 0) {
		fail(failure, 0, "%s", uffdmr_error());
		return STATUS_UNABLE;
	}
	close(fd);
	return STATUS_OK;
}

static int run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[--] PROGRAM [ARG...]",
		.doc = doc,
	};
	struct run_options opt = { .config.seed = now_ns() & INT32_MAX };
	struct failure failure = { 0 };
	struct published_file *file;
	int status, fd;

	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &opt))
		return STATUS_ERROR;
	status = check(&opt, &failure);
	if (status != STATUS_OK) {
		fprintf(stderr, "%s: %s\n", argv[0], failure.text);
		return status;
	}
	file = published_create(PUBLISHED_SLOTS, &fd);
	if (!file) {
		fprintf(stderr, "%s: cannot make a file in memory: %s\n",
			argv[0], strerror(errno));
		return STATUS_ERROR;
	}
	opt.config.pid = getpid();
	opt.config.fd = fd;
	if (run_program(&opt, &status, &failure) ||
	    run_report(&opt, file, status, &failure)) {
		fprintf(stderr, "%s: %s\n", argv[0], failure.text);
		status = STATUS_ERROR;
	}
	published_end(file, fd);
	return status;
}

const struct command run_command = {
	.name = "run",
	.summary = "run a verbs program with its registered memory made lazy",
	.run = run,
};
