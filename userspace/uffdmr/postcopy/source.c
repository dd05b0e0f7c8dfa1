// SPDX-License-Identifier: GPL-2.0
/*
 * The source: has the workload until a destination takes it over, and then its memory
 * until the destination has that, too. One thread does what the peers' messages say.
 *
 *	RUNNING -> STOPPED	WIRE_STOP
 *	STOPPED -> RUNNING	the destination is gone, or SIGUSR1: nobody else has the
 *				workload
 *	STOPPED -> MOVED	WIRE_START
 *	MOVED -> (end)		WIRE_DONE
 *	MOVED -> RUNNING	SIGUSR1: the user knows that the destination is dead, or
 *				its end is wanted
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "host.h"
#include "postcopy.h"
#include "store.h"
#include "uffdmr.h"
#include "wire.h"

#define PEERS		8
#define PATIENCE	(5 * NSEC_PER_SEC)	/* for the rest of a message */

struct source {
	const struct postcopy_options *options;
	struct failure *failure;
	struct store store;
	struct host host;
	struct uffdmr *tracked;	/* the table, once what is written is noted */
	bool stopped;		/* but not moved */
	bool done, ended;
	int signals;
	int peers[PEERS];	/* or -1 */
	int destination;	/* the one of them that moves the workload, or -1 */
};

static size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static bool moved(const struct source *source)
{
	return source->store.meta->phase == STORE_MOVED;
}

/* --- the workload */

static int run_workload(struct source *source)
{
	struct store_meta *meta = source->store.meta;

	source->stopped = false;
	source->host.generation = meta->generation;
	source->host.parent = meta->parent;
	source->host.state = meta->state;
	return host_run(&source->host, source->failure);
}

static void stop_workload(struct source *source)
{
	struct store_meta *meta = source->store.meta;

	meta->clients = host_stop(&source->host);
	meta->state = source->host.state;
	source->stopped = true;
	postcopy_say("the workload is stopped");
}

/* Whoever has the session may read the table. */
static void admit(struct source *source)
{
	struct link_grant grant = host_grant(&source->host);

	acceptor_admit_session(source->host.acceptor,
			       source->store.meta->session, &grant);
}

/* The destination gets nothing from here any more, which ends it if it is alive. */
static void end_session(struct source *source)
{
	int i;

	source->store.meta->session = 0;
	acceptor_drop_session(source->host.acceptor);
	for (i = 0; i < PEERS && source->destination >= 0; i++) {
		if (source->peers[i] != source->destination)
			continue;
		close(source->peers[i]);
		source->peers[i] = -1;
		source->destination = -1;
	}
}

/*
 * Only the user can know that a destination does not run it any more. Before it runs
 * here what the destination has must be all that it will ever have.
 */
static int take_back(struct source *source)
{
	struct store_meta *meta = source->store.meta;

	if (!moved(source) && !source->stopped) {
		postcopy_say("the workload is here already");
		return 0;
	}
	end_session(source);
	if (moved(source)) {
		meta->parent = meta->generation;
		meta->generation += 2;
		meta->phase = STORE_RUNNING;
	}
	postcopy_say("the workload goes on here");
	return run_workload(source);
}

/* --- messages */

static int refuse(int fd, const char *why)
{
	struct failure ignored = { 0 };

	wire_refuse(fd, why, &ignored);
	return -EACCES;
}

static int answer(int fd, enum wire_type type, const uint64_t *words, size_t n)
{
	struct failure ignored = { 0 };

	return wire_send(fd, type, words, n, &ignored);
}

static int hello(struct source *source, int fd,
		 const struct wire_message *message)
{
	struct store_meta *meta = source->store.meta;
	uint64_t length = source->store.length;

	if (message->n != 2 || !message->words[0])
		return refuse(fd, "that is no greeting");
	if (message->words[1] != page_size())
		return refuse(fd, "the source has pages of another size");
	if (moved(source) && message->words[0] != meta->session)
		return refuse(fd, "the workload has moved to another destination");
	if (!moved(source) && source->destination >= 0)
		return refuse(fd, "another destination is moving the workload");
	if (moved(source) || source->destination < 0)
		source->destination = fd;
	meta->session = message->words[0];
	admit(source);
	postcopy_say("a destination has connected");
	return answer(fd, WIRE_TABLE, &length, 1);
}

static int forget_run(size_t offset, size_t length, void *arg)
{
	(void)offset;
	(void)length;
	(void)arg;
	return 0;
}

