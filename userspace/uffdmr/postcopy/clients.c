// SPDX-License-Identifier: GPL-2.0
/* The process of the clients: starts them, checks what they leave, and reports. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "wire.h"

struct run {
	struct clients all;
	struct client *clients;
	pthread_t *threads;
	unsigned int n, started;
	uint64_t finished;
	struct verdict verdict;
	struct failure *failure;
};

/* What all of them have done. */
struct totals {
	uint64_t ops[OPS], operations;
	uint64_t reconnects, torn, gap, lost;
};

static struct totals add_up(const struct run *run)
{
	struct totals totals = { 0 };
	unsigned int i, op;

	for (i = 0; i < run->n; i++) {
		const struct client *client = &run->clients[i];

		for (op = 0; op < OPS; op++)
			totals.ops[op] += client->ops[op];
		totals.reconnects += client->reconnects;
		totals.torn += client->torn;
		totals.lost += client->ledger.lost;
		if (client->gap > totals.gap)
			totals.gap = client->gap;
	}
	for (op = 0; op < OPS; op++)
		totals.operations += totals.ops[op];
	return totals;
}

static int keep_failure(struct run *run, const struct client *client)
{
	return fail(run->failure, 0, "%s", client->failure.text);
}

/* --- the clients */

static int make_clients(struct run *run)
{
	unsigned int i;

	run->clients = calloc(run->n, sizeof(*run->clients));
	run->threads = calloc(run->n, sizeof(*run->threads));
	run->all.buckets = calloc(run->all.n_buckets, sizeof(*run->all.buckets));
	if (!run->clients || !run->threads || !run->all.buckets)
		return fail(run->failure, ENOMEM, "no memory");
	for (i = 0; i < run->n; i++) {
		struct client *client = &run->clients[i];

		client->all = &run->all;
		client->number = i;
		client->random = 0x2545f4914f6cdd1dULL * (i + 1);
		client->buffer = aligned_alloc(sysconf(_SC_PAGESIZE),
					       CLIENT_BUFFER);
		if (!client->buffer)
			return fail(run->failure, ENOMEM, "no memory");
	}
	return 0;
}

static int learn(struct run *run)
{
	struct client *first = &run->clients[0];
	unsigned int i;
	int err;

	if (client_connect(first))
		return keep_failure(run, first);
	for (i = 0; i < run->n; i++) {
		struct client *client = &run->clients[i];

		client->length = first->length;
		client->map = first->map;
		client->server = first->server;
		err = ledger_open(&client->ledger, i, run->n,
				  first->map.n_records, run->failure);
		if (err)
			return err;
	}
	do {
		err = scan_learn(run->clients, run->n);
	} while (err == -ESTALE);
	return err ? keep_failure(run, first) : 0;
}

static int work(struct run *run)
{
	unsigned int i;
	int err = 0;

	run->all.start = now_ns();
	if (run->all.options->time_ns)
		run->all.stop_at = run->all.start + run->all.options->time_ns;
	for (i = 0; i < run->n && !err; i++) {
		err = pthread_create(&run->threads[i], NULL, client_work,
				     &run->clients[i]);
		run->started += !err;
	}
	if (err) {
		run->all.failed = true;
		fail(run->failure, err, "cannot start a thread");
	}
	for (i = 0; i < run->started; i++)
		pthread_join(run->threads[i], NULL);
	run->finished = now_ns();
	for (i = 0; i < run->n; i++)
		if (run->clients[i].failure.text[0])
			return keep_failure(run, &run->clients[i]);
	return run->all.failed ? -EIO : 0;
}

