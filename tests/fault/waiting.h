/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FAULT_WAITING_H
#define FAULT_WAITING_H

/* Accesses that wait for pages which nobody supplies. */

#include <unistd.h>

#include "lab.h"
#include "machine.h"

#define MANY		200

/* What a process that is killed leaves behind, and gets back. */
#define BULK		(64UL << 20)

/* Where the absent pages are, seen from end 0 of the pair. */
enum side { LOCAL, REMOTE };

struct waiting {
	struct mem *pinned, *absent;
	struct rc_pair pair;
	bool open;
};

static inline void close_pair(struct waiting *w)
{
	if (w->open)
		rc_pair_close(&w->pair);
	w->open = false;
}

/* All that an access needs; both regions are as large. */
static inline int make_ready(struct lab *lab, struct waiting *w, int pages)
{
	int err;

	lab->page_latency_ns = NEVER;
	w->pinned = mem_new(lab, MEM_PINNED, pages, ACCESS_ALL);
	w->absent = w->pinned ? mem_new(lab, MEM_UFFD, pages, ACCESS_ALL) : NULL;
	if (!w->absent)
		return -EIO;
	err = rc_pair_open(&w->pair, &lab->dev, lab->pd, &rc_params_default,
			   &lab->failure);
	w->open = !err;
	return err;
}

/* Returns when @pages have been asked for of @absent. */
static inline int wait_asked(struct lab *lab, struct mem *absent,
			     unsigned int pages)
{
	uint64_t deadline = now_ns() + PATIENCE;

	while (mem_messages(absent) < pages) {
		if (now_ns() > deadline)
			return fail(&lab->failure, 0,
				    "%u of %u pages were asked for",
				    mem_messages(absent), pages);
		usleep(1000);
	}
	return 0;
}

/* Returns when all pages have been asked for, and the access still waits. */
static inline int set_out(struct lab *lab, struct waiting *w, enum side absent,
			  int pages, enum ibv_wr_opcode opcode)
{
	struct rc_op op;
	int err;

	err = make_ready(lab, w, pages);
	if (err)
		return err;
	op = mem_op(opcode, absent == LOCAL ? w->absent : w->pinned, 0,
		    absent == LOCAL ? w->pinned : w->absent, 0,
		    pages * lab->page_size);
	return rc_post(&w->pair.end[0], &op, &lab->failure) ?:
	       wait_asked(lab, w->absent, pages);
}

/* What it ends with until then, for the requester. */
static inline int ends_until(struct lab *lab, struct rc_pair *pair,
			     uint64_t deadline, enum ibv_wc_status status)
{
	struct ibv_wc wc;
	int err;

	err = rc_wait(&pair->end[0].send, &wc, deadline, &lab->failure);
	if (err)
		return err;
	if (wc.status != status)
		return fail(&lab->failure, 0, "completion: %s, and not %s",
			    ibv_wc_status_str(wc.status),
			    ibv_wc_status_str(status));
	return 0;
}

/* The same, of what has nothing to wait for any more. */
static inline int ends_with(struct lab *lab, struct rc_pair *pair,
			    enum ibv_wc_status status)
{
	return ends_until(lab, pair, now_ns() + AT_ONCE, status);
}

static inline int to_state(struct ibv_qp *qp, enum ibv_qp_state state)
{
	struct ibv_qp_attr attr = { .qp_state = state };

	return ibv_modify_qp(qp, &attr, IBV_QP_STATE);
}

/* A lot of memory, all of it there. */
static inline char *map_bulk(void)
{
	char *bulk = mmap(NULL, BULK, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bulk != MAP_FAILED)
		memset(bulk, 1, BULK);
	return bulk;
}

/*
 * Of a process that had a bulk: whether it is free, or will be soon. The last
 * reference to its memory may be dropped a little later than it has ended.
 */
static inline bool bulk_is_free(long long free_before, uint64_t begun)
{
	long long least = free_before + BULK - BULK / 8;

	while (free_memory() < least && now_ns() - begun < 2 * AT_ONCE)
		usleep(10000);
	return free_memory() >= least;
}

#endif
