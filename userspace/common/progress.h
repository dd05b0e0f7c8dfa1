/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * One line on stderr that says how far something is, rewritten in place. Nothing at
 * all is written where stderr is no terminal.
 */
struct progress {
	const char *what;
	bool shown;
	uint64_t next;		/* when it may be written again */
};

void progress_start(struct progress *progress, const char *what);

/* Call it as often as you like: @done of @total, in whatever unit. */
void progress_at(struct progress *progress, uint64_t done, uint64_t total);

/* The line goes. */
void progress_end(struct progress *progress);

#endif
