// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of a peer, by RDMA READ.
 *
 * An extent is posted to the queue pair of its lane, or waits in its ring until there is
 * one. If that fails all that was posted comes back and waits again; when nothing is
 * posted any more the lane can be given a new queue pair.
 *
 * The region's thread fetches, a thread a lane reaps completions, and who moves the
 * workload looks after lost lanes: he alone opens and closes links, and starts and ends
 * reapers. @lock is for the rest.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "link.h"
#include "pull.h"
#include "thread.h"

#define COMPLETIONS	16	/* polled at a time */
#define MEASURED	4096	/* bytes */
#define RING		(PULL_DEPTH + 1)

enum { DEMAND, BACKGROUND, LANES };

struct lane {
	struct pull *pull;
	struct link link;
	struct ibv_mr *mr;	/* of the extents' buffers */
	pthread_t reaper;
	bool reaping;
	int stop;

	bool up;		/* its queue pair takes requests */
	unsigned int posted;
	struct uffdmr_extent *waiting[RING];
	size_t head, tail;
};

struct pull {
	struct uffdmr_source source;	/* first */
	struct pull_config config;
	struct lane lanes[LANES];
	void *buffers;
	size_t length;		/* of the buffers */

	pthread_mutex_t lock;	/* of what a lane has, and: */
	bool cancelled;
	uint64_t again;		/* bytes that were posted, and wait again */
};

/* @lock is held. */
static void put(struct lane *lane, struct uffdmr_extent *extent)
{
	lane->waiting[lane->tail] = extent;
	lane->tail = (lane->tail + 1) % RING;
}

static int post(struct lane *lane, struct uffdmr_extent *extent)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)extent->buffer,
		.length = extent->length,
		.lkey = lane->mr->lkey,
	};
	struct ibv_send_wr wr = {
		.wr_id = (uintptr_t)extent,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_READ,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = {
			.remote_addr = lane->link.grant.addr + extent->offset,
			.rkey = lane->link.grant.rkey,
		},
	};
	struct ibv_send_wr *bad;

	return ibv_post_send(lane->link.id->qp, &wr, &bad);
}

/* @lock is held. */
static void advance(struct lane *lane)
{
	while (lane->up && lane->head != lane->tail) {
		if (post(lane, lane->waiting[lane->head])) {
			lane->up = false;
			return;
		}
		lane->head = (lane->head + 1) % RING;
		lane->posted++;
	}
}

static void fetch(struct uffdmr_source *source,
		  struct uffdmr_extent *const *extents, size_t n)
{
	struct pull *pull = (struct pull *)source;
	struct lane *lane;
	size_t i;

	pthread_mutex_lock(&pull->lock);
	for (i = 0; i < n; i++) {
		lane = &pull->lanes[extents[i]->demand ? DEMAND : BACKGROUND];
		put(lane, extents[i]);
		advance(lane);
	}
	pthread_mutex_unlock(&pull->lock);
}

/* --- completions */

/*
 * Returns whether its data has come. If not it waits again, or fails with @cancelled.
 */
static bool settle(struct lane *lane, const struct ibv_wc *wc, bool *cancelled)
{
	struct uffdmr_extent *extent = (void *)(uintptr_t)wc->wr_id;

	*cancelled = false;
	lane->posted--;
	if (wc->status == IBV_WC_SUCCESS)
		return true;
	lane->up = false;
	*cancelled = lane->pull->cancelled;
	if (*cancelled)
		return false;
	lane->pull->again += extent->length;
	put(lane, extent);
	return false;
}

static void take_all(struct lane *lane)
{
	struct pull *pull = lane->pull;
	bool came[COMPLETIONS], cancelled[COMPLETIONS];
	struct ibv_wc wc[COMPLETIONS];
	int i, n;

	while ((n = ibv_poll_cq(lane->link.cq, COMPLETIONS, wc)) > 0) {
		pthread_mutex_lock(&pull->lock);
		for (i = 0; i < n; i++)
			came[i] = settle(lane, &wc[i], &cancelled[i]);
		pthread_mutex_unlock(&pull->lock);
		for (i = 0; i < n; i++) {
			struct uffdmr_extent *extent =
				(void *)(uintptr_t)wc[i].wr_id;

			if (came[i])
				uffdmr_supply(extent, extent->buffer);
			else if (cancelled[i])
				uffdmr_fail(extent, ECANCELED);
		}
	}
}

