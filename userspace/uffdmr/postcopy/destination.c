// SPDX-License-Identifier: GPL-2.0
/*
 * The destination: takes a workload over. One thread asks the source for what it takes
 * and looks after lost connections; the region's threads have the pages come.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "host.h"
#include "plot.h"
#include "progress.h"
#include "pull.h"
#include "report.h"

#define EXTENT		(32UL << 10)
#define BARE		200	/* READs that are measured */
#define TICK_MS		20
#define ANSWER		(30 * NSEC_PER_SEC)
#define TRY		(3 * NSEC_PER_SEC)	/* to connect again */
#define TRY_EVERY	(500 * NSEC_PER_MSEC)
/* Pre-copy ends when so little of the table is dirty: one part in as many. */
#define LITTLE		50

struct destination {
	const struct postcopy_options *options;
	struct failure *failure;
	struct move *move;
	uint64_t session;
	uint64_t deadline;
	int source;		/* messages */
	struct host host;
	struct pull *pull;	/* the region's */
	struct uffdmr *region;
	bool mine;		/* the workload, or nobody knows */
	uint64_t clients;	/* that were there when it stopped */
	uint64_t lost_since, next_try;
	struct progress progress;
};

static size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* --- messages to the source */

static int ask(struct destination *d, enum wire_type type, enum wire_type answer,
	       size_t n, struct wire_message *message, struct failure *failure)
{
	return wire_ask(d->source, type, NULL, 0, answer, n, message,
			now_ns() + ANSWER, failure);
}

/* One without words in the answer. */
static int tell(struct destination *d, enum wire_type type,
		enum wire_type answer, struct failure *failure)
{
	struct wire_message message = { 0 };
	int err = ask(d, type, answer, 0, &message, failure);

	free(message.words);
	return err;
}

static int greet(struct destination *d, uint64_t deadline,
		 struct failure *failure)
{
	uint64_t words[2] = { d->session, page_size() };
	struct wire_message message;
	int err;

	d->source = wire_connect(d->options->addresses[0], d->options->port,
				 deadline, failure);
	if (d->source < 0)
		return d->source;
	err = wire_ask(d->source, WIRE_HELLO, words, 2, WIRE_TABLE, 1, &message,
		       now_ns() + ANSWER, failure);
	if (err) {
		close(d->source);
		d->source = -1;
		return err;
	}
	d->move->length = message.words[0];
	free(message.words);
	if (d->move->length >= TABLE_MIN && d->move->length <= TABLE_MAX &&
	    !(d->move->length % page_size()))
		return 0;
	return fail(failure, EPROTO, "the source has a table of %zu bytes",
		    d->move->length);
}

static int greet_again(struct destination *d, struct failure *failure)
{
	size_t length = d->move->length;
	int err;

	if (d->source >= 0)
		close(d->source);
	err = greet(d, now_ns() + TRY, failure);
	if (!err && d->move->length != length) {
		d->move->length = length;
		err = fail(failure, EPROTO, "the source has another table now");
	}
	return err;
}