static int check(struct run *run)
{
	unsigned int i;
	int err;

	/* The time for what they did is over, that for the check is not. */
	run->all.deadline += run->all.options->timeout_ns;
	for (i = 0; i < run->n; i++)
		client_disconnect(&run->clients[i]);
	do {
		err = scan_check(run->clients, run->n, &run->verdict);
	} while (err == -ESTALE);
	if (err)
		return keep_failure(run, &run->clients[0]);
	client_disconnect(&run->clients[0]);
	for (i = 0; i < run->n; i++) {
		const struct client *client = &run->clients[i];

		if (client->wrong && !run->verdict.first[0])
			memcpy(run->verdict.first, client->first_wrong,
			       sizeof(run->verdict.first));
		run->verdict.seen += client->wrong;
	}
	return 0;
}

/* --- reports */

/* The last of them was not a whole one. */
static size_t used_buckets(const struct run *run)
{
	size_t used = (run->finished - run->all.start) / BUCKET_NS + 1;

	return used < run->all.n_buckets ? used : run->all.n_buckets;
}

/* The server has its own, which this is part of. It may have to do with the source first. */
static int tell_server(struct run *run, const struct totals *totals)
{
	const struct postcopy_options *options = run->all.options;
	const char *address = options->addresses[run->clients[0].server];
	size_t used = used_buckets(run), i;
	struct wire_message answer;
	uint64_t *words;
	int fd, err;

	words = calloc(RESULT_WORDS + used, sizeof(*words));
	if (!words)
		return fail(run->failure, ENOMEM, "no memory");
	words[RESULT_START] = run->all.start;
	words[RESULT_BUCKET_NS] = BUCKET_NS;
	words[RESULT_CLIENTS] = run->n;
	words[RESULT_OPERATIONS] = totals->operations;
	words[RESULT_WRITES] = totals->ops[OP_WRITE];
	words[RESULT_GAP_NS] = totals->gap;
	words[RESULT_LOST] = totals->lost;
	words[RESULT_WRONG] = verdict_wrong(&run->verdict);
	for (i = 0; i < used; i++)
		words[RESULT_WORDS + i] = run->all.buckets[i];
	fd = wire_connect(address, options->port, run->all.deadline,
			  run->failure);
	words[RESULT_NOW] = now_ns();
	err = fd;
	if (fd >= 0) {
		err = wire_ask(fd, WIRE_RESULT, words, RESULT_WORDS + used,
			       WIRE_NOTED, 0, &answer, run->all.deadline,
			       run->failure);
		if (!err)
			free(answer.words);
		close(fd);
	}
	free(words);
	return err;
}

static double seconds(const struct run *run)
{
	return (run->finished - run->all.start) / 1e9;
}

static void report_text(const struct run *run, const struct totals *totals)
{
	const struct verdict *verdict = &run->verdict;

	printf("clients         %u, for %.1f s, %" PRIu64 " reconnects\n", run->n,
	       seconds(run), totals->reconnects);
	printf("operations      %" PRIu64 ", %.0f a second\n", totals->operations,
	       totals->operations / seconds(run));
	printf("READ, WRITE     %" PRIu64 ", %" PRIu64 "\n", totals->ops[OP_READ],
	       totals->ops[OP_WRITE]);
	printf("atomics         %" PRIu64 " FETCH_ADD, %" PRIu64 " CMP_SWAP\n",
	       totals->ops[OP_ADD], totals->ops[OP_SWAP]);
	printf("downtime        %.3f ms (the longest that a client was without a server)\n",
	       totals->gap / 1e6);
	printf("read again      %" PRIu64 " times, as another client was writing\n",
	       totals->torn);
	printf("seen wrong      %" PRIu64 " times before the end\n",
	       verdict->seen);
	printf("records         %" PRIu64 "\n", verdict->records);
	printf("wrong records   %" PRIu64 " broken, %" PRIu64 " stale, %" PRIu64 " too new\n",
	       verdict->broken, verdict->stale, verdict->strange);
	if (verdict_wrong(verdict))
		printf("verdict         FAIL: %s\n", verdict->first);
	else if (totals->lost)
		printf("verdict         FAIL: %" PRIu64 " acknowledged changes went with a destination\n",
		       totals->lost);
	else
		printf("verdict         PASS: every acknowledged change is there\n");
}

