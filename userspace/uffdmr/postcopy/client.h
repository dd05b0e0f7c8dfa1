/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdatomic.h>

#include "ledger.h"
#include "link.h"
#include "postcopy.h"

#define BUCKET_NS	(50 * NSEC_PER_MSEC)
#define CLIENT_BUFFER	(256UL << 10)

enum op { OP_READ, OP_WRITE, OP_ADD, OP_SWAP, OPS };

/* What all clients of a process share. */
struct clients {
	const struct postcopy_options *options;
	uint64_t nonce;
	uint64_t start, deadline;
	size_t n_buckets;
	_Atomic uint32_t *buckets;	/* operations completed in each */
	_Atomic uint64_t stop_at;	/* no operation begins after it */
	_Atomic bool failed;
};

/* A client. It belongs to its thread, or to who has joined that. */
struct client {
	struct clients *all;
	unsigned int number;
	struct ledger ledger;
	struct link link;
	struct ibv_mr *mr;
	size_t server;		/* that it is connected to, or is to be tried first */
	void *buffer;
	size_t length;		/* of the table */
	struct table_map map;
	uint64_t random;
	uint64_t slots[TABLE_SLOTS];	/* what was seen last in each */
	uint64_t last;		/* when an operation was completed last */
	uint64_t switched;	/* what that was before the workload moved, or 0 */
	uint64_t gap;		/* the longest over a move */
	uint64_t ops[OPS];
	uint64_t reconnects, torn;
	uint64_t next_op, next_look;
	unsigned int refused;	/* operations, one after the other */
	uint64_t wrong;		/* of what was read, not what is known to be there */
	char first_wrong[256];
	struct failure failure;
};

/*
 * Find the server that has the workload, and connect. Returns 0 or a negative errno
 * that will not pass.
 */
int client_connect(struct client *client);
void client_disconnect(struct client *client);

/*
 * Read @length bytes of the table into @client->buffer. 0, -ECONNRESET: the connection is
 * lost; another errno will not pass.
 */
int client_read(struct client *client, size_t offset, size_t length);

/* Operate until the end. The argument is the client. */
void *client_work(void *arg);

/* --- scan.c: all of the table, without other clients */

struct verdict {
	uint64_t records;
	uint64_t broken;	/* their checksum is wrong */
	uint64_t stale;		/* older than what was acknowledged */
	uint64_t strange;	/* newer */
	uint64_t counters, slots;	/* wrong ones */
	uint64_t seen;		/* what was wrong when clients read it before */
	char first[256];	/* the first that is wrong */
};

/*
 * Both read over the first client's connection, and return 0, -ESTALE if the workload has
 * moved meanwhile, or a negative errno that its failure describes. What is there is what
 * the ledgers of @n clients say then.
 */
int scan_learn(struct client *clients, unsigned int n);

/* What is there has to be what they say. */
int scan_check(struct client *clients, unsigned int n, struct verdict *verdict);

static inline uint64_t verdict_wrong(const struct verdict *verdict)
{
	return verdict->seen + verdict->broken + verdict->stale + verdict->strange +
	       verdict->counters + verdict->slots;
}

/* Of what a slot holds: how often it was swapped, and by whom last. */
#define SLOT_CLIENT_BITS	8
static inline uint64_t slot_swaps(uint64_t slot)
{
	return slot >> SLOT_CLIENT_BITS;
}

#endif