static void *reap(void *arg)
{
	struct lane *lane = arg;
	struct pollfd fds[] = {
		{ .fd = lane->link.channel->fd, .events = POLLIN },
		{ .fd = lane->stop, .events = POLLIN },
	};
	struct ibv_cq *cq;
	void *context;

	for (;;) {
		/* What arrives between the poll and the request is no event. */
		take_all(lane);
		ibv_req_notify_cq(lane->link.cq, 0);
		take_all(lane);
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents)
			return NULL;
		if (!ibv_get_cq_event(lane->link.channel, &cq, &context))
			ibv_ack_cq_events(cq, 1);
	}
}

/* --- a lane's queue pair, and its reaper */

static int open_link(struct lane *lane, uint64_t deadline,
		     struct failure *failure)
{
	const struct pull_config *config = &lane->pull->config;
	struct link_ask ask = {
		.purpose = lane == &lane->pull->lanes[DEMAND] ? LINK_DEMAND :
								LINK_BACKGROUND,
		.nonce = config->session,
	};
	int err;

	err = link_open(&lane->link, config->address, config->port, &ask,
			PULL_DEPTH, deadline, failure);
	if (err)
		return err;
	if (lane->link.grant.length == config->length)
		return 0;
	link_close(&lane->link);
	return fail(failure, EPROTO, "%s has a table of another size now",
		    config->address);
}

/* Its link is open, and the buffers are known. */
static int start_lane(struct lane *lane)
{
	struct pull *pull = lane->pull;
	int err;

	lane->mr = ibv_reg_mr(lane->link.pd, pull->buffers, pull->length,
			      IBV_ACCESS_LOCAL_WRITE);
	if (!lane->mr)
		return errno;
	err = thread_start(&lane->reaper, reap, lane);
	lane->reaping = !err;
	if (err)
		return err;
	pthread_mutex_lock(&pull->lock);
	lane->up = true;
	advance(lane);
	pthread_mutex_unlock(&pull->lock);
	return 0;
}

static void stop_lane(struct lane *lane)
{
	eventfd_t ends;

	if (lane->reaping) {
		eventfd_write(lane->stop, 1);
		pthread_join(lane->reaper, NULL);
		eventfd_read(lane->stop, &ends);
		lane->reaping = false;
	}
	if (lane->mr)
		ibv_dereg_mr(lane->mr);
	lane->mr = NULL;
	link_close(&lane->link);
}

/* --- for the region */

static int begin(struct uffdmr_source *source, void *buffers, size_t length)
{
	struct pull *pull = (struct pull *)source;
	int i, err = 0;

	pull->buffers = buffers;
	pull->length = length;
	for (i = 0; i < LANES && !err; i++)
		err = start_lane(&pull->lanes[i]);
	return err;
}

static void cancel(struct uffdmr_source *source)
{
	struct pull *pull = (struct pull *)source;
	struct uffdmr_extent *extent;
	struct lane *lane;

	for (lane = pull->lanes; lane < pull->lanes + LANES; lane++) {
		do {
			extent = NULL;
			pthread_mutex_lock(&pull->lock);
			pull->cancelled = true;
			if (lane->head != lane->tail) {
				extent = lane->waiting[lane->head];
				lane->head = (lane->head + 1) % RING;
			}
			pthread_mutex_unlock(&pull->lock);
			if (extent)
				uffdmr_fail(extent, ECANCELED);
		} while (extent);
	}
}

static void end(struct uffdmr_source *source)
{
	pull_close((struct pull *)source);
}

/* --- for who moves the workload */

struct uffdmr_source *pull_source(struct pull *pull)
{
	return &pull->source;
}

void pull_close(struct pull *pull)
{
	struct lane *lane;

	if (!pull)
		return;
	for (lane = pull->lanes; lane < pull->lanes + LANES; lane++) {
		stop_lane(lane);
		if (lane->stop >= 0)
			close(lane->stop);
	}
	pthread_mutex_destroy(&pull->lock);
	free(pull);
}

struct pull *pull_open(const struct pull_config *config, uint64_t deadline,
		       struct failure *failure)
{
	struct pull *pull = calloc(1, sizeof(*pull));
	struct lane *lane;
	int err = 0;

	if (!pull) {
		fail(failure, ENOMEM, "no memory");
		return NULL;
	}
	pull->source = (struct uffdmr_source){
		.fetch = fetch, .open = begin, .cancel = cancel, .close = end,
	};
	pull->config = *config;
	pthread_mutex_init(&pull->lock, NULL);
	for (lane = pull->lanes; lane < pull->lanes + LANES; lane++) {
		lane->pull = pull;
		lane->stop = eventfd(0, EFD_CLOEXEC);
		if (lane->stop < 0)
			err = fail(failure, errno, "no eventfd");
		if (!err)
			err = open_link(lane, deadline, failure);
	}
	if (!err)
		return pull;
	pull_close(pull);
	return NULL;
}

