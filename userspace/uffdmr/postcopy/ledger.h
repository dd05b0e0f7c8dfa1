/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LEDGER_H
#define LEDGER_H

/*
 * What a client knows of the table for certain: it alone writes some of it, and this
 * is what the table has acknowledged. It belongs to the client's thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "table.h"

/* What the last operation was, if it was not acknowledged. */
enum doubt { DOUBT_NONE, DOUBT_WRITE, DOUBT_ADD, DOUBT_SWAP };

struct ledger_page {
	uint64_t *versions;		/* of its keys, in order */
	uint64_t counter;
	uint64_t swaps[TABLE_SLOTS];	/* that it has made itself */
};

struct ledger {
	unsigned int client, clients;
	size_t keys;
	struct ledger_page now;
	/* When the workload left generation @parent. */
	struct ledger_page then;
	uint64_t generation, parent;
	enum doubt doubt;
	uint64_t doubt_at;		/* a key or a slot */
	uint64_t doubt_swaps[TABLE_SLOTS];	/* nobody can tell any more */
	uint64_t lost;			/* acknowledged writes that were taken back */
};

int ledger_open(struct ledger *ledger, unsigned int client, unsigned int clients,
		size_t n_records, struct failure *failure);
void ledger_close(struct ledger *ledger);

/* Its key @index, and whether @key is one of its own. */
uint64_t ledger_key(const struct ledger *ledger, size_t index);
bool ledger_owns(const struct ledger *ledger, uint64_t key);
uint64_t *ledger_version(struct ledger *ledger, uint64_t key);

/* Whether a table that went on from @parent has gone back behind this client. */
bool ledger_gone_back(const struct ledger *ledger, uint64_t generation,
		      uint64_t parent);

/*
 * The table is at @generation now, which went on from @parent; nothing is in doubt, if
 * it has not gone back. Returns 0, or -ESTALE if that cannot follow on what this client
 * has seen.
 */
int ledger_move(struct ledger *ledger, uint64_t generation, uint64_t parent);

#endif
