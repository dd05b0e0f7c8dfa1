// SPDX-License-Identifier: GPL-2.0
/*
 * FLUSH: rxe knows it, the library of this age does not. So it is written to
 * the send queue, which the library and the kernel share, as rdma_user_rxe.h
 * lays it out.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_user_rxe.h>

#include "matrix.h"

struct raw_sq {
	struct rxe_queue_buf *queue;
};

/* The entry that was posted last, if the mapping is a queue with that. */
static struct rxe_send_wqe *last_entry(struct rxe_queue_buf *queue, size_t len)
{
	uint32_t log2 = queue->log2_elem_size, mask = queue->index_mask;
	uint32_t index = (queue->producer_index - 1) & mask;

	if (log2 > 16 || (1U << log2) < sizeof(struct rxe_send_wqe) ||
	    sizeof(*queue) + (((size_t)mask + 1) << log2) > len)
		return NULL;
	return (struct rxe_send_wqe *)(queue->data + ((size_t)index << log2));
}

/* The queue whose last entry has that mark on it. */
static struct rxe_queue_buf *find_queue(uint64_t mark)
{
	struct rxe_queue_buf *found = NULL;
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	if (!maps)
		return NULL;
	while (!found && fgets(line, sizeof(line), maps)) {
		uint64_t from, to;
		struct rxe_send_wqe *wqe;

		if (!strstr(line, "/uverbs") ||
		    sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) != 2)
			continue;
		wqe = last_entry((void *)from, to - from);
		if (wqe && wqe->wr.wr_id == mark &&
		    wqe->wr.opcode == IBV_WR_RDMA_READ)
			found = (void *)from;
	}
	fclose(maps);
	return found;
}

int raw_open(struct cell *cell, struct ibv_qp *qp, struct ibv_cq *cq,
	     struct raw_sq **raw)
{
	uint64_t mark = 0x5e9dULL << 48 | draw(cell, 1ULL << 32);
	/* No bytes, so neither address nor key matter (IBTA C9-88). */
	struct ibv_send_wr wr = {
		.wr_id = mark,
		.opcode = IBV_WR_RDMA_READ,
		.send_flags = IBV_SEND_SIGNALED,
	};
	struct ibv_send_wr *bad;
	struct rc_cq wait = { .cq = cq };
	struct ibv_wc wc;
	int err, i;

	for (i = 0; i < 2; i++)
		if (cell->worker->end[i].send.cq == cq)
			wait = cell->worker->end[i].send;
	*raw = calloc(1, sizeof(**raw));
	if (!*raw)
		return fail(cell->failure, ENOMEM, "no memory");
	err = ibv_post_send(qp, &wr, &bad);
	if (err)
		return fail(cell->failure, err, "cannot post a READ of nothing");
	(*raw)->queue = find_queue(mark);
	err = rc_wait(&wait, &wc, now_ns() + cell->worker->patience_ns,
		      cell->failure);
	if (err)
		return err;
	if (wc.status != IBV_WC_SUCCESS)
		return fail(cell->failure, 0, "READ of nothing: %s",
			    ibv_wc_status_str(wc.status));
	if (!(*raw)->queue)
		return fail(cell->failure, ENOENT,
			    "cannot find the send queue of the queue pair");
	return 0;
}

void raw_close(struct raw_sq *raw)
{
	free(raw);
}

/* Tell the kernel that there is something in the queue. */
static int doorbell(struct ibv_qp *qp)
{
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_post_send post;
		struct ib_uverbs_send_wr none;
	} command = {
		.header = {
			.command = IB_USER_VERBS_CMD_POST_SEND,
			.in_words = (sizeof(command) - sizeof(command.none)) / 4,
			.out_words = sizeof(struct ib_uverbs_post_send_resp) / 4,
		},
	};
	struct ib_uverbs_post_send_resp response;
	size_t size = sizeof(command) - sizeof(command.none);

	command.post.response = (uintptr_t)&response;
	command.post.qp_handle = qp->handle;
	command.post.wqe_size = sizeof(struct ib_uverbs_send_wr);
	return write(qp->context->cmd_fd, &command, size) == (ssize_t)size ?
	       0 : -errno;
}

int raw_post_flush(struct cell *cell, struct ibv_qp *qp, struct raw_sq *raw,
		   uint64_t id, uint64_t raddr, uint32_t rkey, uint32_t length,
		   bool all)
{
	struct rxe_queue_buf *queue = raw->queue;
	uint32_t producer = queue->producer_index;
	struct rxe_send_wqe *wqe;
	int err;

	wqe = (void *)(queue->data + ((size_t)(producer & queue->index_mask)
				      << queue->log2_elem_size));
	memset(wqe, 0, sizeof(*wqe));
	wqe->wr.wr_id = id;
	wqe->wr.opcode = WR_FLUSH;
	wqe->wr.send_flags = IBV_SEND_SIGNALED;
	wqe->wr.wr.flush.remote_addr = raddr;
	wqe->wr.wr.flush.length = length;
	wqe->wr.wr.flush.rkey = rkey;
	wqe->wr.wr.flush.type = IB_FLUSH_GLOBAL;
	/* rxe has pinned regions flush persistent memory only. */
	if (!cell->kind.pinned)
		wqe->wr.wr.flush.type |= IB_FLUSH_PERSISTENT;
	wqe->wr.wr.flush.level = all ? IB_FLUSH_MR : IB_FLUSH_RANGE;
	wqe->iova = raddr;
	/* This is the length that goes into the packet. */
	wqe->dma.length = length;
	wqe->dma.resid = length;
	wqe->ssn = producer;
	__atomic_store_n(&queue->producer_index,
			 (producer + 1) & queue->index_mask, __ATOMIC_RELEASE);
	err = doorbell(qp);
	if (err)
		return fail(cell->failure, -err, "cannot ring the doorbell");
	return 0;
}
