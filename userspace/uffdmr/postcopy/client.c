// SPDX-License-Identifier: GPL-2.0
/*
 * A client of the table: one operation after another, by one-sided RDMA, to whichever
 * server has the workload.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"

#define TRY		(3 * NSEC_PER_SEC)	/* to connect to one */
/* Nobody has the workload: between two tries passes a part of the time since the first. */
#define PAUSE_PART	8
#define PAUSE_LEAST	(5 * NSEC_PER_MSEC)
#define PAUSE_MOST	(250 * NSEC_PER_MSEC)
#define TORN_MOST	64	/* times that a record is read again */
#define REFUSED_MOST	10	/* operations, with none between them that was not */
#define LOOK_EVERY	(100 * NSEC_PER_MSEC)
#define LONGER		NSEC_PER_SEC	/* after the move is complete */

/* --- connections */

void client_disconnect(struct client *client)
{
	if (client->mr)
		ibv_dereg_mr(client->mr);
	client->mr = NULL;
	link_close(&client->link);
}

static bool over(const struct client *client)
{
	return client->all->failed || now_ns() > client->all->deadline;
}

/* Another client's failure is told by that. */
static int given_up(struct client *client, const char *why)
{
	return client->all->failed ? -ECANCELED :
	       fail(&client->failure, ETIMEDOUT, "%s", why);
}

static int check_table(struct client *client)
{
	size_t length = client->link.grant.length;

	if (length < TABLE_MIN || length > TABLE_MAX ||
	    (client->length && client->length != length))
		return fail(&client->failure, EPROTO,
			    "a server has a table of %zu bytes", length);
	client->length = length;
	client->map = table_map(length);
	return 0;
}

/* Returns 0, -EAGAIN, or what will not pass. */
static int try_server(struct client *client, size_t server)
{
	const struct postcopy_options *options = client->all->options;
	struct link_ask ask = {
		.purpose = LINK_CLIENT,
		.client = client->number,
		.nonce = client->all->nonce,
	};
	struct failure why = { 0 };
	int err;

	err = link_open(&client->link, options->addresses[server],
			options->port, &ask, 1, now_ns() + TRY, &why);
	if (err == -EBUSY || err == -EPROTO)
		return fail(&client->failure, 0, "%s: %s",
			    options->addresses[server], why.text);
	if (err)
		return -EAGAIN;
	client->server = server;
	client->mr = ibv_reg_mr(client->link.pd, client->buffer, CLIENT_BUFFER,
				IBV_ACCESS_LOCAL_WRITE);
	err = client->mr ? check_table(client) :
			   fail(&client->failure, errno, "cannot register memory");
	if (err)
		client_disconnect(client);
	return err;
}

static void pause_since(uint64_t start)
{
	uint64_t ns = (now_ns() - start) / PAUSE_PART;

	if (ns < PAUSE_LEAST)
		ns = PAUSE_LEAST;
	if (ns > PAUSE_MOST)
		ns = PAUSE_MOST;
	poll(NULL, 0, ns / NSEC_PER_MSEC);
}

int client_connect(struct client *client)
{
	size_t n = client->all->options->n_addresses, i;
	uint64_t start = now_ns();
	int err = 0;

	while (!over(client)) {
		for (i = 0; i < n; i++) {
			err = try_server(client, (client->server + i) % n);
			if (err != -EAGAIN)
				return err;
		}
		pause_since(start);
	}
	return given_up(client, "no server has the workload");
}

/* --- one request */

static int post(struct client *client, struct ibv_send_wr *wr, size_t length)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)client->buffer,
		.length = length,
		.lkey = client->mr->lkey,
	};
	struct ibv_send_wr *bad;

	wr->sg_list = &sge;
	wr->num_sge = 1;
	wr->send_flags = IBV_SEND_SIGNALED;
	return ibv_post_send(client->link.id->qp, wr, &bad) ? -ECONNRESET : 0;
}

