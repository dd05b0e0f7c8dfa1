// SPDX-License-Identifier: GPL-2.0
/*
 * A region whose source is late.
 *
 * An extent that was asked for is the source's until it is due. All have the same
 * latency, so they become due in their order, and a ring has them. Two threads use it,
 * under @lock: the region's appends, in fetch(), and tells of the end; the timer's
 * takes out what is due and supplies it, without the lock. Where there is no latency
 * there is neither ring nor timer.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "delayed_region.h"

/* Extents on their way at a time at the most; more wait in the library. */
#define MOST	16384

struct owed {
	struct uffdmr_extent *extent;
	uint64_t due;
};

struct delayed {
	struct uffdmr_source source;	/* first: what the library sees */
	/* These stay as they are once it is open. */
	const char *content;
	uint64_t latency_ns;
	size_t room;
	pthread_t timer;
	bool has_timer;

	pthread_mutex_t lock;		/* of all that follows */
	pthread_cond_t changed;
	struct owed *ring;
	size_t head, tail;
	bool cancelled;			/* all is due, and fails */
	bool closed;			/* the timer ends when nothing is owed */
};

static void supply(struct delayed *delayed, struct uffdmr_extent *extent)
{
	uffdmr_supply(extent, delayed->content + extent->offset);
}

static void fetch(struct uffdmr_source *source,
		  struct uffdmr_extent *const *extents, size_t n)
{
	struct delayed *delayed = (struct delayed *)source;
	uint64_t due = now_ns() + delayed->latency_ns;
	size_t i;

	for (i = 0; !delayed->has_timer && i < n; i++)
		supply(delayed, extents[i]);
	if (!delayed->has_timer)
		return;
	pthread_mutex_lock(&delayed->lock);
	for (i = 0; i < n; i++)
		delayed->ring[delayed->tail++ % delayed->room] = (struct owed){
			.extent = extents[i],
			.due = due,
		};
	pthread_cond_signal(&delayed->changed);
	pthread_mutex_unlock(&delayed->lock);
}

/* Wait until something is due; false if nothing will be. @lock is held. */
static bool wait_due(struct delayed *delayed)
{
	while (!delayed->closed || delayed->head != delayed->tail) {
		uint64_t due = delayed->ring[delayed->head % delayed->room].due;
		struct timespec until = {
			.tv_sec = due / NSEC_PER_SEC,
			.tv_nsec = due % NSEC_PER_SEC,
		};

		if (delayed->head != delayed->tail &&
		    (delayed->cancelled || due <= now_ns()))
			return true;
		if (delayed->head == delayed->tail)
			pthread_cond_wait(&delayed->changed, &delayed->lock);
		else
			pthread_cond_timedwait(&delayed->changed,
					       &delayed->lock, &until);
	}
	return false;
}

static void *run_timer(void *arg)
{
	struct delayed *delayed = arg;
	struct uffdmr_extent *extent;
	bool cancelled;

	/* Not the usual 50 us late: a latency may be as short as that. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	pthread_mutex_lock(&delayed->lock);
	while (wait_due(delayed)) {
		extent = delayed->ring[delayed->head++ % delayed->room].extent;
		cancelled = delayed->cancelled;
		pthread_mutex_unlock(&delayed->lock);
		if (cancelled)
			uffdmr_fail(extent, ECANCELED);
		else
			supply(delayed, extent);
		pthread_mutex_lock(&delayed->lock);
	}
	pthread_mutex_unlock(&delayed->lock);
	return NULL;
}

static int begin(struct uffdmr_source *source, void *buffers, size_t length)
{
	struct delayed *delayed = (struct delayed *)source;
	int err = ENOMEM;

	(void)buffers;
	if (!delayed->latency_ns)
		return 0;
	/* As many as there may be: an extent has a page at least. */
	delayed->room = length / sysconf(_SC_PAGESIZE);
	delayed->ring = calloc(delayed->room, sizeof(*delayed->ring));
	if (!delayed->ring)
		return err;
	err = pthread_create(&delayed->timer, NULL, run_timer, delayed);
	delayed->has_timer = !err;
	return err;
}

static void cancel(struct uffdmr_source *source)
{
	struct delayed *delayed = (struct delayed *)source;

	pthread_mutex_lock(&delayed->lock);
	delayed->cancelled = true;
	pthread_cond_signal(&delayed->changed);
	pthread_mutex_unlock(&delayed->lock);
}

static void end(struct uffdmr_source *source)
{
	struct delayed *delayed = (struct delayed *)source;

	pthread_mutex_lock(&delayed->lock);
	delayed->closed = true;
	pthread_cond_signal(&delayed->changed);
	pthread_mutex_unlock(&delayed->lock);
	if (delayed->has_timer)
		pthread_join(delayed->timer, NULL);
	pthread_cond_destroy(&delayed->changed);
	pthread_mutex_destroy(&delayed->lock);
	free(delayed->ring);
	free(delayed);
}

static struct uffdmr_source *new_source(const void *content, uint64_t latency_ns)
{
	struct delayed *delayed = calloc(1, sizeof(*delayed));
	pthread_condattr_t clock;

	if (!delayed)
		return NULL;
	delayed->source = (struct uffdmr_source){
		.fetch = fetch,
		.open = begin,
		.cancel = cancel,
		.close = end,
	};
	delayed->content = content;
	delayed->latency_ns = latency_ns;
	pthread_mutex_init(&delayed->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&delayed->changed, &clock);
	pthread_condattr_destroy(&clock);
	return &delayed->source;
}

struct uffdmr *delayed_region(const void *content, size_t length,
			      uint64_t latency_ns, struct failure *failure)
{
	size_t pages = length / sysconf(_SC_PAGESIZE);
	struct uffdmr_attr attr = {
		.length = length,
		.source = new_source(content, latency_ns),
		/* The source fails what is cancelled only, so either policy would do. */
		.policy = UFFDMR_ZERO,
		.depth = pages < MOST ? pages : MOST,
	};
	struct uffdmr *region;

	if (!attr.source) {
		fail(failure, ENOMEM, "cannot make a source of pages");
		return NULL;
	}
	region = uffdmr_create(&attr);
	if (!region)
		fail(failure, 0, "%s", uffdmr_error());
	return region;
}
