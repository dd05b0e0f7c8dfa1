/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MATRIX_H
#define MATRIX_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "failure.h"
#include "rc_pair.h"
#include "rdma_dev.h"

/*
 *	matrix.c	runs the cells, each in a process that may be lost; TAP
 *	cells.c		the table: axes, and which combinations make sense
 *	features.c	the cells of the userfaultfd features
 *	verbs_ops.c	what a verb does, and what it has to have done
 *	conn.c		two connected queue pairs
 *	raw.c		work requests that the library does not know
 *	memory.c	memory under test, and the image of what is in it
 *	resolve.c	the thread that resolves its faults
 */

/* All functions that return int return 0 or a negative errno and describe it. */

/* --- the axes */

enum backing { ANON, SHMEM, HUGETLB, NR_BACKINGS };

enum fault_mode {
	NO_FAULTS,	/* all pages are there: the control */
	MISSING,
	MINOR,
	WP,
	WP_ASYNC,
};

enum resolution {
	NO_RESOLUTION,
	COPY,
	ZEROPAGE,
	CONTINUE,
	MOVE,
	UNPROTECT,
	POISON,
};

enum side { REMOTE, LOCAL, BOTH, NR_SIDES };

/* What memory is like. */
struct kind {
	bool pinned;		/* registered without on-demand paging */
	enum backing backing;
	enum fault_mode mode;
	enum resolution resolution;
};

enum effect { NOTHING, READS, WRITES };

/* What verbs.h does not have. */
#define WR_FLUSH		14
#define ACCESS_FLUSH_GLOBAL	0x100
#define ACCESS_FLUSH_PERSISTENT	0x200

struct verb {
	const char *name;
	enum ibv_qp_type transport;
	unsigned int opcode;	/* enum ibv_wr_opcode or WR_FLUSH */
	/* What it does to the memory of either side. */
	enum effect local, remote;
	bool receives;		/* consumes a receive at the other end */
	bool srq;		/* ... which comes from a shared queue */
	enum ibv_mw_type mw;	/* 0: the rkey is the memory region's */
	bool zero_based;	/* the window's addresses start at 0 */
	bool lists;		/* many pieces of memory of all sorts */
};

/* --- one cell */

struct cell;

typedef int (*cell_fn)(struct cell *cell);

struct cell {
	char name[80];
	char skip[120];		/* why it makes no sense, if it does not */
	cell_fn run;
	const struct verb *verb;
	struct kind kind;
	enum side side;
	int feature;		/* features.c */
	int mtu;		/* in bytes; 0: any */
	int ip;			/* 4, 6; 0: any */
	/* Where the printed table has it; NULL: nowhere. */
	const char *table, *row, *column;

	/* What it runs with. */
	struct worker *worker;
	struct failure *failure;
	uint64_t random;
};

struct cell_list {
	struct cell *cells;
	size_t count, room;
};

/* cells.c: all of them, in order. */
int cells_make(struct cell_list *list);
struct cell *cells_add(struct cell_list *list);
const struct verb *verb_named(const char *name);
extern const char *const side_names[NR_SIDES];

/* features.c */
int cells_add_features(struct cell_list *list);

/* A number below @below; the sequence is the cell's own. */
uint64_t draw(struct cell *cell, uint64_t below);

/* What the process that runs cells has opened once. */
struct worker {
	struct rdma_dev dev;
	struct ibv_pd *pd;
	struct rc_end end[2];	/* their completion queues; .qp is a cell's */
	int gid_index[2];	/* IPv4, IPv6; -1: there is none */
	union ibv_gid gid[2];
	uint64_t patience_ns;	/* for one completion */
	bool other_iova;	/* regions may have other addresses than memory */
	int pagemap;
};

int worker_open(struct worker *worker, uint64_t patience_ns,
		struct failure *failure);

/* --- memory */

struct handler;

struct region {
	struct kind kind;
	struct cell *cell;
	size_t page_size;
	char *map;		/* what is mapped, beyond the MR on both ends */
	char *alias;		/* MINOR: the way past userfaultfd */
	size_t len;
	size_t pages;
	int memfd;
	char *image;		/* what has to be there */
	char *supply;		/* what the handler puts into absent pages */
	bool *poisoned;		/* a page: gets POISON for an answer */
	uint64_t features;	/* of userfaultfd, besides what the mode needs */
	bool user_mode_only;
	struct handler *handler;
	struct ibv_mr *mr;
	size_t mr_off, mr_len;	/* within the mapping */
	uint64_t shift;		/* how far addresses of the device are off */
};

/* Fill the pool that random bytes are taken from; before the first region. */
void memory_init(uint64_t seed);
void fill_random(struct cell *cell, void *to, size_t len);

/*
 * Map, fill, register with userfaultfd and start its handler, but register no
 * memory region. region_open() does that as well.
 */
int region_map(struct cell *cell, struct region *region,
	       const struct kind *kind);
int region_register(struct region *region);
int region_open(struct cell *cell, struct region *region,
		const struct kind *kind);
void region_close(struct region *region);

/*
 * Make the pages of a range ones that fault (again), with other bytes where that
 * goes unseen by the mode; and forget what messages came.
 */
int region_arm(struct region *region, size_t off, size_t len);

/* Touch the pages of a range by the CPU; the messages are forgotten. */
int region_touch(struct region *region, size_t off, size_t len);