/* A page that is missing is waited for as long as it takes. */
static int wait_completion(struct client *client, struct ibv_wc *wc)
{
	struct link *link = &client->link;
	struct pollfd fds[] = {
		{ .fd = link->channel->fd, .events = POLLIN },
		{ .fd = link->events->fd, .events = POLLIN },
	};
	struct ibv_cq *cq;
	void *context;
	int n;

	for (;;) {
		n = link_poll(link, wc);
		if (n)
			return n < 0 ? -ECONNRESET : 0;
		poll(fds, 2, 100);
		if (fds[0].revents &&
		    !ibv_get_cq_event(link->channel, &cq, &context))
			ibv_ack_cq_events(cq, 1);
		if (fds[1].revents && link_ended(link)) {
			/* It is most likely the next one that has the workload now. */
			client->server++;
			client->server %= client->all->options->n_addresses;
			return -ECONNRESET;
		}
		if (over(client))
			return given_up(client, "an operation does not come to its end");
	}
}

static int request(struct client *client, struct ibv_send_wr *wr, size_t length)
{
	struct ibv_wc wc;
	int err;

	err = post(client, wr, length);
	if (!err)
		err = wait_completion(client, &wc);
	if (err)
		return err;
	if (wc.status == IBV_WC_SUCCESS) {
		client->refused = 0;
		return 0;
	}
	/*
	 * The memory of a server that dies may go before its connections. Of one that
	 * lives no access is refused.
	 */
	if (wc.status != IBV_WC_RETRY_EXC_ERR && wc.status != IBV_WC_WR_FLUSH_ERR &&
	    ++client->refused == REFUSED_MOST)
		return fail(&client->failure, 0, "an operation failed: %s",
			    ibv_wc_status_str(wc.status));
	return -ECONNRESET;
}

static int transfer(struct client *client, enum ibv_wr_opcode opcode,
		    size_t offset, size_t length)
{
	struct ibv_send_wr wr = {
		.opcode = opcode,
		.wr.rdma = {
			.remote_addr = client->link.grant.addr + offset,
			.rkey = client->link.grant.rkey,
		},
	};

	return request(client, &wr, length);
}

static int atomic(struct client *client, enum ibv_wr_opcode opcode,
		  size_t offset, uint64_t compare_add, uint64_t swap)
{
	struct ibv_send_wr wr = {
		.opcode = opcode,
		.wr.atomic = {
			.remote_addr = client->link.grant.addr + offset,
			.compare_add = compare_add,
			.swap = swap,
			.rkey = client->link.grant.rkey,
		},
	};

	return request(client, &wr, sizeof(uint64_t));
}

int client_read(struct client *client, size_t offset, size_t length)
{
	return transfer(client, IBV_WR_RDMA_READ, offset, length);
}

static uint64_t word(const struct client *client)
{
	uint64_t value;

	memcpy(&value, client->buffer, sizeof(value));
	return value;
}

static size_t record_at(const struct client *client, uint64_t key)
{
	return client->map.records + key * sizeof(struct record);
}

static size_t counter_at(const struct client *client)
{
	return client->map.counters + client->number * TABLE_LINE;
}

static size_t slot_at(const struct client *client, uint64_t slot)
{
	return client->map.slots + slot * TABLE_LINE;
}

/* --- operations */

static uint64_t next_random(struct client *client)
{
	uint64_t x = client->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	client->random = x;
	return x;
}

static void completed(struct client *client)
{
	struct clients *all = client->all;
	uint64_t now = now_ns(), gap;
	size_t bucket = (now - all->start) / BUCKET_NS;

	if (bucket < all->n_buckets)
		all->buckets[bucket]++;
	if (client->switched) {
		gap = now - client->switched;
		if (gap > client->gap)
			client->gap = gap;
		client->switched = 0;
	}
	client->last = now;
}

/* It goes on, and is told in the end. */
__printf(2, 3)
static void wrong(struct client *client, const char *fmt, ...)
{
	va_list ap;

	if (!client->wrong++) {
		va_start(ap, fmt);
		vsnprintf(client->first_wrong, sizeof(client->first_wrong), fmt,
			  ap);
		va_end(ap);
	}
}

