/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RC_PAIR_H
#define RC_PAIR_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stdint.h>

#include "failure.h"
#include "rdma_dev.h"

/* A completion queue with the channel that lets a wait for it sleep. */
struct rc_cq {
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
};

int rc_cq_open(struct rc_cq *cq, struct ibv_context *ctx, uint32_t depth,
	       struct failure *failure);
void rc_cq_close(struct rc_cq *cq);

struct rc_end {
	struct rc_cq send;
	bool shared;		/* that one is not its own */
	struct rc_cq recv;
	struct ibv_qp *qp;
	struct ibv_ah *ah;	/* UD: the way to the other end */
	uint32_t to;		/* UD: the number of its queue pair */
};

/*
 * Two queue pairs of one device, connected to each other. They are RC if their
 * parameters do not say otherwise.
 */
struct rc_pair {
	struct rdma_dev *dev;
	struct rc_end end[2];
};

struct rc_params {
	enum ibv_qp_type transport;	/* 0: RC */
	enum ibv_mtu mtu;	/* 0: the port's own */
	uint8_t timeout;	/* 4.096 us << timeout until a resend */
	uint8_t retry_cnt;
	uint8_t rnr_retry;
	uint8_t min_rnr_timer;
	uint8_t max_rd_atomic;
	unsigned int access;	/* IBV_ACCESS_* for the remote side */
	uint32_t queue;		/* work requests and receives in flight */
	uint32_t sge;
	uint32_t inline_data;
	struct ibv_srq *srq;	/* what end 1 receives is posted to, or NULL */
	struct rc_cq *send;	/* where what end 0 posts completes; NULL: its own */
};

/*
 * Generous values: a resend after 4.3 s and seven of them, so that a page
 * that comes late does not cost the connection.
 */
extern const struct rc_params rc_params_default;

/* The timeout exponent that lasts at least @ns. */
uint8_t rc_timeout(uint64_t ns);

/* On success dev->gid_index and dev->gid are those that the pair goes over. */
int rc_pair_open(struct rc_pair *pair, struct rdma_dev *dev, struct ibv_pd *pd,
		 const struct rc_params *params, struct failure *failure);

/* Through RESET, and connected to each other again. */
int rc_pair_reset(struct rc_pair *pair, const struct rc_params *params,
		  struct failure *failure);

/*
 * Close one. In a kernel whose page faults block a QP's task, everything that
 * the pair waits for must have been supplied, or its userfaultfd closed.
 */
void rc_pair_close(struct rc_pair *pair);

/* One work request. */
struct rc_op {
	enum ibv_wr_opcode opcode;
	/* One scatter/gather element; or @num_sge of them in @sge. */
	uint64_t laddr;
	uint32_t lkey;
	uint32_t length;
	struct ibv_sge *sge;
	int num_sge;
	uint64_t raddr;
	uint32_t rkey;
	uint64_t compare_add;
	uint64_t swap;
	uint32_t imm;		/* big endian */
	unsigned int flags;	/* IBV_SEND_* besides IBV_SEND_SIGNALED */
};

int rc_post(struct rc_end *end, const struct rc_op *op,
	    struct failure *failure);
int rc_post_recv(struct rc_end *end, struct ibv_sge *sge, int num_sge,
		 struct failure *failure);

/*
 * Wait for one completion, of whatever status, until @deadline (now_ns());
 * -ETIMEDOUT if none came.
 */
int rc_wait(struct rc_cq *cq, struct ibv_wc *wc, uint64_t deadline,
	    struct failure *failure);

#endif
