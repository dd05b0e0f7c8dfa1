/* SPDX-License-Identifier: GPL-2.0 */
#ifndef STAT_H
#define STAT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "failure.h"
#include "published.h"

/*
 * What a process publishes at this moment: at most @max slots; returns how many, or
 * a negative errno: -ESRCH if there is no such process (any more).
 */
int stat_read(pid_t pid, struct published *slots, int max,
	      struct failure *failure);

/*
 * Show them. @before is what was shown @seconds ago, for rates; of the same slots, as far
 * as it has them.
 */
void stat_screen(const struct published *slots, int n,
		 const struct published *before, int n_before, double seconds);
void stat_lines(const struct published *slots, int n, bool heading);
int stat_json(const struct published *slots, int n);

#endif