static void wrong_record(struct client *client, uint64_t key)
{
	const struct record *record = client->buffer;

	if (!record_valid(record, key))
		wrong(client, "record %" PRIu64 " was broken", key);
	else
		wrong(client, "record %" PRIu64 " had version %" PRIu64 ", and %" PRIu64 " was acknowledged",
		      key, record->version, *ledger_version(&client->ledger, key));
}

static void wrong_counter(struct client *client)
{
	wrong(client, "the counter of client %u was %" PRIu64 ", and %" PRIu64 " was acknowledged",
	      client->number, word(client), client->ledger.now.counter);
}

/*
 * A record of another client may be written while it is read. One's own is always
 * whole, and what was acknowledged last.
 */
static int op_read(struct client *client)
{
	const struct record *record = client->buffer;
	uint64_t key = next_random(client) % client->map.n_records;
	bool own = ledger_owns(&client->ledger, key);
	int tries, err;

	for (tries = 0; tries < TORN_MOST; tries++) {
		err = client_read(client, record_at(client, key),
				  sizeof(*record));
		if (err)
			return err;
		if (own || record_valid(record, key))
			break;
		client->torn++;
	}
	if (!record_valid(record, key) ||
	    (own && record->version != *ledger_version(&client->ledger, key)))
		wrong_record(client, key);
	return 0;
}

static int op_write(struct client *client)
{
	struct ledger *ledger = &client->ledger;
	uint64_t key = ledger_key(ledger, next_random(client) % ledger->keys);
	uint64_t *version = ledger_version(ledger, key);
	int err;

	record_make(client->buffer, key, *version + 1);
	ledger->doubt = DOUBT_WRITE;
	ledger->doubt_at = key;
	err = transfer(client, IBV_WR_RDMA_WRITE, record_at(client, key),
		       sizeof(struct record));
	if (err)
		return err;
	++*version;
	ledger->doubt = DOUBT_NONE;
	return 0;
}

static int op_add(struct client *client)
{
	struct ledger *ledger = &client->ledger;
	int err;

	ledger->doubt = DOUBT_ADD;
	err = atomic(client, IBV_WR_ATOMIC_FETCH_AND_ADD, counter_at(client), 1,
		     0);
	if (err)
		return err;
	if (word(client) != ledger->now.counter)
		wrong_counter(client);
	ledger->now.counter = word(client) + 1;
	ledger->doubt = DOUBT_NONE;
	return 0;
}

static int op_swap(struct client *client)
{
	struct ledger *ledger = &client->ledger;
	uint64_t slot = next_random(client) % TABLE_SLOTS;
	uint64_t seen = client->slots[slot];
	uint64_t next = (slot_swaps(seen) + 1) << SLOT_CLIENT_BITS |
			client->number;
	int err;

	ledger->doubt = DOUBT_SWAP;
	ledger->doubt_at = slot;
	err = atomic(client, IBV_WR_ATOMIC_CMP_AND_SWP, slot_at(client, slot),
		     seen, next);
	if (err)
		return err;
	if (word(client) == seen) {
		ledger->now.swaps[slot]++;
		client->slots[slot] = next;
	} else {
		/* Another was faster. */
		client->slots[slot] = word(client);
	}
	ledger->doubt = DOUBT_NONE;
	return 0;
}

/* --- what was not acknowledged */

static int resolve_write(struct client *client)
{
	struct ledger *ledger = &client->ledger;
	const struct record *record = client->buffer;
	uint64_t key = ledger->doubt_at;
	uint64_t *version = ledger_version(ledger, key);
	int err;

	err = client_read(client, record_at(client, key), sizeof(*record));
	if (err)
		return err;
	if (record_valid(record, key) && record->version == *version + 1)
		*version = record->version;
	else if (!record_valid(record, key) || record->version != *version)
		wrong_record(client, key);
	return 0;
}

static int resolve_add(struct client *client)
{
	struct ledger *ledger = &client->ledger;
	uint64_t counter = ledger->now.counter;
	int err;

	err = client_read(client, counter_at(client), sizeof(uint64_t));
	if (err)
		return err;
	if (word(client) != counter && word(client) != counter + 1)
		wrong_counter(client);
	ledger->now.counter = word(client);
	return 0;
}

