/* SPDX-License-Identifier: GPL-2.0 */
#ifndef STORE_H
#define STORE_H

/*
 * The memory of a source: a table, and a page in front of it that says what the source was
 * doing. In a file it outlives a source that is killed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "table.h"

enum store_phase {
	STORE_RUNNING = 1,	/* the workload is here */
	STORE_MOVED,		/* it is at a destination, which may need pages */
	STORE_DONE,		/* and has them all */
};

struct store_meta {
	uint64_t magic;
	uint64_t length;	/* of the table */
	uint64_t phase;
	uint64_t session;	/* of the move */
	uint64_t generation, parent;
	uint64_t clients;	/* that there were when it stopped */
	struct cpu_state state;
};

struct store {
	struct store_meta *meta;
	void *table;
	size_t length;
};

/*
 * @path NULL: memory without a name. What the file had is gone, unless a destination may
 * need it: then it is a failure.
 */
int store_new(struct store *store, const char *path, size_t length,
	      struct failure *failure);

/* What a source that was killed has left. */
int store_resume(struct store *store, const char *path, struct failure *failure);

void store_close(struct store *store);

#endif
