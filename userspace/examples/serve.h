/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
#ifndef SERVE_H
#define SERVE_H

#include <infiniband/verbs.h>

/*
 * What the examples need around the library: peers that connect by the RDMA CM. What
 * goes wrong ends the program.
 */

#define PORT	"7471"

/* What a peer is told when it is let in. In network byte order. */
struct offer {
	uint64_t addr;
	uint64_t length;
	uint32_t rkey;
} __attribute__((packed));

/* Of the device that has this address. */
struct ibv_pd *serve_open(const char *address);

/* Let peers access the region, all that come, in a thread, from now on. */
void serve(struct ibv_mr *mr);

/* Say what did not work, with errno, and exit. */
void __attribute__((noreturn)) die(const char *what);

#endif