static int track(struct source *source, int fd)
{
	struct uffdmr_attr attr = {
		.addr = source->store.table,
		.length = source->store.length,
		.source = uffdmr_zero(),
		.track_dirty = true,
	};
	int err = 0;

	if (!source->tracked)
		source->tracked = uffdmr_create(&attr);
	else
		err = uffdmr_dirty(source->tracked, forget_run, NULL);
	if (!source->tracked || err)
		return refuse(fd, uffdmr_error());
	postcopy_say("what is written is noted");
	return answer(fd, WIRE_TRACKED, NULL, 0);
}

static int mark_run(size_t offset, size_t length, void *arg)
{
	uint64_t *bits = arg;
	size_t page = offset / page_size(), end = page + length / page_size();

	for (; page < end; page++)
		bits[page / 64] |= 1ULL << page % 64;
	return 0;
}

static int tell_dirty(struct source *source, int fd)
{
	size_t pages = source->store.length / page_size();
	size_t n = (pages + 63) / 64;
	uint64_t *bits;
	int err;

	if (!source->tracked)
		return refuse(fd, "nothing is tracked");
	bits = calloc(n, sizeof(*bits));
	if (!bits)
		return refuse(fd, "the source is short of memory");
	if (uffdmr_dirty(source->tracked, mark_run, bits))
		err = refuse(fd, uffdmr_error());
	else
		err = answer(fd, WIRE_DIRTY, bits, n);
	free(bits);
	return err;
}

static int stop(struct source *source, int fd)
{
	if (moved(source))
		return refuse(fd, "the workload has moved already");
	if (!source->stopped)
		stop_workload(source);
	return answer(fd, WIRE_STOPPED, NULL, 0);
}

static int start(struct source *source, int fd)
{
	struct store_meta *meta = source->store.meta;
	uint64_t words[STATE_WORDS] = {
		[STATE_STEPS] = meta->state.steps,
		[STATE_RANDOM] = meta->state.random,
		[STATE_GENERATION] = meta->generation,
		[STATE_CLIENTS] = meta->clients,
	};

	if (!source->stopped && !moved(source))
		return refuse(fd, "the workload is not stopped");
	if (!moved(source))
		postcopy_say("the workload has moved");
	meta->phase = STORE_MOVED;
	source->stopped = false;
	return answer(fd, WIRE_STATE, words, STATE_WORDS);
}

static int done(struct source *source, int fd)
{
	if (!moved(source))
		return refuse(fd, "the workload has not moved");
	source->store.meta->phase = STORE_DONE;
	source->done = true;
	return answer(fd, WIRE_THANKS, NULL, 0);
}

/* Clients that end here, as the workload has not moved, or is back. */
static int take_result(int fd, const struct wire_message *message)
{
	if (message->n < RESULT_WORDS)
		return refuse(fd, "that is no result");
	postcopy_say("%" PRIu64 " clients ended after %" PRIu64 " operations, %" PRIu64 " wrong",
		     message->words[RESULT_CLIENTS],
		     message->words[RESULT_OPERATIONS],
		     message->words[RESULT_WRONG]);
	return answer(fd, WIRE_NOTED, NULL, 0);
}

/* Returns a negative errno if the peer has to go. */
static int obey(struct source *source, int fd,
		const struct wire_message *message)
{
	if (message->type == WIRE_HELLO)
		return hello(source, fd, message);
	if (message->type == WIRE_RESULT)
		return take_result(fd, message);
	if (fd != source->destination)
		return refuse(fd, "the first message is a greeting");
	switch (message->type) {
	case WIRE_TRACK:
		return track(source, fd);
	case WIRE_ASK_DIRTY:
		return tell_dirty(source, fd);
	case WIRE_STOP:
		return stop(source, fd);
	case WIRE_START:
		return start(source, fd);
	case WIRE_DONE:
		return done(source, fd);
	default:
		return refuse(fd, "a source takes no such message");
	}
}

/* --- peers and signals */

static int destination_gone(struct source *source)
{
	source->destination = -1;
	if (source->done)
		return 0;
	if (moved(source)) {
		postcopy_say("the destination is gone, the workload is not here: waiting for it (SIGUSR1: it is dead, go on here)");
		return 0;
	}
	postcopy_say("the destination is gone, the workload stays here");
	return source->stopped ? run_workload(source) : 0;
}

static int serve_peer(struct source *source, int *fd)
{
	struct failure why = { 0 };
	struct wire_message message;
	int err, was = *fd;

	err = wire_receive(*fd, &message, now_ns() + PATIENCE, &why);
	if (err && err != -ECONNRESET)
		refuse(*fd, why.text);
	if (!err)
		err = obey(source, *fd, &message);
	free(message.words);
	if (!err)
		return 0;
	close(*fd);
	*fd = -1;
	return was == source->destination ? destination_gone(source) : 0;
}

