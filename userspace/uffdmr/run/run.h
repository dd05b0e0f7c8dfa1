/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RUN_H
#define RUN_H

#include <stdbool.h>

#include "failure.h"
#include "preload/config.h"
#include "published.h"

struct run_options {
	struct preload_config config;
	const char *json;	/* a file for the report, or NULL */
	bool quiet;
	char **program;		/* and its arguments */
};

/*
 * Run it; *@exit_status is then its own, or 128 and the signal that ended it. 0, or a
 * negative errno if something of ours is missing. What cannot be run has the status 127.
 */
int run_program(const struct run_options *options, int *exit_status,
		struct failure *failure);

/* What became of its memory. */
int run_report(const struct run_options *options,
	       const struct published_file *file, int exit_status,
	       struct failure *failure);

#endif
