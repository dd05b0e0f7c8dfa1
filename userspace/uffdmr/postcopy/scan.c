// SPDX-License-Identifier: GPL-2.0
/* Reads all of the table, and compares it with what the clients know. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client.h"

#define RECORDS	(CLIENT_BUFFER / sizeof(struct record))

struct scan {
	struct client *clients;
	unsigned int n;
	uint64_t generation;
	struct verdict *verdict;	/* NULL: learn */
};

static int read_at(struct scan *scan, size_t offset, size_t length)
{
	struct client *client = scan->clients;
	int err;

	do {
		err = client->link.id ? 0 : client_connect(client);
		if (!err && client->link.grant.generation != scan->generation)
			return -ESTALE;
		if (!err)
			err = client_read(client, offset, length);
		if (err == -ECONNRESET)
			client_disconnect(client);
	} while (err == -ECONNRESET);
	return err;
}

__printf(2, 3)
static void note(struct verdict *verdict, const char *fmt, ...)
{
	va_list ap;

	if (verdict->first[0])
		return;
	va_start(ap, fmt);
	vsnprintf(verdict->first, sizeof(verdict->first), fmt, ap);
	va_end(ap);
}

static void judge_record(struct scan *scan, const struct record *record,
			 uint64_t key)
{
	struct verdict *verdict = scan->verdict;
	struct ledger *ledger = &scan->clients[key % scan->n].ledger;
	uint64_t *version = ledger_version(ledger, key);
	bool valid = record_valid(record, key);

	if (!verdict) {
		*version = record->version;
		return;
	}
	verdict->records++;
	if (valid && record->version == *version)
		return;
	if (!valid)
		verdict->broken++;
	else if (record->version < *version)
		verdict->stale++;
	else
		verdict->strange++;
	note(verdict, "record %" PRIu64 " is %s, version %" PRIu64 " was acknowledged last",
	     key, valid ? "another version" : "broken", *version);
}

static int scan_records(struct scan *scan)
{
	struct client *client = scan->clients;
	const struct record *records = client->buffer;
	uint64_t key, n, i;
	int err;

	for (key = 0; key < client->map.n_records; key += n) {
		n = client->map.n_records - key;
		if (n > RECORDS)
			n = RECORDS;
		err = read_at(scan,
			      client->map.records + key * sizeof(*records),
			      n * sizeof(*records));
		if (err)
			return err;
		for (i = 0; i < n; i++)
			judge_record(scan, &records[i], key + i);
	}
	return 0;
}

static uint64_t line(const struct client *client, size_t i)
{
	uint64_t value;

	memcpy(&value, (char *)client->buffer + i * TABLE_LINE, sizeof(value));
	return value;
}

static int scan_counters(struct scan *scan)
{
	struct client *reader = scan->clients;
	unsigned int i;
	int err;

	err = read_at(scan, reader->map.counters, TABLE_CLIENTS * TABLE_LINE);
	for (i = 0; i < scan->n && !err; i++) {
		uint64_t *want = &scan->clients[i].ledger.now.counter;
		uint64_t have = line(reader, i);

		if (!scan->verdict) {
			*want = have;
		} else if (have != *want) {
			scan->verdict->counters++;
			note(scan->verdict, "the counter of client %u is %" PRIu64 ", and %" PRIu64 " was acknowledged",
			     i, have, *want);
		}
	}
	return err;
}

/* Of swaps in doubt each may have been made or not. */
static void judge_slot(struct scan *scan, unsigned int slot, uint64_t have)
{
	uint64_t least = 0, doubt = 0;
	unsigned int i;

	for (i = 0; i < scan->n; i++) {
		least += scan->clients[i].ledger.now.swaps[slot];
		doubt += scan->clients[i].ledger.doubt_swaps[slot];
	}
	if (have >= least && have <= least + doubt)
		return;
	scan->verdict->slots++;
	note(scan->verdict, "slot %u was swapped %" PRIu64 " times, and %" PRIu64 " to %" PRIu64 " were acknowledged",
	     slot, have, least, least + doubt);
}

static int scan_slots(struct scan *scan)
{
	struct client *reader = scan->clients;
	unsigned int slot, i;
	int err;

	err = read_at(scan, reader->map.slots, TABLE_SLOTS * TABLE_LINE);
	for (slot = 0; slot < TABLE_SLOTS && !err; slot++) {
		uint64_t have = line(reader, slot);

		if (scan->verdict) {
			judge_slot(scan, slot, slot_swaps(have));
			continue;
		}
		/* Those of before count as the first client's. */
		scan->clients[0].ledger.now.swaps[slot] = slot_swaps(have);
		for (i = 0; i < scan->n; i++)
			scan->clients[i].slots[slot] = have;
	}
	return err;
}

static int run(struct scan *scan)
{
	int err;

	scan->generation = scan->clients[0].link.grant.generation;
	err = scan_records(scan);
	if (!err)
		err = scan_counters(scan);
	return err ? err : scan_slots(scan);
}

/* All of them know where the workload is. */
static int move_all(struct scan *scan)
{
	const struct link_grant *grant = &scan->clients[0].link.grant;
	unsigned int i;

	for (i = 0; i < scan->n; i++)
		if (ledger_move(&scan->clients[i].ledger, grant->generation,
				grant->parent))
			return fail(&scan->clients[0].failure, 0,
				    "a server has a workload that is not the one of before");
	return 0;
}

int scan_learn(struct client *clients, unsigned int n)
{
	struct scan scan = { .clients = clients, .n = n };
	int err = run(&scan);

	return err ? err : move_all(&scan);
}

int scan_check(struct client *clients, unsigned int n, struct verdict *verdict)
{
	struct scan scan = { .clients = clients, .n = n, .verdict = verdict };
	int err;

	*verdict = (struct verdict){ 0 };
	err = clients[0].link.id ? 0 : client_connect(&clients[0]);
	/* It may have gone back after they were through. */
	if (!err)
		err = move_all(&scan);
	return err ? err : run(&scan);
}