static void take_peer(struct source *source)
{
	struct failure ignored = { 0 };
	int fd = wire_accept(source->host.listen, &ignored);
	int i;

	if (fd < 0)
		return;
	for (i = 0; i < PEERS; i++)
		if (source->peers[i] < 0)
			break;
	if (i < PEERS) {
		source->peers[i] = fd;
		return;
	}
	refuse(fd, "too many peers");
	close(fd);
}

static int take_signal(struct source *source)
{
	struct signalfd_siginfo info;

	if (read(source->signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	if (info.ssi_signo == SIGUSR1)
		return take_back(source);
	source->ended = true;
	return 0;
}

static int serve(struct source *source)
{
	struct pollfd fds[PEERS + 2];
	int i, err = 0;

	while (!err && !source->done && !source->ended) {
		for (i = 0; i < PEERS; i++)
			fds[i] = (struct pollfd){ .fd = source->peers[i],
						  .events = POLLIN };
		fds[PEERS] = (struct pollfd){ .fd = source->host.listen,
					      .events = POLLIN };
		fds[PEERS + 1] = (struct pollfd){ .fd = source->signals,
						  .events = POLLIN };
		if (poll(fds, PEERS + 2, -1) < 0)
			continue;
		for (i = 0; i < PEERS && !err; i++)
			if (fds[i].revents)
				err = serve_peer(source, &source->peers[i]);
		if (fds[PEERS].revents)
			take_peer(source);
		if (!err && fds[PEERS + 1].revents)
			err = take_signal(source);
	}
	return err;
}

/* --- from begin to end */

static int block_signals(struct source *source)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	source->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return source->signals < 0 ? fail(source->failure, errno, "no signalfd") :
				     0;
}

static int open_memory(struct source *source)
{
	const struct postcopy_options *options = source->options;

	if (options->resume)
		return store_resume(&source->store, options->memory,
				    source->failure);
	return store_new(&source->store, options->memory, options->size,
			 source->failure);
}

static int open_host(struct source *source, int *status)
{
	const struct postcopy_options *options = source->options;
	struct host *host = &source->host;
	struct ibv_pd *pd;
	int err;

	err = host_open(host, options->addresses[0], options->port,
			source->failure);
	if (err) {
		*status = STATUS_UNABLE;
		return err;
	}
	host->table = source->store.table;
	host->length = source->store.length;
	pd = acceptor_pd(host->acceptor);
	host->mr = ibv_reg_mr(pd, host->table, host->length,
			      HOST_ACCESS | IBV_ACCESS_ON_DEMAND);
	if (!host->mr)
		return fail(source->failure, errno,
			    "cannot register %zu bytes on demand", host->length);
	return 0;
}

/* By a signal, when a destination has the workload and may need pages. */
static int ended_early(struct source *source)
{
	const char *path = source->options->memory;

	return path ? fail(source->failure, 0,
			   "ended, but a destination may need what is in %s (--resume)",
			   path) :
		      fail(source->failure, 0,
			   "ended, and pages that a destination may need are lost");
}

int source_run(const struct postcopy_options *options, struct failure *failure)
{
	struct source source = {
		.options = options,
		.failure = failure,
		.host = HOST_INIT,
		.signals = -1,
		.destination = -1,
	};
	int status = STATUS_ERROR, i, err;

	for (i = 0; i < PEERS; i++)
		source.peers[i] = -1;
	err = block_signals(&source);
	if (!err)
		err = open_memory(&source);
	if (!err)
		err = open_host(&source, &status);
	if (!err && moved(&source))
		admit(&source);
	else if (!err)
		err = run_workload(&source);
	if (!err) {
		postcopy_say("%s, %zu MiB at %s port %s",
			     moved(&source) ? "waiting for the destination" :
					      "running",
			     source.store.length >> 20, options->addresses[0],
			     options->port);
		err = serve(&source);
	}
	if (source.done)
		postcopy_say("the workload has moved, nothing of it is needed here any more");
	else if (!err && moved(&source))
		err = ended_early(&source);
	for (i = 0; i < PEERS; i++)
		if (source.peers[i] >= 0)
			close(source.peers[i]);
	host_close(&source.host);
	uffdmr_destroy(source.tracked);
	store_close(&source.store);
	if (source.signals >= 0)
		close(source.signals);
	return err ? status : STATUS_OK;
}
