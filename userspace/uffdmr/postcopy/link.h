/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LINK_H
#define LINK_H

/*
 * Reliable connections of the RDMA connection manager to a table: link.c makes one,
 * acceptor.c takes them.
 */

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdbool.h>
#include <stdint.h>

#include "failure.h"

#define LINK_MAGIC	0x55465043	/* "UFPC" */
#define LINK_VERSION	1

enum link_purpose {
	LINK_CLIENT,		/* of the workload */
	LINK_DEMAND,		/* pages that somebody waits for */
	LINK_BACKGROUND,	/* and all others */
};

/* Who wants a connection, and what for. */
struct link_ask {
	enum link_purpose purpose;
	uint32_t client;	/* its number */
	uint64_t nonce;		/* of its process; or the session of a move */
};

/* What it gets. Generations count where the workload has been. */
struct link_grant {
	uint64_t addr, length;
	uint32_t rkey;
	uint64_t generation;
	uint64_t parent;	/* which it went on from */
};

/* Why it gets none. */
enum link_refusal {
	LINK_NOT_HERE = 1,	/* the workload does not run here */
	LINK_BAD_VERSION,
	LINK_TAKEN,		/* that client's number, or the move */
};

/* Both in network order, as they go over the wire. */
struct link_ask_data {
	uint32_t magic;
	uint16_t version;
	uint16_t purpose;
	uint32_t client;
	uint32_t unused;
	uint64_t nonce;
};

struct link_grant_data {
	uint32_t magic;
	uint32_t rkey;
	uint64_t addr, length, generation, parent;
};

struct link {
	struct rdma_event_channel *events;
	struct rdma_cm_id *id;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct link_grant grant;
};

/*
 * Connect, for @depth requests at a time. 0, or a negative errno: -EAGAIN if the
 * workload is not there. The link is closed then.
 */
int link_open(struct link *link, const char *address, const char *port,
	      const struct link_ask *ask, unsigned int depth, uint64_t deadline,
	      struct failure *failure);

/* One that is all zero is closed already. */
void link_close(struct link *link);

/*
 * One completion, if there is one: what ibv_poll_cq() returns. If not, the file of
 * @link->channel tells of the next.
 */
int link_poll(struct link *link, struct ibv_wc *wc);

/* Whether the peer has ended it. The file of @link->events tells when to look. */
bool link_ended(struct link *link);

/* --- the other end */

struct acceptor;

/* Of a device that has on-demand paging. Listens at once, and grants nothing yet. */
struct acceptor *acceptor_open(const char *address, const char *port,
			       struct failure *failure);

/* All connections end. NULL is none. */
void acceptor_close(struct acceptor *acceptor);

/* Of the device that the address belongs to. */
struct ibv_pd *acceptor_pd(struct acceptor *acceptor);

/* Clients are granted this from now on. */
void acceptor_admit_clients(struct acceptor *acceptor,
			    const struct link_grant *grant);

/* And whoever moves the table in this session is granted this. */
void acceptor_admit_session(struct acceptor *acceptor, uint64_t session,
			    const struct link_grant *grant);

/*
 * No clients from now on, and nothing that one has sent is executed any more when
 * this returns. Returns how many there were.
 */
unsigned int acceptor_drop_clients(struct acceptor *acceptor);

/* The same for the session; who comes with it again learns that it is over. */
void acceptor_drop_session(struct acceptor *acceptor);

unsigned int acceptor_clients(struct acceptor *acceptor);

#endif
