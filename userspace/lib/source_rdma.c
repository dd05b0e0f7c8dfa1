// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/* Memory of a peer, by RDMA READ: an extent is a work request. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "error.h"
#include "thread.h"
#include "uffdmr.h"

#define COMPLETIONS	32	/* polled at a time */

struct rdma {
	struct uffdmr_source source;
	struct uffdmr_peer peer;
	struct ibv_mr *mr;	/* of the extents' buffers */
	int stop;
	pthread_t reaper;
	uint32_t room;		/* work requests that the send queue takes */

	pthread_mutex_t lock;	/* of all that follows */
	uint32_t posted;
	struct ring {		/* of @size; these wait for room: */
		struct uffdmr_extent **extents;
		size_t head, tail;
	} urgent, other;
	size_t size;
	bool cancelled;
};

/* The next to post, or NULL. @lock is held. */
static struct uffdmr_extent *next(struct rdma *rdma)
{
	struct ring *ring = &rdma->urgent;
	struct uffdmr_extent *extent;

	if (ring->head == ring->tail)
		ring = &rdma->other;
	if (ring->head == ring->tail)
		return NULL;
	extent = ring->extents[ring->head];
	ring->head = (ring->head + 1) % rdma->size;
	return extent;
}

/* Returns 0 or an errno. @lock is held. */
static int post(struct rdma *rdma, struct uffdmr_extent *extent)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)extent->buffer,
		.length = extent->length,
		.lkey = rdma->mr->lkey,
	};
	struct ibv_send_wr wr = {
		.wr_id = (uintptr_t)extent,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_READ,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = {
			.remote_addr = rdma->peer.addr + extent->offset,
			.rkey = rdma->peer.rkey,
		},
	};
	struct ibv_send_wr *bad;
	int err = ibv_post_send(rdma->peer.qp, &wr, &bad);

	if (!err)
		rdma->posted++;
	return err;
}

/*
 * Post what there is room for. Returns one that cannot be posted, for the caller
 * to fail without the lock; *@err says why.
 */
static struct uffdmr_extent *advance(struct rdma *rdma, int *err)
{
	struct uffdmr_extent *extent, *failed = NULL;

	pthread_mutex_lock(&rdma->lock);
	while (!failed && (rdma->posted < rdma->room || rdma->cancelled)) {
		extent = next(rdma);
		if (!extent)
			break;
		*err = rdma->cancelled ? ECANCELED : post(rdma, extent);
		if (*err)
			failed = extent;
	}
	pthread_mutex_unlock(&rdma->lock);
	return failed;
}

static void advance_all(struct rdma *rdma)
{
	struct uffdmr_extent *failed;
	int err;

	while ((failed = advance(rdma, &err)))
		uffdmr_fail(failed, err);
}

static void fetch(struct uffdmr_source *source,
		  struct uffdmr_extent *const *extents, size_t n)
{
	struct rdma *rdma = (struct rdma *)source;
	size_t i;

	pthread_mutex_lock(&rdma->lock);
	for (i = 0; i < n; i++) {
		struct ring *ring = extents[i]->demand ? &rdma->urgent :
							 &rdma->other;

		ring->extents[ring->tail] = extents[i];
		ring->tail = (ring->tail + 1) % rdma->size;
	}
	pthread_mutex_unlock(&rdma->lock);
	advance_all(rdma);
}

static void take(struct rdma *rdma, const struct ibv_wc *wc)
{
	struct uffdmr_extent *extent = (void *)(uintptr_t)wc->wr_id;

	pthread_mutex_lock(&rdma->lock);
	rdma->posted--;
	pthread_mutex_unlock(&rdma->lock);
	if (wc->status == IBV_WC_SUCCESS)
		uffdmr_supply(extent, extent->buffer);
	else
		uffdmr_fail(extent, wc->status == IBV_WC_WR_FLUSH_ERR ?
				    ENOTCONN : EIO);
}

