// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "postcopy.h"
#include "table.h"

#define MAX_TIME	(24 * 3600 * NSEC_PER_SEC)
#define MAX_RATE	0x10000000000UL	/* 1T */
#define MAX_OPS		1000000000
#define SERVERS		16

enum {
	OPTION_PORT = 256,
	OPTION_TIMEOUT,
	OPTION_JSON,
	OPTION_SIZE,
	OPTION_MEMORY,
	OPTION_RESUME,
	OPTION_MODE,
	OPTION_ROUNDS,
	OPTION_RATE,
	OPTION_DELAY,
	OPTION_PLOT,
	OPTION_CLIENTS,
	OPTION_OPS,
	OPTION_TIME,
};

const char *const postcopy_modes[MODES] = {
	[MODE_STOP] = "stop",
	[MODE_PRECOPY] = "precopy",
	[MODE_POSTCOPY] = "postcopy",
	[MODE_HYBRID] = "hybrid",
};

/* "uffdmr postcopy source" and the like. */
static char name[64];

void postcopy_say(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
}

/* --- options that roles share */

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct postcopy_options *options = state->input;

	switch (key) {
	case OPTION_PORT:
		option_number(state, "port", arg, 1, UINT16_MAX);
		options->port = arg;
		return 0;
	case OPTION_TIMEOUT:
		options->timeout_ns = option_time(state, "timeout", arg,
						  MAX_TIME);
		return 0;
	case OPTION_JSON:
		options->json = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static void take_address(struct argp_state *state, const char *arg,
			 size_t most)
{
	struct postcopy_options *options = state->input;

	if (options->n_addresses == most)
		argp_failure(state, STATUS_USAGE, 0,
			     "takes no argument '%s' (see --help)", arg);
	options->addresses[options->n_addresses++] = arg;
}

static void need_address(struct argp_state *state, const char *whose)
{
	argp_failure(state, STATUS_USAGE, 0, "%s? (see --help)", whose);
}

#define COMMON_PORT { "port", OPTION_PORT, "N", 0, \
	"TCP and RDMA port (default: " POSTCOPY_PORT ")", 9 }
#define COMMON_TIMEOUT { "timeout", OPTION_TIMEOUT, "TIME", 0, \
	"Give up when it takes longer (default: 600s)", 9 }
#define COMMON_JSON { "json", OPTION_JSON, NULL, 0, \
	"Report as one JSON object, times in nanoseconds", 9 }

/* --- source */

static error_t parse_source(int key, char *arg, struct argp_state *state)
{
	struct postcopy_options *options = state->input;

	switch (key) {
	case OPTION_SIZE:
		options->size = option_size(state, "size", arg, TABLE_MIN,
					    TABLE_MAX);
		if (options->size % sysconf(_SC_PAGESIZE))
			argp_failure(state, STATUS_USAGE, 0,
				     "--size wants whole pages of %ld bytes, not '%s'",
				     sysconf(_SC_PAGESIZE), arg);
		return 0;
	case OPTION_MEMORY:
		options->memory = arg;
		return 0;
	case OPTION_RESUME:
		options->resume = true;
		return 0;
	case ARGP_KEY_ARG:
		take_address(state, arg, 1);
		return 0;
	case ARGP_KEY_END:
		if (!options->n_addresses)
			need_address(state, "the address of which RDMA device");
		if (options->resume && !options->memory)
			argp_failure(state, STATUS_USAGE, 0,
				     "--resume wants --memory");
		return 0;
	}
	return parse_common(key, arg, state);
}

static const struct argp_option source_options[] = {
	{ "size", OPTION_SIZE, "SIZE", 0,
	  "Size of the table, from 1M on (default: 256M)", 1 },
	{ "memory", OPTION_MEMORY, "FILE", 0,
	  "Have the table in FILE, on a tmpfs: it outlives a source that is killed", 1 },
	{ "resume", OPTION_RESUME, NULL, 0,
	  "Go on giving a destination the pages of --memory, after the source was killed",
	  1 },
	COMMON_PORT,
	{ 0 }
};

