// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
#include <endian.h>
#include <pthread.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <stdlib.h>

#include "serve.h"

static struct rdma_cm_id *listener;
static struct ibv_pd *pd;
static struct ibv_mr *offered;

void die(const char *what)
{
	perror(what);
	exit(1);
}

struct ibv_pd *serve_open(const char *address)
{
	struct rdma_addrinfo hints = {
		.ai_flags = RAI_PASSIVE,
		.ai_port_space = RDMA_PS_TCP,
	};
	struct rdma_addrinfo *here;

	if (rdma_getaddrinfo(address, PORT, &hints, &here))
		die(address);
	if (rdma_create_id(rdma_create_event_channel(), &listener, NULL,
			   RDMA_PS_TCP) ||
	    rdma_bind_addr(listener, here->ai_src_addr) || !listener->verbs)
		die(address);
	rdma_freeaddrinfo(here);
	pd = ibv_alloc_pd(listener->verbs);
	if (!pd)
		die("protection domain");
	return pd;
}

static void let_in(struct rdma_cm_id *peer)
{
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 1, .max_recv_wr = 1,
			 .max_send_sge = 1, .max_recv_sge = 1 },
	};
	struct offer offer = {
		.addr = htobe64((uintptr_t)offered->addr),
		.length = htobe64(offered->length),
		.rkey = htobe32(offered->rkey),
	};
	struct rdma_conn_param param = {
		.private_data = &offer,
		.private_data_len = sizeof(offer),
		.responder_resources = 16,
		.initiator_depth = 16,
		.rnr_retry_count = 7,
	};

	if (rdma_create_qp(peer, pd, &attr) || rdma_accept(peer, &param)) {
		perror("peer");
		rdma_destroy_ep(peer);
	}
}

/* All that peers do needs no CPU of ours, but that they come and go. */
static void *welcome(void *arg)
{
	struct rdma_cm_event *event;
	struct rdma_cm_id *id;
	enum rdma_cm_event_type type;

	while (!rdma_get_cm_event(listener->channel, &event)) {
		id = event->id;
		type = event->event;
		rdma_ack_cm_event(event);
		if (type == RDMA_CM_EVENT_CONNECT_REQUEST)
			let_in(id);
		else if (type == RDMA_CM_EVENT_DISCONNECTED)
			rdma_destroy_ep(id);
	}
	return arg;
}

void serve(struct ibv_mr *mr)
{
	pthread_t thread;

	offered = mr;
	if (rdma_listen(listener, 8) ||
	    pthread_create(&thread, NULL, welcome, NULL))
		die("listen");
	pthread_detach(thread);
}