static bool source_gone(struct destination *d)
{
	char byte;
	ssize_t n = recv(d->source, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return !n || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* --- lost connections */

/* "3-5,9" of what is missing. */
static char *missing_pages(struct destination *d, size_t *pages)
{
	size_t at = 0, start, length, size;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	*pages = 0;
	while (out && uffdmr_missing(d->region, at, &start, &length)) {
		size_t first = start / page_size();
		size_t n = length / page_size();

		fprintf(out, "%s%zu", *pages ? "," : "", first);
		if (n > 1)
			fprintf(out, "-%zu", first + n - 1);
		*pages += n;
		at = start + length;
	}
	if (out)
		fclose(out);
	return text;
}

static void say_lost(struct destination *d)
{
	size_t pages;
	char *text = missing_pages(d, &pages);

	d->lost_since = now_ns();
	d->next_try = 0;
	d->move->pauses++;
	progress_end(&d->progress);
	if (text)
		postcopy_say("paused: the source cannot be reached, %zu pages are missing: %s",
			     pages, text);
	free(text);
}

static void end_pause(struct destination *d)
{
	if (d->lost_since)
		d->move->paused_ns += now_ns() - d->lost_since;
	d->lost_since = 0;
}

static int taken_back(struct destination *d)
{
	return fail(d->failure, 0, "the source has the workload back%s",
		    d->mine ? ", what was done here since is lost" : "");
}

/* 0, also while the source is away; an error that will not pass. */
static int look_after(struct destination *d)
{
	struct failure why = { 0 };
	int err;

	if (!d->mine && source_gone(d))
		return fail(d->failure, 0,
			    "the source is gone before the workload has moved");
	if (!pull_lost(d->pull)) {
		if (d->lost_since)
			postcopy_say("goes on: the source is back");
		end_pause(d);
		return 0;
	}
	if (!d->lost_since)
		say_lost(d);
	if (now_ns() < d->next_try)
		return 0;
	err = pull_reconnect(d->pull, now_ns() + TRY, &why);
	if (err == -EBUSY)
		return taken_back(d);
	if (err == -EPROTO)
		return fail(d->failure, 0, "%s", why.text);
	d->next_try = now_ns() + TRY_EVERY;
	return 0;
}

/* --- what clients tell in the end, which may be before the last page has come */

static int take_result(struct destination *d, struct wire_message *message)
{
	struct client_result *result;
	uint64_t shift;

	if (message->type != WIRE_RESULT || message->n < RESULT_WORDS)
		return -EPROTO;
	result = calloc(1, sizeof(*result));
	if (!result)
		return -ENOMEM;
	memcpy(result->words, message->words, sizeof(result->words));
	/* Their clock is not ours. */
	shift = now_ns() - result->words[RESULT_NOW];
	result->words[RESULT_NOW] += shift;
	result->words[RESULT_START] += shift;
	result->n = message->n - RESULT_WORDS;
	result->buckets = message->words + RESULT_WORDS;
	result->next = d->move->results;
	d->move->results = result;
	return 0;
}

static void serve_result(struct destination *d, int fd)
{
	struct failure why = { 0 };
	struct wire_message message;

	if (wire_receive(fd, &message, now_ns() + TRY, &why)) {
		wire_refuse(fd, why.text, &why);
	} else if (take_result(d, &message)) {
		wire_refuse(fd, "a destination takes results of clients only",
			    &why);
		free(message.words);
	} else {
		wire_send(fd, WIRE_NOTED, NULL, 0, &why);
	}
	close(fd);
}

/* Whoever comes within @ms. */
static void serve_results(struct destination *d, int ms)
{
	struct pollfd fd = { .fd = d->host.listen, .events = POLLIN };
	struct failure why = { 0 };
	int peer;

	if (poll(&fd, 1, ms) <= 0)
		return;
	peer = wire_accept(d->host.listen, &why);
	if (peer >= 0)
		serve_result(d, peer);
}

/* All that is missing comes now. */
static int wait_pages(struct destination *d)
{
	struct uffdmr_stats stats;
	int err;

	for (;;) {
		if (!uffdmr_wait(d->region, TICK_MS)) {
			/* Also if a lane is down: the other one had the last page. */
			end_pause(d);
			return 0;
		}
		if (errno != ETIMEDOUT)
			return fail(d->failure, 0, "%s", uffdmr_error());
		err = look_after(d);
		if (err)
			return err;
		serve_results(d, 0);
		uffdmr_get_stats(d->region, &stats);
		progress_at(&d->progress, stats.present, stats.length);
		if (now_ns() > d->deadline)
			return fail(d->failure, ETIMEDOUT,
				    "%zu bytes are still missing",
				    stats.length - stats.present);
	}
}

static int fetch_all(struct destination *d)
{
	uffdmr_populate(d->region, d->options->rate);
	return wait_pages(d);
}

/* --- before the workload moves */

static int discard(struct destination *d, const uint64_t *bits, size_t *dirty)
{
	size_t pages = d->move->length / page_size(), page = 0, first;

	*dirty = 0;
	while (page < pages) {
		if (!(bits[page / 64] >> page % 64 & 1)) {
			page++;
			continue;
		}
		first = page;
		while (page < pages && bits[page / 64] >> page % 64 & 1)
			page++;
		*dirty += page - first;
		if (uffdmr_discard(d->region, first * page_size(),
				   (page - first) * page_size()))
			return fail(d->failure, 0, "%s", uffdmr_error());
	}
	return 0;
}

/* What was written since the last time is missing again. */
static int discard_dirty(struct destination *d, size_t *dirty)
{
	size_t words = (d->move->length / page_size() + 63) / 64;
	struct wire_message message;
	int err;

	err = ask(d, WIRE_ASK_DIRTY, WIRE_DIRTY, words, &message, d->failure);
	if (err)
		return err;
	err = discard(d, message.words, dirty);
	free(message.words);
	return err;
}

static int precopy(struct destination *d)
{
	size_t pages = d->move->length / page_size(), dirty = pages;
	int err;

	err = tell(d, WIRE_TRACK, WIRE_TRACKED, d->failure);
	if (!err)
		err = fetch_all(d);
	while (!err && d->move->rounds < d->options->rounds &&
	       dirty > pages / LITTLE) {
		err = discard_dirty(d, &dirty);
		if (!err)
			err = fetch_all(d);
		d->move->rounds++;
	}
	return err;
}

/* --- the move */

static int stop_source(struct destination *d)
{
	bool pre = d->options->mode == MODE_PRECOPY ||
		   d->options->mode == MODE_HYBRID;
	struct uffdmr_stats stats;
	size_t dirty;
	int err;

	uffdmr_get_stats(d->region, &stats);
	d->move->before_bytes = stats.background_bytes;
	d->move->stop = now_ns();
	err = tell(d, WIRE_STOP, WIRE_STOPPED, d->failure);
	return err || !pre ? err : discard_dirty(d, &dirty);
}

/*
 * After the question the workload may be ours: it is asked again until the source has
 * answered, whatever happens to connections and to the source.
 */
static int take_state(struct destination *d, struct wire_message *state)
{
	struct failure why = { 0 };
	int err;

	d->mine = true;
	err = ask(d, WIRE_START, WIRE_STATE, STATE_WORDS, state, &why);
	while (err && err != -EACCES && now_ns() < d->deadline) {
		poll(NULL, 0, TRY_EVERY / NSEC_PER_MSEC);
		why = (struct failure){ 0 };
		err = greet_again(d, &why);
		if (!err)
			err = ask(d, WIRE_START, WIRE_STATE, STATE_WORDS, state,
				  &why);
	}
	return err ? fail(d->failure, 0, "%s", why.text) : 0;
}

static int start_here(struct destination *d)
{
	struct wire_message state;
	struct uffdmr_stats stats;
	int err;

	err = take_state(d, &state);
	if (err)
		return err;
	d->host.state = (struct cpu_state){
		.steps = state.words[STATE_STEPS],
		.random = state.words[STATE_RANDOM],
	};
	d->host.parent = state.words[STATE_GENERATION];
	d->host.generation = d->host.parent + 1;
	d->clients = state.words[STATE_CLIENTS];
	free(state.words);
	uffdmr_get_stats(d->region, &stats);
	d->move->left_bytes = stats.length - stats.present;
	err = host_run(&d->host, d->failure);
	d->move->started = now_ns();
	if (!err)
		postcopy_say("the workload runs here, %" PRIu64 " of %zu KiB are missing",
			     d->move->left_bytes >> 10, stats.length >> 10);
	return err;
}

/*
 * The source may end. If it has done so already, nobody minds; one that says no has the
 * workload itself.
 */
static int release_source(struct destination *d)
{
	struct failure ignored = { 0 };
	int err;

	err = tell(d, WIRE_DONE, WIRE_THANKS, &ignored);
	if (err && err != -EACCES) {
		ignored = (struct failure){ 0 };
		err = greet_again(d, &ignored);
		if (!err)
			err = tell(d, WIRE_DONE, WIRE_THANKS, &ignored);
	}
	return err == -EACCES ? taken_back(d) : 0;
}

static int move_workload(struct destination *d)
{
	enum postcopy_mode mode = d->options->mode;
	struct table_header *header = d->host.table;
	int err = 0;

	d->move->begun = now_ns();
	if (mode == MODE_PRECOPY || mode == MODE_HYBRID)
		err = precopy(d);
	if (!err)
		err = stop_source(d);
	if (!err && (mode == MODE_STOP || mode == MODE_PRECOPY))
		err = fetch_all(d);
	if (!err)
		err = start_here(d);
	if (!err)
		err = fetch_all(d);
	d->move->complete = now_ns();
	if (err)
		return err;
	progress_end(&d->progress);
	err = release_source(d);
	if (err)
		return err;
	__atomic_store_n(&header->complete, 1, __ATOMIC_RELEASE);
	postcopy_say("nothing is missing any more, the source may end");
	return 0;
}

/* --- clients come to their end */

static uint64_t clients_heard(const struct destination *d)
{
	const struct client_result *result;
	uint64_t n = 0;

	for (result = d->move->results; result; result = result->next)
		n += result->words[RESULT_CLIENTS];
	return n;
}

/* Until each has told its result, or none is there any more. */
static void wait_clients(struct destination *d)
{
	uint64_t seen = now_ns();

	while (clients_heard(d) < d->clients && now_ns() < d->deadline &&
	       now_ns() - seen < ANSWER) {
		if (acceptor_clients(d->host.acceptor))
			seen = now_ns();
		serve_results(d, 100);
	}
	if (clients_heard(d) < d->clients)
		d->move->clients_missing = d->clients - clients_heard(d);
}

static int check_table(struct destination *d)
{
	struct move *move = d->move;
	struct table_map map = table_map(move->length);
	struct record *records = (void *)((char *)d->host.table + map.records);
	size_t i;

	host_stop(&d->host);
	move->steps = d->host.state.steps;
	move->wrong_cells = cpu_wrong_cells(d->host.table, move->length,
					    &d->host.state);
	if (move->wrong_cells < 0)
		return fail(d->failure, ENOMEM, "no memory");
	for (i = 0; i < map.n_records; i++)
		move->wrong_records += !record_valid(&records[i], i);
	return 0;
}

/* --- from begin to end */

/* The address by which this machine reaches the source is the one it can be reached by. */
static int own_address(struct destination *d, char *text, size_t size)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getsockname(d->source, (struct sockaddr *)&address, &length) ||
	    getnameinfo((struct sockaddr *)&address, length, text, size, NULL, 0,
			NI_NUMERICHOST))
		return fail(d->failure, errno, "no address of my own");
	return 0;
}