static const struct argp source_argp = {
	.options = source_options,
	.parser = parse_source,
	.args_doc = "ADDRESS",
	.doc = "Run a key-value table that clients reach by RDMA at ADDRESS, until a "
	       "destination takes it over, and serve what that still misses.\v"
	       "SIGUSR1 has the workload go on at the source, as it was when it left: for a "
	       "destination that is dead. One that is not loses what was done there, and ends.",
};

/* --- destination */

static enum postcopy_mode mode_of(struct argp_state *state, const char *arg)
{
	int mode;

	for (mode = 0; mode < MODES; mode++)
		if (!strcmp(arg, postcopy_modes[mode]))
			return mode;
	argp_failure(state, STATUS_USAGE, 0,
		     "--mode is stop, precopy, postcopy or hybrid, not '%s'",
		     arg);
	return MODE_STOP;
}

static error_t parse_destination(int key, char *arg, struct argp_state *state)
{
	struct postcopy_options *options = state->input;

	switch (key) {
	case OPTION_MODE:
		options->mode = mode_of(state, arg);
		return 0;
	case OPTION_ROUNDS:
		options->rounds = option_number(state, "rounds", arg, 1, 1000);
		return 0;
	case OPTION_RATE:
		options->rate = option_size(state, "rate", arg, 1, MAX_RATE);
		return 0;
	case OPTION_DELAY:
		options->delay_ns = option_time(state, "delay", arg,
						3600 * NSEC_PER_SEC);
		return 0;
	case OPTION_PLOT:
		options->plot = arg;
		return 0;
	case ARGP_KEY_ARG:
		take_address(state, arg, 1);
		return 0;
	case ARGP_KEY_END:
		if (!options->n_addresses)
			need_address(state, "the address of which source");
		return 0;
	}
	return parse_common(key, arg, state);
}

static const struct argp_option destination_options[] = {
	{ "mode", OPTION_MODE, "MODE", 0,
	  "stop: copy while the workload is stopped; precopy: copy, and what was written "
	  "meanwhile again, until little is left, then stop; postcopy: stop, go on here at "
	  "once, then copy; hybrid: precopy, but what is left is copied after the move "
	  "(default: postcopy)", 1 },
	{ "rounds", OPTION_ROUNDS, "N", 0,
	  "Copy again what was written at most so often before the stop (default: 3)", 1 },
	{ "rate", OPTION_RATE, "SIZE", 0,
	  "Copy at most so much a second in the background (default: as fast as it goes)",
	  1 },
	{ "delay", OPTION_DELAY, "TIME", 0,
	  "Begin so long after having connected (default: 0)", 1 },
	{ "plot", OPTION_PLOT, "FILE", 0,
	  "Draw the clients' throughput and the fault latencies: FILE.svg or FILE.png", 1 },
	COMMON_PORT,
	COMMON_TIMEOUT,
	COMMON_JSON,
	{ 0 }
};

static const struct argp destination_argp = {
	.options = destination_options,
	.parser = parse_destination,
	.args_doc = "SOURCE",
	.doc = "Take over the workload of the host SOURCE, have it run here until its "
	       "clients end, and report.\v"
	       "Exit status: 0 everything is right; 1 something is lost or wrong; 2 bad "
	       "arguments; 3 this machine lacks something; 4 any other error.",
};

/* --- client */

static error_t parse_client(int key, char *arg, struct argp_state *state)
{
	struct postcopy_options *options = state->input;

	switch (key) {
	case OPTION_CLIENTS:
		options->clients = option_number(state, "clients", arg, 1,
						 TABLE_CLIENTS);
		return 0;
	case OPTION_OPS:
		options->ops = option_number(state, "ops", arg, 1, MAX_OPS);
		return 0;
	case OPTION_TIME:
		options->time_ns = option_time(state, "time", arg, MAX_TIME);
		return 0;
	case ARGP_KEY_ARG:
		take_address(state, arg, SERVERS);
		return 0;
	case ARGP_KEY_END:
		if (!options->n_addresses)
			need_address(state, "the addresses of which servers");
		return 0;
	}
	return parse_common(key, arg, state);
}

