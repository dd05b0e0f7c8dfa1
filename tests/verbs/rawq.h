/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RAWQ_H
#define RAWQ_H

/*
 * The send and receive queues of a QP of rxe as the kernel shares them with user
 * space: for operations that rdma-core does not know yet, and for what it would
 * never write there.
 */
#include <errno.h>
#include <infiniband/verbs.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_user_rxe.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RAWQ_MAPPINGS	1024

struct rawq_mapping {
	unsigned long start, end, offset;
};

struct rawq_mappings {
	struct rawq_mapping of[RAWQ_MAPPINGS];
	int n;
};

struct rawq {
	struct ibv_qp *qp;
	struct rxe_queue_buf *sq, *rq;
	size_t sq_size, rq_size;	/* of the mappings */
};

/* What of uverbs is mapped at the moment. */
static inline int rawq_mappings(struct rawq_mappings *mappings)
{
	struct rawq_mapping m;
	char line[512];
	FILE *f;

	mappings->n = 0;
	f = fopen("/proc/self/maps", "re");
	if (!f)
		return -errno;
	while (mappings->n < RAWQ_MAPPINGS && fgets(line, sizeof(line), f)) {
		if (!strstr(line, "/uverbs") ||
		    sscanf(line, "%lx-%lx %*s %lx", &m.start, &m.end,
			   &m.offset) != 3)
			continue;
		mappings->of[mappings->n++] = m;
	}
	fclose(f);
	return 0;
}

/*
 * Find the two queues of @qp, which alone was created since @before was made. rxe
 * hands out its mappings' offsets in ascending order, the send queue's first.
 */
static inline int rawq_find(struct rawq *rawq, struct ibv_qp *qp,
			    const struct rawq_mappings *before)
{
	const struct rawq_mapping *found[2], *m;
	struct rawq_mappings now;
	int i, j, n = 0, err;

	err = rawq_mappings(&now);
	if (err)
		return err;
	for (i = 0; i < now.n; i++) {
		m = &now.of[i];
		for (j = 0; j < before->n; j++)
			if (before->of[j].offset == m->offset &&
			    before->of[j].start == m->start)
				break;
		if (j < before->n)
			continue;
		if (n == 2)
			return -E2BIG;
		found[n++] = m;
	}
	if (n != 2)
		return -ENOENT;
	i = found[0]->offset > found[1]->offset;
	rawq->qp = qp;
	rawq->sq = (void *)found[i]->start;
	rawq->sq_size = found[i]->end - found[i]->start;
	rawq->rq = (void *)found[!i]->start;
	rawq->rq_size = found[!i]->end - found[!i]->start;
	return 0;
}

static inline void *rawq_slot(struct rxe_queue_buf *queue, uint32_t index)
{
	return queue->data + ((size_t)(index & queue->index_mask) <<
			      queue->log2_elem_size);
}

/*
 * Find the send queue of @qp by what was posted to it last, if it was created
 * together with others: an access to @iova, which nobody else has used.
 */
static inline int rawq_find_posted(struct rawq *rawq, struct ibv_qp *qp,
				   uint64_t iova)
{
	struct rawq_mappings now;
	int i, err;

	err = rawq_mappings(&now);
	if (err)
		return err;
	for (i = 0; i < now.n; i++) {
		struct rxe_queue_buf *queue = (void *)now.of[i].start;
		struct rxe_send_wqe *wqe;

		/* Entries of the other kinds of queue are smaller. */
		if (1UL << queue->log2_elem_size < sizeof(*wqe))
			continue;
		wqe = rawq_slot(queue, queue->producer_index - 1);
		if (wqe->iova != iova)
			continue;
		*rawq = (struct rawq){
			.qp = qp,
			.sq = queue,
			.sq_size = now.of[i].end - now.of[i].start,
		};
		return 0;
	}
	return -ENOENT;
}

static inline void rawq_publish(struct rxe_queue_buf *queue, uint32_t producer)
{
	atomic_store_explicit((_Atomic uint32_t *)&queue->producer_index,
			      producer, memory_order_release);
}

