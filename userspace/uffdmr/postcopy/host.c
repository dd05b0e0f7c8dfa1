// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <unistd.h>

#include "host.h"
#include "wire.h"

int host_open(struct host *host, const char *address, const char *port,
	      struct failure *failure)
{
	host->listen = wire_listen(address, port, failure);
	if (host->listen < 0)
		return host->listen;
	host->acceptor = acceptor_open(address, port, failure);
	return host->acceptor ? 0 : -EIO;
}

void host_close(struct host *host)
{
	struct ibv_mr *mr = host->mr;

	cpu_stop(host->cpu, &host->state);
	host->cpu = NULL;
	if (host->acceptor)
		acceptor_drop_clients(host->acceptor);
	if (mr)
		ibv_dereg_mr(mr);
	acceptor_close(host->acceptor);
	if (host->listen >= 0)
		close(host->listen);
	*host = (struct host)HOST_INIT;
}

struct link_grant host_grant(const struct host *host)
{
	return (struct link_grant){
		.addr = (uintptr_t)host->table,
		.length = host->length,
		.rkey = host->mr->rkey,
		.generation = host->generation,
		.parent = host->parent,
	};
}

int host_run(struct host *host, struct failure *failure)
{
	struct link_grant grant = host_grant(host);

	host->cpu = cpu_start(host->table, host->length, &host->state, failure);
	if (!host->cpu)
		return -ENOMEM;
	acceptor_admit_clients(host->acceptor, &grant);
	return 0;
}

unsigned int host_stop(struct host *host)
{
	unsigned int n = acceptor_drop_clients(host->acceptor);

	cpu_stop(host->cpu, &host->state);
	host->cpu = NULL;
	return n;
}
