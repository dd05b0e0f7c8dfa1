// SPDX-License-Identifier: GPL-2.0
#include <errno.h>

#include "bench.h"
#include "clock.h"

/* The next message, over a pair. */
static int post(const struct transfer *transfer, struct rc_pair *pair,
		uint64_t *posted, struct failure *failure)
{
	uint64_t left = transfer->region->length - *posted;
	struct rc_op op = {
		.opcode = transfer->operation == READ ? IBV_WR_RDMA_READ :
							IBV_WR_RDMA_WRITE,
		.laddr = (uintptr_t)transfer->local->addr + *posted,
		.lkey = transfer->local->lkey,
		.length = left < transfer->size ? left : transfer->size,
		.raddr = (uintptr_t)transfer->region->addr + *posted,
		.rkey = transfer->region->rkey,
	};
	int err;

	err = rc_post(&pair->end[0], &op, failure);
	if (!err)
		*posted += op.length;
	return err;
}

static struct rc_pair *pair_of(const struct transfer *transfer, uint32_t qp_num)
{
	struct rc_pair *pair = transfer->pairs;

	while (pair->end[0].qp->qp_num != qp_num)
		pair++;
	return pair;
}

int transfer_run(const struct transfer *transfer, uint64_t *ns,
		 struct ibv_wc *refused, struct failure *failure)
{
	uint64_t length = transfer->region->length, posted = 0;
	uint64_t start = now_ns(), deadline = start + transfer->timeout_ns;
	unsigned int i, in_flight = 0;
	struct rc_pair *pair;
	int err = 0;

	/* All pairs get their first message before any gets its second. */
	for (i = 0; !err && posted < length && i < IN_FLIGHT * transfer->qps; i++) {
		err = post(transfer, &transfer->pairs[i % transfer->qps],
			   &posted, failure);
		in_flight++;
	}
	while (!err && in_flight) {
		err = rc_wait(transfer->cq, refused, deadline, failure);
		if (err)
			return err;
		if (refused->status != IBV_WC_SUCCESS)
			return -EREMOTEIO;
		pair = pair_of(transfer, refused->qp_num);
		if (posted < length)
			err = post(transfer, pair, &posted, failure);
		else
			in_flight--;
	}
	*ns = now_ns() - start;
	return err;
}