static int resolve(struct client *client)
{
	struct ledger *ledger = &client->ledger;
	int err = 0;

	switch (ledger->doubt) {
	case DOUBT_NONE:
		return 0;
	case DOUBT_WRITE:
		err = resolve_write(client);
		break;
	case DOUBT_ADD:
		err = resolve_add(client);
		break;
	case DOUBT_SWAP:
		/* Others may have swapped since. */
		ledger->doubt_swaps[ledger->doubt_at]++;
		break;
	}
	if (!err)
		ledger->doubt = DOUBT_NONE;
	return err;
}

/* --- the thread */

/* The connection is new: where is it to, and what of the last one came there? */
static int arrive(struct client *client)
{
	const struct link_grant *grant = &client->link.grant;
	struct ledger *ledger = &client->ledger;
	bool moves = ledger->generation &&
		     ledger->generation != grant->generation;
	int err = 0;

	if (!ledger_gone_back(ledger, grant->generation, grant->parent))
		err = resolve(client);
	if (!err && ledger_move(ledger, grant->generation, grant->parent))
		err = fail(&client->failure, 0,
			   "a server has a workload that is not the one of before");
	/* What is completed next ends the gap. */
	if (!err && moves)
		client->switched = client->last;
	return err;
}

static int connect_again(struct client *client)
{
	int err;

	err = client_connect(client);
	if (!err)
		err = arrive(client);
	return err;
}

/* The header says when the move is complete. */
static int look(struct client *client)
{
	const struct table_header *header = client->buffer;
	struct clients *all = client->all;
	int err;

	client->next_look = now_ns() + LOOK_EVERY;
	err = client_read(client, 0, sizeof(*header));
	if (err)
		return err;
	if (!table_valid(header, client->length))
		return fail(&client->failure, 0,
			    "the header of the table is broken");
	if (header->complete && all->stop_at == UINT64_MAX)
		all->stop_at = now_ns() + LONGER;
	return 0;
}

/* Whether it is time for the next operation; if not it is a bit later now. */
static bool due(struct client *client)
{
	const struct postcopy_options *options = client->all->options;
	uint64_t every, now = now_ns(), left;
	struct timespec pause;

	if (!options->ops)
		return true;
	every = options->clients * NSEC_PER_SEC / options->ops;
	if (now < client->next_op) {
		left = client->next_op - now;
		pause.tv_sec = 0;
		pause.tv_nsec = left < LOOK_EVERY ? left : LOOK_EVERY;
		nanosleep(&pause, NULL);
		return false;
	}
	/* What was missed is not made up for. */
	client->next_op += every;
	if (client->next_op < now)
		client->next_op = now;
	return true;
}

static int operate(struct client *client)
{
	static int (*const operations[OPS])(struct client *client) = {
		[OP_READ] = op_read,
		[OP_WRITE] = op_write,
		[OP_ADD] = op_add,
		[OP_SWAP] = op_swap,
	};
	/* One operation in sixteen is an atomic. */
	unsigned int die = next_random(client) >> 32 & 31;
	enum op op = die == 31 ? OP_SWAP : die == 30 ? OP_ADD :
		     die > 17 ? OP_WRITE : OP_READ;
	int err = 0;

	if (!client->number && !client->all->options->time_ns &&
	    now_ns() > client->next_look)
		err = look(client);
	if (err || !due(client))
		return err;
	err = operations[op](client);
	if (err)
		return err;
	client->ops[op]++;
	completed(client);
	return 0;
}

void *client_work(void *arg)
{
	struct client *client = arg;
	int err = 0;

	client->last = now_ns();
	while (!err && now_ns() < client->all->stop_at && !over(client)) {
		err = client->link.id ? operate(client) : connect_again(client);
		if (err != -ECONNRESET)
			continue;
		client_disconnect(client);
		client->reconnects++;
		err = 0;
	}
	/* What is in doubt now can be found out, but not later. */
	while (!err && client->ledger.doubt && !over(client)) {
		err = client->link.id ? resolve(client) : connect_again(client);
		if (err != -ECONNRESET)
			continue;
		client_disconnect(client);
		err = 0;
	}
	if (err)
		client->all->failed = true;
	return NULL;
}
