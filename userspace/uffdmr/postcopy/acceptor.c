// SPDX-License-Identifier: GPL-2.0
/*
 * Takes connections to a table. Nothing is ever received or sent here: peers read and
 * write by themselves, as long as their queue pair exists.
 *
 * A thread has the events of the connection manager. Both it and who calls the functions
 * of link.h end queue pairs, under @lock. An identifier is destroyed only by the thread,
 * after its last event, or when the thread is gone.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "link.h"
#include "rdma_dev.h"

#define BACKLOG		64
#define RNR_TIMER	1	/* 10 us until who was told to wait tries again */

struct conn {
	struct conn *next;
	struct rdma_cm_id *id;
	struct link_ask ask;
	bool alive;		/* it has a queue pair */
};

struct acceptor {
	struct rdma_event_channel *events;
	struct rdma_cm_id *id;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	pthread_t thread;
	bool started;
	int stop;

	pthread_mutex_t lock;	/* of all that follows */
	struct conn *conns;
	bool clients, session;	/* are admitted */
	uint64_t session_id;
	struct link_grant client_grant, session_grant;
};

/* @lock is held. Nothing is executed for it any more. */
static void end_conn(struct conn *conn)
{
	if (!conn->alive)
		return;
	conn->alive = false;
	rdma_disconnect(conn->id);
	rdma_destroy_qp(conn->id);
}

static enum link_refusal judge(struct acceptor *acceptor,
			       const struct link_ask *ask)
{
	struct conn *conn;

	if (ask->purpose != LINK_CLIENT)
		return !acceptor->session ? LINK_NOT_HERE :
		       acceptor->session_id != ask->nonce ? LINK_TAKEN : 0;
	if (!acceptor->clients)
		return LINK_NOT_HERE;
	for (conn = acceptor->conns; conn; conn = conn->next)
		if (conn->alive && conn->ask.purpose == LINK_CLIENT &&
		    conn->ask.client == ask->client &&
		    conn->ask.nonce != ask->nonce)
			return LINK_TAKEN;
	return 0;
}

/*
 * Who comes again has lost the old connection. What is still under way there must not
 * be executed behind what comes over the new one.
 */
static void end_earlier(struct acceptor *acceptor, const struct link_ask *ask)
{
	struct conn *conn;

	for (conn = acceptor->conns; conn; conn = conn->next)
		if (conn->ask.purpose == ask->purpose &&
		    conn->ask.client == ask->client)
			end_conn(conn);
}

static int accept_conn(struct acceptor *acceptor, struct conn *conn)
{
	bool client = conn->ask.purpose == LINK_CLIENT;
	const struct link_grant *grant = client ? &acceptor->client_grant :
						  &acceptor->session_grant;
	struct link_grant_data data = {
		.magic = htobe32(LINK_MAGIC),
		.rkey = htobe32(grant->rkey),
		.addr = htobe64(grant->addr),
		.length = htobe64(grant->length),
		.generation = htobe64(grant->generation),
		.parent = htobe64(grant->parent),
	};
	struct rdma_conn_param param = {
		.private_data = &data,
		.private_data_len = sizeof(data),
		.responder_resources = RDMA_MAX_RESP_RES,
		.initiator_depth = RDMA_MAX_INIT_DEPTH,
		.rnr_retry_count = 7,
	};
	struct ibv_qp_init_attr init = {
		.qp_type = IBV_QPT_RC,
		.send_cq = acceptor->cq,
		.recv_cq = acceptor->cq,
		.cap = {
			.max_send_wr = 1,
			.max_recv_wr = 1,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
	};
	struct ibv_qp_attr attr = { .min_rnr_timer = RNR_TIMER };

	if (rdma_create_qp(conn->id, acceptor->pd, &init))
		return -errno;
	if (rdma_accept(conn->id, &param)) {
		rdma_destroy_qp(conn->id);
		return -errno;
	}
	conn->alive = true;
	/* The connection manager leaves it at 655 ms. */
	ibv_modify_qp(conn->id->qp, &attr, IBV_QP_MIN_RNR_TIMER);
	return 0;
}

/* Returns why not. */
static enum link_refusal parse_ask(const struct rdma_conn_param *param,
				   struct link_ask *ask)
{
	struct link_ask_data data;

	if (!param->private_data || param->private_data_len < sizeof(data))
		return LINK_BAD_VERSION;
	memcpy(&data, param->private_data, sizeof(data));
	if (be32toh(data.magic) != LINK_MAGIC ||
	    be16toh(data.version) != LINK_VERSION ||
	    be16toh(data.purpose) > LINK_BACKGROUND)
		return LINK_BAD_VERSION;
	*ask = (struct link_ask){
		.purpose = be16toh(data.purpose),
		.client = be32toh(data.client),
		.nonce = be64toh(data.nonce),
	};
	return 0;
}

/* Returns whether the identifier is kept. */
static bool request(struct acceptor *acceptor, struct rdma_cm_id *id,
		    const struct rdma_conn_param *param)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	enum link_refusal why = LINK_BAD_VERSION;
	uint32_t reason;

	pthread_mutex_lock(&acceptor->lock);
	if (conn)
		why = parse_ask(param, &conn->ask);
	if (!why)
		why = judge(acceptor, &conn->ask);
	if (!why) {
		conn->id = id;
		end_earlier(acceptor, &conn->ask);
		if (accept_conn(acceptor, conn))
			why = LINK_NOT_HERE;
	}
	if (!why) {
		id->context = conn;
		conn->next = acceptor->conns;
		acceptor->conns = conn;
	}
	pthread_mutex_unlock(&acceptor->lock);
	if (!why)
		return true;
	free(conn);
	reason = htobe32(why);
	rdma_reject(id, &reason, sizeof(reason));
	return false;
}

