// SPDX-License-Identifier: GPL-2.0
/* The end of a connection that asks for it. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "link.h"

#define RESOLVE_MS	2000
/*
 * 4.096 us << 16 until a packet is sent again, which is done six times: two seconds
 * without an answer end the connection. (With seven rxe would never give up.) A page
 * that is late does not, as the peer says so (RNR NAK), as often as it takes.
 */
#define ACK_TIMEOUT	16
#define RETRIES		6
#define RNR_FOR_EVER	7

/* The next event, for the caller to acknowledge; -ETIMEDOUT if there is none. */
static int next_event(struct link *link, uint64_t deadline,
		      struct rdma_cm_event **event)
{
	struct pollfd fd = { .fd = link->events->fd, .events = POLLIN };

	while (poll(&fd, 1, poll_ms(deadline)) <= 0)
		if (now_ns() >= deadline)
			return -ETIMEDOUT;
	return rdma_get_cm_event(link->events, event) ? -errno : 0;
}

/* Something else than @wanted is a failure. */
static int wait_event(struct link *link, enum rdma_cm_event_type wanted,
		      uint64_t deadline)
{
	struct rdma_cm_event *event;
	int err = next_event(link, deadline, &event);

	if (err)
		return err;
	if (event->event != wanted)
		err = event->status < 0 ? event->status : -EHOSTUNREACH;
	rdma_ack_cm_event(event);
	return err;
}

static int resolve(struct link *link, const char *address, const char *port,
		   uint64_t deadline)
{
	struct rdma_addrinfo hints = { .ai_port_space = RDMA_PS_TCP };
	struct rdma_addrinfo *info;
	int err;

	if (rdma_getaddrinfo(address, port, &hints, &info))
		return -errno;
	err = rdma_resolve_addr(link->id, NULL, info->ai_dst_addr, RESOLVE_MS) ?
	      -errno : 0;
	rdma_freeaddrinfo(info);
	if (!err)
		err = wait_event(link, RDMA_CM_EVENT_ADDR_RESOLVED, deadline);
	if (!err && rdma_resolve_route(link->id, RESOLVE_MS))
		err = -errno;
	return err ? err : wait_event(link, RDMA_CM_EVENT_ROUTE_RESOLVED,
				      deadline);
}

