// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"

int ledger_open(struct ledger *ledger, unsigned int client, unsigned int clients,
		size_t n_records, struct failure *failure)
{
	*ledger = (struct ledger){
		.client = client,
		.clients = clients,
		.keys = n_records / clients + (client < n_records % clients),
	};
	ledger->now.versions = calloc(ledger->keys + 1, sizeof(uint64_t));
	ledger->then.versions = calloc(ledger->keys + 1, sizeof(uint64_t));
	if (!ledger->now.versions || !ledger->then.versions)
		return fail(failure, ENOMEM, "no memory");
	return 0;
}

void ledger_close(struct ledger *ledger)
{
	free(ledger->now.versions);
	free(ledger->then.versions);
	*ledger = (struct ledger){ 0 };
}

uint64_t ledger_key(const struct ledger *ledger, size_t index)
{
	return index * ledger->clients + ledger->client;
}

bool ledger_owns(const struct ledger *ledger, uint64_t key)
{
	return key % ledger->clients == ledger->client;
}

uint64_t *ledger_version(struct ledger *ledger, uint64_t key)
{
	return &ledger->now.versions[key / ledger->clients];
}

static void copy(struct ledger *ledger, struct ledger_page *to,
		 const struct ledger_page *from)
{
	memcpy(to->versions, from->versions, ledger->keys * sizeof(uint64_t));
	to->counter = from->counter;
	memcpy(to->swaps, from->swaps, sizeof(to->swaps));
}

/* It goes on from where it was before the last move. */
static void take_back(struct ledger *ledger)
{
	size_t i;

	/* A version is a write. */
	for (i = 0; i < ledger->keys; i++)
		ledger->lost += ledger->now.versions[i] -
				ledger->then.versions[i];
	ledger->lost += ledger->now.counter - ledger->then.counter;
	for (i = 0; i < TABLE_SLOTS; i++)
		ledger->lost += ledger->now.swaps[i] - ledger->then.swaps[i];
	copy(ledger, &ledger->now, &ledger->then);
	/* What is in doubt was on its way to what is no more. */
	ledger->doubt = DOUBT_NONE;
}

bool ledger_gone_back(const struct ledger *ledger, uint64_t generation,
		      uint64_t parent)
{
	return ledger->generation && generation != ledger->generation &&
	       parent != ledger->generation && parent == ledger->parent;
}

int ledger_move(struct ledger *ledger, uint64_t generation, uint64_t parent)
{
	if (generation == ledger->generation)
		return 0;
	if (!ledger->generation || parent == ledger->generation)
		copy(ledger, &ledger->then, &ledger->now);
	else if (ledger_gone_back(ledger, generation, parent))
		take_back(ledger);
	else
		return -ESTALE;
	ledger->generation = generation;
	ledger->parent = parent;
	return 0;
}