/* Returns whether it has had its last event. */
static bool ended(struct acceptor *acceptor, struct rdma_cm_id *id)
{
	struct conn **link, *conn = id->context;

	if (!conn)
		return false;
	pthread_mutex_lock(&acceptor->lock);
	end_conn(conn);
	for (link = &acceptor->conns; *link != conn; link = &(*link)->next)
		;
	*link = conn->next;
	pthread_mutex_unlock(&acceptor->lock);
	free(conn);
	return true;
}

static void take_event(struct acceptor *acceptor)
{
	struct rdma_cm_event *event;
	struct rdma_cm_id *id;
	bool destroy = false;

	if (rdma_get_cm_event(acceptor->events, &event))
		return;
	id = event->id;
	switch (event->event) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		/* It has inherited the context of who listens. */
		id->context = NULL;
		destroy = !request(acceptor, id, &event->param.conn);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
	/* The peer gave up before it heard that it had been accepted. */
	case RDMA_CM_EVENT_REJECTED:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		destroy = id != acceptor->id && ended(acceptor, id);
		break;
	default:
		break;
	}
	rdma_ack_cm_event(event);
	if (destroy)
		rdma_destroy_id(id);
}

static void *run(void *arg)
{
	struct acceptor *acceptor = arg;
	struct pollfd fds[] = {
		{ .fd = acceptor->events->fd, .events = POLLIN },
		{ .fd = acceptor->stop, .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents)
			return NULL;
		take_event(acceptor);
	}
}

static int bind_to(struct acceptor *acceptor, const char *address,
		   const char *port, struct failure *failure)
{
	struct rdma_addrinfo hints = {
		.ai_port_space = RDMA_PS_TCP,
		.ai_flags = RAI_PASSIVE,
	};
	struct rdma_addrinfo *info;
	int err = 0;

	if (rdma_getaddrinfo(address, port, &hints, &info))
		return fail(failure, errno, "%s port %s", address, port);
	if (rdma_create_id(acceptor->events, &acceptor->id, NULL, RDMA_PS_TCP) ||
	    rdma_bind_addr(acceptor->id, info->ai_src_addr))
		err = fail(failure, errno, "no RDMA device has the address %s, or its port %s is in use",
			   address, port);
	rdma_freeaddrinfo(info);
	if (!err && !acceptor->id->verbs)
		err = fail(failure, ENODEV,
			   "give the address of one RDMA device, not %s", address);
	return err;
}

/* What clients do to memory that comes late. */
#define ODP_CAPS	(IBV_ODP_SUPPORT_READ | IBV_ODP_SUPPORT_WRITE | \
			 IBV_ODP_SUPPORT_ATOMIC)