/* Tell the kernel to look at the send queue. */
static inline int rawq_doorbell(struct rawq *rawq)
{
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_post_send cmd;
	} request = {
		.hdr = {
			.command = IB_USER_VERBS_CMD_POST_SEND,
			.in_words = sizeof(request) / 4,
			.out_words = sizeof(struct ib_uverbs_post_send_resp) / 4,
		},
		.cmd = {
			.qp_handle = rawq->qp->handle,
			.wqe_size = sizeof(struct ib_uverbs_send_wr),
		},
	};
	struct ib_uverbs_post_send_resp response;

	request.cmd.response = (uintptr_t)&response;
	if (write(rawq->qp->context->cmd_fd, &request, sizeof(request)) !=
	    sizeof(request))
		return errno;
	return 0;
}

/* Post one work queue entry as it is. 0 or a positive errno. */
static inline int rawq_post(struct rawq *rawq, const struct rxe_send_wqe *wqe,
			    size_t size)
{
	uint32_t producer = rawq->sq->producer_index;
	uint32_t next = (producer + 1) & rawq->sq->index_mask;

	if (next == rawq->sq->consumer_index)
		return ENOMEM;
	memcpy(rawq_slot(rawq->sq, producer), wqe, size);
	rawq_publish(rawq->sq, next);
	return rawq_doorbell(rawq);
}

static inline int rawq_fetch_add(struct rawq *rawq, uint64_t addr,
				 uint32_t rkey, uint64_t add,
				 struct ibv_sge *sge)
{
	union {
		struct rxe_send_wqe wqe;
		char room[sizeof(struct rxe_send_wqe) + sizeof(*sge)];
	} u = {
		.wqe = {
			.wr = {
				.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD,
				.send_flags = IBV_SEND_SIGNALED,
				.wr.atomic = {
					.remote_addr = addr,
					.compare_add = add,
					.rkey = rkey,
				},
			},
			.iova = addr,
			.dma = {
				.length = sge->length,
				.resid = sge->length,
				.num_sge = 1,
			},
		},
	};

	memcpy(u.wqe.dma.sge, sge, sizeof(*sge));
	return rawq_post(rawq, &u.wqe, sizeof(u));
}

#define RAWQ_WR_FLUSH		14
#define RAWQ_WR_ATOMIC_WRITE	15
#define RAWQ_ACCESS_FLUSH	(1 << 8)	/* IB_ACCESS_FLUSH_GLOBAL */
#define RAWQ_ACCESS_PERSIST	(1 << 9)	/* IB_ACCESS_FLUSH_PERSISTENT */
#define RAWQ_WC_FLUSH		8
#define RAWQ_WC_ATOMIC_WRITE	9

/* @type is IB_FLUSH_GLOBAL or IB_FLUSH_PERSISTENT, @level one of a range, of all. */
static inline int rawq_flush_as(struct rawq *rawq, uint64_t addr, uint32_t rkey,
				uint32_t length, int type, int level)
{
	struct rxe_send_wqe wqe = {
		.wr = {
			.opcode = RAWQ_WR_FLUSH,
			.send_flags = IBV_SEND_SIGNALED,
			.wr.flush = {
				.remote_addr = addr,
				.length = length,
				.rkey = rkey,
				.type = type,
				.level = level,
			},
		},
		.iova = addr,
		.dma = { .length = length, .resid = length },
	};

	return rawq_post(rawq, &wqe, sizeof(wqe));
}

static inline int rawq_flush(struct rawq *rawq, uint64_t addr, uint32_t rkey,
			     uint32_t length)
{
	return rawq_flush_as(rawq, addr, rkey, length, IB_FLUSH_GLOBAL,
			     IB_FLUSH_RANGE);
}

static inline int rawq_atomic_write(struct rawq *rawq, uint64_t addr,
				    uint32_t rkey, uint64_t value)
{
	union {
		struct rxe_send_wqe wqe;
		char room[sizeof(struct rxe_send_wqe) + sizeof(value)];
	} u = {
		.wqe = {
			.wr = {
				.opcode = RAWQ_WR_ATOMIC_WRITE,
				.send_flags = IBV_SEND_SIGNALED,
				.wr.rdma = { .remote_addr = addr, .rkey = rkey },
			},
			.iova = addr,
			.dma = { .length = sizeof(value), .resid = sizeof(value) },
		},
	};

	memcpy(u.wqe.dma.atomic_wr, &value, sizeof(value));
	return rawq_post(rawq, &u.wqe, sizeof(u));
}

#endif