static void poll_all(struct rdma *rdma)
{
	struct ibv_wc wc[COMPLETIONS];
	int i, n;

	while ((n = ibv_poll_cq(rdma->peer.qp->send_cq, COMPLETIONS, wc)) > 0) {
		for (i = 0; i < n; i++)
			take(rdma, &wc[i]);
		advance_all(rdma);
	}
}

static void *reap(void *arg)
{
	struct rdma *rdma = arg;
	struct pollfd fds[] = {
		{ .fd = rdma->peer.channel->fd, .events = POLLIN },
		{ .fd = rdma->stop, .events = POLLIN },
	};
	struct ibv_cq *cq;
	void *context;

	for (;;) {
		/* What arrives between the poll and the request is no event. */
		poll_all(rdma);
		ibv_req_notify_cq(rdma->peer.qp->send_cq, 0);
		poll_all(rdma);
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents)
			return NULL;
		if (!ibv_get_cq_event(rdma->peer.channel, &cq, &context))
			ibv_ack_cq_events(cq, 1);
	}
}

static int begin(struct uffdmr_source *source, void *buffers, size_t length)
{
	struct rdma *rdma = (struct rdma *)source;
	int err = ENOMEM;

	/* As many as there may be: an extent has a page at least. */
	rdma->size = length / sysconf(_SC_PAGESIZE) + 1;
	rdma->urgent.extents = calloc(rdma->size, sizeof(*rdma->urgent.extents));
	rdma->other.extents = calloc(rdma->size, sizeof(*rdma->other.extents));
	if (!rdma->urgent.extents || !rdma->other.extents)
		return err;
	rdma->stop = eventfd(0, EFD_CLOEXEC);
	if (rdma->stop < 0)
		return errno;
	rdma->mr = ibv_reg_mr(rdma->peer.pd, buffers, length,
			      IBV_ACCESS_LOCAL_WRITE);
	if (!rdma->mr)
		return errno;
	err = thread_start(&rdma->reaper, reap, rdma);
	if (err) {
		ibv_dereg_mr(rdma->mr);
		rdma->mr = NULL;
	}
	return err;
}

/* A peer that is alive may leave a READ without an answer for ever. */
static void cancel(struct uffdmr_source *source)
{
	struct rdma *rdma = (struct rdma *)source;
	struct ibv_qp_attr flush = { .qp_state = IBV_QPS_ERR };

	pthread_mutex_lock(&rdma->lock);
	rdma->cancelled = true;
	if (rdma->posted)
		ibv_modify_qp(rdma->peer.qp, &flush, IBV_QP_STATE);
	pthread_mutex_unlock(&rdma->lock);
	advance_all(rdma);
}

static void end(struct uffdmr_source *source)
{
	struct rdma *rdma = (struct rdma *)source;

	if (rdma->mr) {
		eventfd_write(rdma->stop, 1);
		pthread_join(rdma->reaper, NULL);
		ibv_dereg_mr(rdma->mr);
	}
	if (rdma->stop >= 0)
		close(rdma->stop);
	free(rdma->urgent.extents);
	free(rdma->other.extents);
	pthread_mutex_destroy(&rdma->lock);
	free(rdma);
}

struct uffdmr_source *uffdmr_rdma_read(const struct uffdmr_peer *peer)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	struct rdma *rdma;
	int err;

	err = ibv_query_qp(peer->qp, &attr, IBV_QP_CAP, &init);
	if (err) {
		uffdmr_set_error(err, "cannot query the queue pair");
		return NULL;
	}
	rdma = calloc(1, sizeof(*rdma));
	if (!rdma) {
		uffdmr_set_error(ENOMEM, "cannot make a source");
		return NULL;
	}
	rdma->source.fetch = fetch;
	rdma->source.open = begin;
	rdma->source.cancel = cancel;
	rdma->source.close = end;
	rdma->peer = *peer;
	rdma->room = attr.cap.max_send_wr;
	if (rdma->room > (uint32_t)peer->qp->send_cq->cqe)
		rdma->room = peer->qp->send_cq->cqe;
	rdma->stop = -1;
	pthread_mutex_init(&rdma->lock, NULL);
	return &rdma->source;
}