static int begin(struct acceptor *acceptor, struct failure *failure)
{
	struct ibv_context *verbs = acceptor->id->verbs;
	int err;

	acceptor->pd = ibv_alloc_pd(verbs);
	if (acceptor->pd)
		acceptor->cq = ibv_create_cq(verbs, 1, NULL, NULL, 0);
	acceptor->stop = eventfd(0, EFD_CLOEXEC);
	if (!acceptor->cq || acceptor->stop < 0 ||
	    rdma_listen(acceptor->id, BACKLOG))
		return fail(failure, errno, "cannot listen for RDMA connections");
	err = pthread_create(&acceptor->thread, NULL, run, acceptor);
	acceptor->started = !err;
	return err ? fail(failure, err, "cannot start a thread") : 0;
}

struct acceptor *acceptor_open(const char *address, const char *port,
			       struct failure *failure)
{
	struct acceptor *acceptor = calloc(1, sizeof(*acceptor));

	if (!acceptor) {
		fail(failure, ENOMEM, "no memory");
		return NULL;
	}
	acceptor->stop = -1;
	pthread_mutex_init(&acceptor->lock, NULL);
	acceptor->events = rdma_create_event_channel();
	if (!acceptor->events) {
		fail(failure, errno,
		     "no RDMA connection manager (/dev/infiniband/rdma_cm)");
		acceptor_close(acceptor);
		return NULL;
	}
	if (bind_to(acceptor, address, port, failure) ||
	    rdma_dev_need_odp(acceptor->id->verbs, ODP_CAPS, failure) ||
	    begin(acceptor, failure)) {
		acceptor_close(acceptor);
		return NULL;
	}
	return acceptor;
}

void acceptor_close(struct acceptor *acceptor)
{
	struct conn *conn;

	if (!acceptor)
		return;
	if (acceptor->started) {
		eventfd_write(acceptor->stop, 1);
		pthread_join(acceptor->thread, NULL);
	}
	while ((conn = acceptor->conns)) {
		acceptor->conns = conn->next;
		end_conn(conn);
		rdma_destroy_id(conn->id);
		free(conn);
	}
	if (acceptor->id)
		rdma_destroy_id(acceptor->id);
	if (acceptor->cq)
		ibv_destroy_cq(acceptor->cq);
	if (acceptor->pd)
		ibv_dealloc_pd(acceptor->pd);
	if (acceptor->events)
		rdma_destroy_event_channel(acceptor->events);
	if (acceptor->stop >= 0)
		close(acceptor->stop);
	pthread_mutex_destroy(&acceptor->lock);
	free(acceptor);
}

struct ibv_pd *acceptor_pd(struct acceptor *acceptor)
{
	return acceptor->pd;
}

void acceptor_admit_clients(struct acceptor *acceptor,
			    const struct link_grant *grant)
{
	pthread_mutex_lock(&acceptor->lock);
	acceptor->client_grant = *grant;
	acceptor->clients = true;
	pthread_mutex_unlock(&acceptor->lock);
}

void acceptor_admit_session(struct acceptor *acceptor, uint64_t session,
			    const struct link_grant *grant)
{
	pthread_mutex_lock(&acceptor->lock);
	acceptor->session_grant = *grant;
	acceptor->session_id = session;
	acceptor->session = true;
	pthread_mutex_unlock(&acceptor->lock);
}

/* @lock is held. Returns how many there were. */
static unsigned int drop(struct acceptor *acceptor, bool clients)
{
	struct conn *conn;
	unsigned int n = 0;

	for (conn = acceptor->conns; conn; conn = conn->next) {
		bool client = conn->ask.purpose == LINK_CLIENT;

		if (client != clients || !conn->alive)
			continue;
		end_conn(conn);
		n++;
	}
	return n;
}

unsigned int acceptor_drop_clients(struct acceptor *acceptor)
{
	unsigned int n;

	pthread_mutex_lock(&acceptor->lock);
	acceptor->clients = false;
	n = drop(acceptor, true);
	pthread_mutex_unlock(&acceptor->lock);
	return n;
}

void acceptor_drop_session(struct acceptor *acceptor)
{
	pthread_mutex_lock(&acceptor->lock);
	acceptor->session_id = 0;
	drop(acceptor, false);
	pthread_mutex_unlock(&acceptor->lock);
}

unsigned int acceptor_clients(struct acceptor *acceptor)
{
	struct conn *conn;
	unsigned int n = 0;

	pthread_mutex_lock(&acceptor->lock);
	for (conn = acceptor->conns; conn; conn = conn->next)
		n += conn->alive && conn->ask.purpose == LINK_CLIENT;
	pthread_mutex_unlock(&acceptor->lock);
	return n;
}