static int make_qp(struct link *link, unsigned int depth)
{
	struct ibv_qp_init_attr init = {
		.qp_type = IBV_QPT_RC,
		.cap = {
			.max_send_wr = depth,
			.max_recv_wr = 1,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
	};
	uint8_t timeout = ACK_TIMEOUT;
	int flags;

	link->pd = ibv_alloc_pd(link->id->verbs);
	if (!link->pd)
		return -errno;
	link->channel = ibv_create_comp_channel(link->id->verbs);
	if (!link->channel)
		return -errno;
	/* Who waits for an event has poll() for it. */
	flags = fcntl(link->channel->fd, F_GETFL);
	fcntl(link->channel->fd, F_SETFL, flags | O_NONBLOCK);
	link->cq = ibv_create_cq(link->id->verbs, depth, NULL, link->channel, 0);
	if (!link->cq)
		return -errno;
	init.send_cq = link->cq;
	init.recv_cq = link->cq;
	if (rdma_create_qp(link->id, link->pd, &init))
		return -errno;
	if (rdma_set_option(link->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT,
			    &timeout, sizeof(timeout)))
		return -errno;
	return 0;
}

static int take_grant(struct link *link, const struct link_grant_data *data)
{
	if (be32toh(data->magic) != LINK_MAGIC)
		return -EPROTO;
	link->grant = (struct link_grant){
		.addr = be64toh(data->addr),
		.length = be64toh(data->length),
		.rkey = be32toh(data->rkey),
		.generation = be64toh(data->generation),
		.parent = be64toh(data->parent),
	};
	return 0;
}

/* An answer that says no. */
static int refusal(const struct rdma_cm_event *event, struct failure *failure)
{
	uint32_t reason = 0;

	if (event->param.conn.private_data &&
	    event->param.conn.private_data_len >= sizeof(reason))
		memcpy(&reason, event->param.conn.private_data, sizeof(reason));
	switch (be32toh(reason)) {
	case LINK_NOT_HERE:
		return -EAGAIN;
	case LINK_BAD_VERSION:
		return fail(failure, EPROTO,
			    "the peer speaks another version of the protocol");
	case LINK_TAKEN:
		return fail(failure, EBUSY,
			    "the peer serves another one already");
	}
	/* Nobody listens. */
	return -ECONNREFUSED;
}

static int connect_qp(struct link *link, const struct link_ask *ask,
		      uint64_t deadline, struct failure *failure)
{
	struct link_ask_data data = {
		.magic = htobe32(LINK_MAGIC),
		.version = htobe16(LINK_VERSION),
		.purpose = htobe16(ask->purpose),
		.client = htobe32(ask->client),
		.nonce = htobe64(ask->nonce),
	};
	struct rdma_conn_param param = {
		.private_data = &data,
		.private_data_len = sizeof(data),
		.responder_resources = RDMA_MAX_RESP_RES,
		.initiator_depth = RDMA_MAX_INIT_DEPTH,
		.retry_count = RETRIES,
		.rnr_retry_count = RNR_FOR_EVER,
	};
	struct link_grant_data grant = { 0 };
	struct rdma_cm_event *event;
	int err;

	if (rdma_connect(link->id, &param))
		return -errno;
	err = next_event(link, deadline, &event);
	if (err)
		return err;
	if (event->event == RDMA_CM_EVENT_ESTABLISHED) {
		if (event->param.conn.private_data_len >= sizeof(grant))
			memcpy(&grant, event->param.conn.private_data,
			       sizeof(grant));
		err = take_grant(link, &grant);
	} else if (event->event == RDMA_CM_EVENT_REJECTED) {
		err = refusal(event, failure);
	} else {
		err = event->status < 0 ? event->status : -ETIMEDOUT;
	}
	rdma_ack_cm_event(event);
	return err;
}

int link_open(struct link *link, const char *address, const char *port,
	      const struct link_ask *ask, unsigned int depth, uint64_t deadline,
	      struct failure *failure)
{
	int err = 0;

	*link = (struct link){ .events = rdma_create_event_channel() };
	if (!link->events)
		return fail(failure, errno,
			    "no RDMA connection manager (/dev/infiniband/rdma_cm)");
	if (rdma_create_id(link->events, &link->id, NULL, RDMA_PS_TCP))
		err = -errno;
	if (!err)
		err = resolve(link, address, port, deadline);
	if (!err)
		err = make_qp(link, depth);
	if (!err)
		err = connect_qp(link, ask, deadline, failure);
	if (err) {
		link_close(link);
		fail(failure, -err, "no RDMA connection to %s port %s", address,
		     port);
	}
	return err;
}

void link_close(struct link *link)
{
	if (link->id && link->id->qp) {
		rdma_disconnect(link->id);
		rdma_destroy_qp(link->id);
	}
	if (link->cq)
		ibv_destroy_cq(link->cq);
	if (link->channel)
		ibv_destroy_comp_channel(link->channel);
	if (link->pd)
		ibv_dealloc_pd(link->pd);
	if (link->id)
		rdma_destroy_id(link->id);
	if (link->events)
		rdma_destroy_event_channel(link->events);
	*link = (struct link){ 0 };
}

int link_poll(struct link *link, struct ibv_wc *wc)
{
	int n = ibv_poll_cq(link->cq, 1, wc);

	if (n)
		return n;
	/* What arrives between the two is no event. */
	ibv_req_notify_cq(link->cq, 0);
	return ibv_poll_cq(link->cq, 1, wc);
}

bool link_ended(struct link *link)
{
	struct pollfd fd = { .fd = link->events->fd, .events = POLLIN };
	struct rdma_cm_event *event;

	if (poll(&fd, 1, 0) <= 0)
		return false;
	/* Nothing else comes to a connection that stands. */
	if (!rdma_get_cm_event(link->events, &event))
		rdma_ack_cm_event(event);
	return true;
}