static json_t *json_verdict(const struct verdict *verdict)
{
	return json_pack("{sI sI sI sI sI sI sI}",
			 "records", (json_int_t)verdict->records,
			 "broken", (json_int_t)verdict->broken,
			 "stale", (json_int_t)verdict->stale,
			 "too_new", (json_int_t)verdict->strange,
			 "seen_before", (json_int_t)verdict->seen,
			 "counters", (json_int_t)verdict->counters,
			 "slots", (json_int_t)verdict->slots);
}

static int report_json(const struct run *run, const struct totals *totals)
{
	const struct verdict *verdict = &run->verdict;
	json_t *buckets = json_array(), *root;
	size_t used = used_buckets(run), i;
	int err;

	for (i = 0; i < used; i++)
		json_array_append_new(buckets,
				      json_integer(run->all.buckets[i]));
	root = json_pack("{si sI s{sI sI sI sI} sI sI sI sI so s{sI so} sb}",
			 "clients", (int)run->n,
			 "time", (json_int_t)(run->finished - run->all.start),
			 "operations",
			 "read", (json_int_t)totals->ops[OP_READ],
			 "write", (json_int_t)totals->ops[OP_WRITE],
			 "fetch_add", (json_int_t)totals->ops[OP_ADD],
			 "cmp_swap", (json_int_t)totals->ops[OP_SWAP],
			 "reconnects", (json_int_t)totals->reconnects,
			 "downtime", (json_int_t)totals->gap,
			 "read_again", (json_int_t)totals->torn,
			 "lost", (json_int_t)totals->lost,
			 "check", json_verdict(verdict),
			 "throughput",
			 "bucket", (json_int_t)BUCKET_NS,
			 "operations", buckets,
			 "pass", !totals->lost && !verdict_wrong(verdict));
	if (!root)
		return -ENOMEM;
	err = json_dumpf(root, stdout, JSON_INDENT(2));
	json_decref(root);
	putchar('\n');
	return err;
}

static int print_report(struct run *run, const struct totals *totals)
{
	int err = 0;

	if (run->all.options->json)
		err = report_json(run, totals);
	else
		report_text(run, totals);
	if (err || fflush(stdout) || ferror(stdout))
		return fail(run->failure, 0, "cannot write the report");
	return 0;
}

/* --- from begin to end */

static void clean_up(struct run *run)
{
	unsigned int i;

	for (i = 0; i < run->n && run->clients; i++) {
		client_disconnect(&run->clients[i]);
		ledger_close(&run->clients[i].ledger);
		free(run->clients[i].buffer);
	}
	free(run->clients);
	free(run->threads);
	free(run->all.buckets);
}

static int work_and_check(struct run *run, struct totals *totals)
{
	int err;

	err = make_clients(run);
	if (!err)
		err = learn(run);
	if (!err) {
		postcopy_say("%u clients begin", run->n);
		client_disconnect(&run->clients[0]);
		err = work(run);
	}
	if (!err)
		err = check(run);
	if (err)
		return err;
	*totals = add_up(run);
	err = print_report(run, totals);
	return err ? err : tell_server(run, totals);
}

int client_run(const struct postcopy_options *options, struct failure *failure)
{
	struct run run = {
		.all = {
			.options = options,
			.deadline = now_ns() + options->timeout_ns,
			.n_buckets = options->timeout_ns / BUCKET_NS + 1,
			.stop_at = UINT64_MAX,
		},
		.n = options->clients,
		.failure = failure,
	};
	struct totals totals = { 0 };
	int err;

	if (getrandom(&run.all.nonce, sizeof(run.all.nonce), 0) < 0) {
		fail(failure, errno, "no random number");
		return STATUS_ERROR;
	}
	err = work_and_check(&run, &totals);
	clean_up(&run);
	if (err)
		return STATUS_ERROR;
	return totals.lost || verdict_wrong(&run.verdict) ? STATUS_WRONG :
							    STATUS_OK;
}