static bool may_come(int err)
{
	return err == -ECONNREFUSED || err == -ETIMEDOUT || err == -EHOSTUNREACH;
}

/* It may be about to start, and its host, too. */
static int find_source(struct destination *d)
{
	struct failure why = { 0 };
	int err;

	err = greet(d, now_ns() + TRY, &why);
	if (may_come(err))
		postcopy_say("waits for a source at %s port %s",
			     d->options->addresses[0], d->options->port);
	while (may_come(err) && now_ns() < d->deadline) {
		poll(NULL, 0, 100);
		why = (struct failure){ 0 };
		err = greet(d, now_ns() + TRY, &why);
	}
	return err ? fail(d->failure, 0, "%s", why.text) : 0;
}

static int make_region(struct destination *d)
{
	struct pull_config config = {
		.address = d->options->addresses[0],
		.port = d->options->port,
		.session = d->session,
		.length = d->move->length,
	};
	struct uffdmr_attr attr = {
		.length = d->move->length,
		.depth = PULL_DEPTH,
		.extent = EXTENT,
		.retries = ~0U,
	};
	int err;

	d->pull = pull_open(&config, now_ns() + ANSWER, d->failure);
	if (!d->pull)
		return -EIO;
	err = pull_measure(d->pull, BARE, &d->move->bare, d->failure);
	if (err) {
		pull_close(d->pull);
		return err;
	}
	attr.source = pull_source(d->pull);
	d->region = uffdmr_create(&attr);
	if (!d->region)
		return fail(d->failure, 0, "%s", uffdmr_error());
	d->host.table = uffdmr_addr(d->region);
	d->host.length = d->move->length;
	d->host.mr = uffdmr_reg_mr(d->region, acceptor_pd(d->host.acceptor),
				   HOST_ACCESS);
	return d->host.mr ? 0 : fail(d->failure, 0, "%s", uffdmr_error());
}