/*
 * What the network did to a range in between: @effect on each of its pages.
 * region_check_faults() wants the messages that go with all that was noted.
 */
void region_note(struct region *region, size_t off, size_t len,
		 enum effect effect);

/* How the fault messages since the last arming must not be. */
int region_check_faults(struct region *region, const char *name);

/* Compare with the image; pages that are absent only if @all. */
int region_check_bytes(struct region *region, const char *name, bool all);

bool region_faults(const struct region *region);

/* How the device addresses @off of the mapping. */
static inline uint64_t region_address(const struct region *region, size_t off)
{
	return (uintptr_t)region->map + off + region->shift;
}

/* --- resolve.c */

struct handler {
	int uffd;
	int stop_fd;
	int thread_started;
	unsigned long thread;	/* pthread_t */
	struct region *region;
	char *base;		/* of the region: EVENT_REMAP moves it */
	char *staging;		/* MOVE: where pages come from */

	/* A lock of resolve.c protects the rest. */
	unsigned int *messages;	/* per page */
	unsigned int *flags;	/* per page: UFFD_PAGEFAULT_FLAG_*, or'ed */
	uint32_t thread_id;	/* of the last message */
	unsigned int events[0x20];	/* UFFD_EVENT_*: how many */
	uint64_t from, to, length;	/* of the last event but PAGEFAULT */
	int child_uffd;		/* EVENT_FORK; -1 */
	int error;

	/* The main thread's: what is expected since the last arming. */
	enum effect *noted;	/* per page */
	bool *quiet;		/* per page: the CPU has had its fault */
};

int handler_start(struct region *region);
void handler_stop(struct handler *handler);
void handler_lock(void);
void handler_unlock(void);

/*
 * How often UFFD_EVENT_@event came; waits for the first. Who caused it goes on
 * as soon as it is read, which is before it is noted here.
 */
unsigned int handler_events(struct handler *handler, int event);

/* Resolve one fault the way the region's kind says. */
int handler_resolve(struct region *region, int uffd, size_t page);

int uffd_protect(int uffd, void *addr, size_t len, bool protect);

/* --- conn.c */

struct conn {
	struct worker *worker;
	enum ibv_qp_type transport;
	int mtu;
	struct ibv_qp *qp[2];
	struct ibv_srq *srq;	/* of end 1 */
	struct ibv_ah *ah;	/* UD */
	struct ibv_mw *mw[4];
	uint32_t mw_rkey[4];
	int mws;
	/* The window of a verb that goes through one. */
	size_t window_off;	/* within the mapping of the region */
	uint64_t window_base;	/* how the peer addresses that */
	struct raw_sq *raw;	/* of end 0, for FLUSH */
};

#define UD_QKEY		0x11111111
#define GRH_BYTES	40

int conn_open(struct cell *cell, struct conn *conn, int mtu, int ip);
void conn_close(struct conn *conn);

/* Bind a window of @len bytes at @off of the region's mapping, for end 0. */
int conn_bind(struct cell *cell, struct conn *conn, struct region *region,
	      size_t off, size_t len, int index, uint64_t *remote_base);

/* --- verbs_ops.c */

#define MAX_PIECES	4
#define LONGEST		40000UL	/* bytes of one operation */

struct piece {
	struct region *region;
	size_t off, len;	/* within the mapping */
};

/* One work request, and what it is to do. */
struct op {
	struct piece local[MAX_PIECES], remote[MAX_PIECES];
	int locals, remotes;
	size_t len;
	uint64_t operand[2];	/* of atomics; ATOMIC_WRITE: the first */
	uint32_t imm;
	bool flush_mr;		/* FLUSH: all of the memory region */
	/* Which side's page cannot be had: an error is what is wanted. */
	bool local_denied, remote_denied;
	uint32_t invalidate;	/* SEND_WITH_INV: filled in when it is posted */
};

/*
 * Post the operations at once, wait for all, and see that each completed as it
 * has to; then bring the images up to date and note the pages touched.
 */
int ops_run(struct cell *cell, struct conn *conn, struct op *ops, int n);

/* Fault messages and bytes of all regions that the operations name. */
int ops_check(struct op *ops, int n, bool all);

/* A place for @len bytes in [@lo, @hi), more often than not at an edge. */
size_t draw_offset(struct cell *cell, size_t lo, size_t hi, size_t len,
		   size_t align);
/* A length from 0 to @max, likewise. */
size_t draw_length(struct cell *cell, size_t max, int mtu);

/* --- cells.c */

/* What a cell has in memory, indexed by the side; lists mix all sorts. */
struct stage {
	struct region main[2], pinned[2], resident[2];
	struct conn conn;
	int mtu;
};

int stage_open(struct cell *cell, struct stage *stage);
void stage_close(struct stage *stage);

/* --- raw.c */

struct raw_sq;

/* Find the send queue of a connected RC queue pair. */
int raw_open(struct cell *cell, struct ibv_qp *qp, struct ibv_cq *cq,
	     struct raw_sq **raw);
int raw_post_flush(struct cell *cell, struct ibv_qp *qp, struct raw_sq *raw,
		   uint64_t id, uint64_t raddr, uint32_t rkey, uint32_t length,
		   bool all);
void raw_close(struct raw_sq *raw);

#endif
