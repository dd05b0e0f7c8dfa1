// SPDX-License-Identifier: GPL-2.0
/*
 * uffdmr: RDMA memory regions whose pages userfaultfd supplies. This file
 * only finds the command; each one parses its own options.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "util.h"

static const struct command *const commands[] = {
	&bench_command,
	&demo_command,
	&postcopy_command,
	&run_command,
	&stat_command,
};

const char *argp_program_version = "uffdmr " VERSION;

struct choice {
	const struct command *command;
	int first;	/* index in argv of the command's name */
};

/* The list of commands comes out of the table, not out of a text. */
static char *help_filter(int key, const char *text, void *input)
{
	char *help;
	size_t size, i;
	FILE *out;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	out = open_memstream(&help, &size);
	if (!out)
		return NULL;
	fprintf(out, "Commands:\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name,
			commands[i]->summary);
	fprintf(out, "\n'uffdmr COMMAND --help' tells the options of one.");
	fclose(out);
	return help;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct choice *choice = state->input;
	size_t i;

	switch (key) {
	case ARGP_KEY_ARG:
		for (i = 0; i < ARRAY_SIZE(commands); i++)
			if (!strcmp(arg, commands[i]->name))
				choice->command = commands[i];
		if (!choice->command)
			argp_failure(state, STATUS_USAGE, 0,
				     "no command '%s' (see --help)", arg);
		choice->first = state->next - 1;
		/* The rest is the command's. */
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_failure(state, STATUS_USAGE, 0,
			     "which command? (see --help)");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "COMMAND [OPTION...]",
		.doc = "RDMA into memory whose pages userfaultfd supplies\v",
		.help_filter = help_filter,
	};
	struct choice choice = { 0 };
	char name[64];

	/* Messages begin with the name alone, wherever it is installed. */
	argv[0] = "uffdmr";
	argp_err_exit_status = STATUS_USAGE;
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &choice))
		return STATUS_ERROR;
	snprintf(name, sizeof(name), "uffdmr %s", choice.command->name);
	argv[choice.first] = name;
	return choice.command->run(argc - choice.first, argv + choice.first);
}