static int set_up(struct destination *d, int *status)
{
	char address[INET6_ADDRSTRLEN];
	int err;

	err = find_source(d);
	if (!err)
		err = own_address(d, address, sizeof(address));
	if (err)
		return err;
	*status = STATUS_UNABLE;
	err = host_open(&d->host, address, d->options->port, d->failure);
	if (!err)
		err = make_region(d);
	*status = STATUS_ERROR;
	return err;
}

static void clean_up(struct destination *d)
{
	struct client_result *result;
	size_t start, length;

	progress_end(&d->progress);
	/*
	 * Something of the workload may wait for a page that will not come. It ends
	 * with this process.
	 */
	if (d->mine && uffdmr_missing(d->region, 0, &start, &length))
		return;
	host_close(&d->host);
	uffdmr_destroy(d->region);
	if (d->source >= 0)
		close(d->source);
	while ((result = d->move->results)) {
		d->move->results = result->next;
		free(result->buckets - RESULT_WORDS);
		free(result);
	}
	samples_free(&d->move->bare);
}

static int run(struct destination *d, int *status)
{
	int err;

	err = set_up(d, status);
	if (err)
		return err;
	postcopy_say("ready, connected to %s", d->options->addresses[0]);
	poll(NULL, 0, d->options->delay_ns / NSEC_PER_MSEC);
	progress_start(&d->progress, "memory");
	err = move_workload(d);
	if (err)
		return err;
	wait_clients(d);
	uffdmr_get_stats(d->region, &d->move->stats);
	d->move->again_bytes = pull_again(d->pull);
	err = check_table(d);
	if (!err)
		err = move_report(d->move, d->failure);
	if (!err && d->options->plot)
		err = move_plot(d->move, d->failure);
	if (!err)
		*status = move_right(d->move) ? STATUS_OK : STATUS_WRONG;
	return err;
}

int destination_run(const struct postcopy_options *options,
		    struct failure *failure)
{
	struct move move = {
		.options = options,
		.source = options->addresses[0],
	};
	struct destination d = {
		.options = options,
		.failure = failure,
		.move = &move,
		.deadline = now_ns() + options->timeout_ns,
		.source = -1,
		.host = HOST_INIT,
	};
	int status = STATUS_ERROR;

	if (options->plot && plot_check(options->plot, failure))
		return STATUS_UNABLE;
	if (getrandom(&d.session, sizeof(d.session), 0) != sizeof(d.session)) {
		fail(failure, errno, "no random number");
		return STATUS_ERROR;
	}
	/* 0 is no session. */
	d.session |= 1;
	run(&d, &status);
	clean_up(&d);
	return status;
}