bool pull_lost(struct pull *pull)
{
	struct lane *lane;
	bool up, lost = false;

	for (lane = pull->lanes; lane < pull->lanes + LANES; lane++) {
		/* A queue pair that is told so gives back what was posted. */
		if (lane->link.id && link_ended(&lane->link)) {
			rdma_disconnect(lane->link.id);
			pthread_mutex_lock(&pull->lock);
			lane->up = false;
			pthread_mutex_unlock(&pull->lock);
		}
		pthread_mutex_lock(&pull->lock);
		up = lane->up;
		pthread_mutex_unlock(&pull->lock);
		lost |= !up;
	}
	return lost;
}

uint64_t pull_again(struct pull *pull)
{
	uint64_t again;

	pthread_mutex_lock(&pull->lock);
	again = pull->again;
	pthread_mutex_unlock(&pull->lock);
	return again;
}

static int reconnect_lane(struct lane *lane, uint64_t deadline,
			  struct failure *failure)
{
	struct pull *pull = lane->pull;
	unsigned int posted;
	bool up;
	int err;

	pthread_mutex_lock(&pull->lock);
	up = lane->up;
	posted = lane->posted;
	pthread_mutex_unlock(&pull->lock);
	if (up)
		return 0;
	/* One that could not be posted leaves the queue pair as it is. */
	if (lane->link.id)
		rdma_disconnect(lane->link.id);
	if (posted)
		return -EINPROGRESS;
	stop_lane(lane);
	err = open_link(lane, deadline, failure);
	if (err)
		return err;
	err = start_lane(lane);
	if (!err)
		return 0;
	stop_lane(lane);
	return fail(failure, err, "cannot use a new connection");
}

int pull_reconnect(struct pull *pull, uint64_t deadline, struct failure *failure)
{
	struct lane *lane;
	int err = 0;

	for (lane = pull->lanes; lane < pull->lanes + LANES && !err; lane++)
		err = reconnect_lane(lane, deadline, failure);
	return err;
}

/* --- a bare READ */

static int wait_one(struct link *link, struct ibv_wc *wc)
{
	struct pollfd fd = { .fd = link->channel->fd, .events = POLLIN };
	uint64_t deadline = now_ns() + 10 * NSEC_PER_SEC;
	struct ibv_cq *cq;
	void *context;
	int n;

	for (;;) {
		n = link_poll(link, wc);
		if (n)
			return n < 0 ? -EIO : 0;
		if (poll(&fd, 1, poll_ms(deadline)) <= 0 &&
		    now_ns() >= deadline)
			return -ETIMEDOUT;
		if (!ibv_get_cq_event(link->channel, &cq, &context))
			ibv_ack_cq_events(cq, 1);
	}
}

static int measure_one(struct lane *lane, struct uffdmr_extent *extent,
		       struct samples *ns, struct failure *failure)
{
	uint64_t start = now_ns();
	struct ibv_wc wc;
	int err;

	err = -post(lane, extent);
	if (!err)
		err = wait_one(&lane->link, &wc);
	if (err)
		return fail(failure, -err, "cannot READ from the source");
	if (wc.status != IBV_WC_SUCCESS)
		return fail(failure, 0, "cannot READ from the source: %s",
			    ibv_wc_status_str(wc.status));
	return samples_add(ns, now_ns() - start) ?
	       fail(failure, ENOMEM, "no memory") : 0;
}

int pull_measure(struct pull *pull, unsigned int n, struct samples *ns,
		 struct failure *failure)
{
	struct lane *lane = &pull->lanes[DEMAND];
	struct uffdmr_extent extent = { .length = MEASURED };
	unsigned int i;
	int err = 0;

	extent.buffer = aligned_alloc(MEASURED, MEASURED);
	if (extent.buffer)
		lane->mr = ibv_reg_mr(lane->link.pd, extent.buffer, MEASURED,
				      IBV_ACCESS_LOCAL_WRITE);
	if (!lane->mr)
		err = fail(failure, ENOMEM, "cannot register memory");
	for (i = 0; i < n && !err; i++) {
		extent.offset = (uint64_t)i * 131 * MEASURED %
				pull->config.length;
		err = measure_one(lane, &extent, ns, failure);
	}
	if (lane->mr)
		ibv_dereg_mr(lane->mr);
	lane->mr = NULL;
	free(extent.buffer);
	return err;
}
