/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_H
#define HOST_H

/* Where the workload is: memory, the way for clients to it, and what the CPU does. */

#include "link.h"
#include "table.h"

#define HOST_ACCESS	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | \
			 IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC)

struct host {
	struct acceptor *acceptor;
	int listen;		/* for messages */
	void *table;
	size_t length;
	struct ibv_mr *mr;
	struct cpu *cpu;	/* NULL: it is stopped */
	struct cpu_state state;	/* of a stopped one */
	uint64_t generation, parent;
};

/* All zero but @listen, -1, is closed. */
#define HOST_INIT	{ .listen = -1 }

/* Listen for all that comes. */
int host_open(struct host *host, const char *address, const char *port,
	      struct failure *failure);
void host_close(struct host *host);

/* What a connection to @host->mr is granted. */
struct link_grant host_grant(const struct host *host);

/* The workload goes on from @host->state; clients may come. */
int host_run(struct host *host, struct failure *failure);

/* Nobody changes memory when this returns. Returns how many clients there were. */
unsigned int host_stop(struct host *host);

#endif