static const struct argp_option client_options[] = {
	{ "clients", OPTION_CLIENTS, "N", 0,
	  "How many, each with a connection of its own, 1 to 64 (default: 4)", 1 },
	{ "ops", OPTION_OPS, "N", 0,
	  "At most so many operations a second, of all clients together (default: each "
	  "client one after the other)", 1 },
	{ "time", OPTION_TIME, "TIME", 0,
	  "End after TIME (default: one second after the move is complete)", 1 },
	COMMON_PORT,
	COMMON_TIMEOUT,
	COMMON_JSON,
	{ 0 }
};

static const struct argp client_argp = {
	.options = client_options,
	.parser = parse_client,
	.args_doc = "SERVER...",
	.doc = "Read and change the table by RDMA READ, WRITE and atomics, at whichever "
	       "SERVER has it (source and destination), and in the end compare all of it "
	       "with what was acknowledged.\v"
	       "Exit status: 0 everything is right; 1 something is lost or wrong; 2 bad "
	       "arguments; 4 any other error.",
};

/* --- the command */

static const struct role {
	const char *name;
	const struct argp *argp;
	int (*run)(const struct postcopy_options *options,
		   struct failure *failure);
} roles[] = {
	{ "source", &source_argp, source_run },
	{ "destination", &destination_argp, destination_run },
	{ "client", &client_argp, client_run },
};

struct choice {
	const struct role *role;
	int first;	/* index in argv of its name */
};

static error_t parse_role(int key, char *arg, struct argp_state *state)
{
	struct choice *choice = state->input;
	size_t i;

	switch (key) {
	case ARGP_KEY_ARG:
		for (i = 0; i < ARRAY_SIZE(roles); i++)
			if (!strcmp(arg, roles[i].name))
				choice->role = &roles[i];
		if (!choice->role)
			argp_failure(state, STATUS_USAGE, 0,
				     "no role '%s': source, destination or client",
				     arg);
		choice->first = state->next - 1;
		/* The rest is the role's. */
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_failure(state, STATUS_USAGE, 0,
			     "which role: source, destination or client? (see --help)");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp role_argp = {
	.parser = parse_role,
	.args_doc = "source ADDRESS\ndestination SOURCE\nclient SERVER...",
	.doc = "Move a running workload and its memory from one host to another.\v"
	       "The source runs a key-value table, clients use it by one-sided RDMA, and "
	       "the destination takes it over: at once, with pages that come over the "
	       "network when somebody touches them. 'uffdmr postcopy ROLE --help' tells the "
	       "options of each.",
};

static int run(int argc, char **argv)
{
	const char *addresses[SERVERS];
	struct postcopy_options options = {
		.port = POSTCOPY_PORT,
		.addresses = addresses,
		.timeout_ns = 600 * NSEC_PER_SEC,
		.size = 256UL << 20,
		.mode = MODE_POSTCOPY,
		.rounds = 3,
		.clients = 4,
	};
	struct choice choice = { 0 };
	struct failure failure = { 0 };
	int status;

	if (argp_parse(&role_argp, argc, argv, ARGP_IN_ORDER, NULL, &choice))
		return STATUS_ERROR;
	snprintf(name, sizeof(name), "%s %s", argv[0], choice.role->name);
	argv[choice.first] = name;
	if (argp_parse(choice.role->argp, argc - choice.first,
		       argv + choice.first, 0, NULL, &options))
		return STATUS_ERROR;
	status = choice.role->run(&options, &failure);
	if (failure.text[0])
		fprintf(stderr, "%s: %s\n", name, failure.text);
	return status;
}

const struct command postcopy_command = {
	.name = "postcopy",
	.summary = "move a running workload to another host",
	.run = run,
};
