// SPDX-License-Identifier: GPL-2.0
/*
 * race [SECONDS [SEED]]: connections work on memory that is paged on demand, in
 * part supplied by userfaultfd, while other threads do everything to it that
 * invalidates a translation. With TOLERANT=1 any operation may fail (for fault
 * injection), but none may do harm.
 *
 * Each connection has a piece of its own in each page, a slot. What may be found
 * there is known at any time:
 *  - what was written last, unless an invalidation that loses data overlapped;
 *  - after such a one, a fresh page: zeros, or what the handler supplies;
 *  - nothing older, and not what was there before a loss that was over when the
 *    access began.
 * An access may fail only if the memory was out of reach at some time during it.
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"
#include "machine.h"
#include "uffd.h"
#include "uverbs.h"

#define AREAS		4
#define AREA_SIZE	(2UL << 20)	/* so that a huge page may be there */
#define PAGE		4096UL
#define CONNECTIONS	3
#define INVALIDATORS	2
#define SLOT		1024UL
#define WORDS		(SLOT / 8)
#define DATA_WORDS	(WORDS - 1)	/* the last one is for FETCH_ADD */
#define ARENA		((char *)0x100000000000)
#define SPARE		((char *)0x110000000000)
#define FRESH		0xf5e5ULL
#define MERGE_NS	(2 * NSEC_PER_SEC)	/* rounds of ksmd, on a slow kernel */

/* The pages of an area that are used, some of them at its edges. */
static const size_t pages[] = { 0, 1, 2, 3, 255, 256, 510, 511 };

struct area {
	char *addr;
	int index;
	int memfd;		/* -1: anonymous */
	bool uffd;
	_Atomic bool calm;	/* it is only read */
	pthread_mutex_t lock;	/* one invalidation at a time; protects @uffd */
	struct ibv_mr *mr;
	_Atomic uint64_t keys;	/* of @mr: local, and remote << 32 */
	/* Counted at the begin and at the end, so odd in between: */
	_Atomic unsigned long loss;	/* what may lose data */
	_Atomic unsigned long outage;	/* what may make accesses fail */
	_Atomic unsigned long lazy;	/* MADV_FREE */
	/* What loses all data for certain: */
	_Atomic unsigned long drop_begun, drop_done;
};

/* What may be found in a place, besides a fresh page after a loss. */
struct cell {
	uint64_t may[8];
	int n;
	bool fresh;
	unsigned long loss;	/* as it was when this was true */
	unsigned long lazy;	/* as it was before this was written */
	unsigned long drop_begun;
};

struct slot {
	struct cell data, counter;
};

struct connection {
	int index;
	pthread_t thread;
	unsigned int seed;
	struct rc_pair pair;
	char *local;		/* pinned; a slot to send, a slot to receive */
	struct ibv_mr *local_mr;
	uint64_t sequence;
	struct slot slots[AREAS][ARRAY_SIZE(pages)];
	unsigned long done, failed;
	struct failure failure;
};

static struct lab lab;
static struct area areas[AREAS];
static struct ibv_mr *whole_mr;		/* one over all areas, all the time */
static struct connection connections[CONNECTIONS];
static int uffd;
static bool tolerant;
static _Atomic bool stop, broken;
static _Atomic unsigned long supplied, canaries;

static __printf(1, 2) void complain(const char *fmt, ...)
{
	va_list args;

	broken = true;
	stop = true;
	flockfile(stdout);
	printf("# ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	funlockfile(stdout);
}

/* ---- what is found, and what may be */

static uint64_t fresh_word(const struct area *area, size_t page, size_t word)
{
	return FRESH << 48 | (uint64_t)area->index << 32 | page << 16 | word;
}

static void cell_set(struct cell *cell, uint64_t value)
{
	cell->may[0] = value;
	cell->n = 1;
	cell->fresh = false;
}

static void cell_add(struct cell *cell, uint64_t value)
{
	/* More than this are not told apart: forget the oldest. */
	if (cell->n == ARRAY_SIZE(cell->may)) {
		memmove(cell->may, cell->may + 1,
			sizeof(cell->may) - sizeof(cell->may[0]));
		cell->n--;
	}
	cell->may[cell->n++] = value;
}

struct moment {
	unsigned long loss, lazy, outage, drop_done;
};

static struct moment sample(struct area *area)
{
	return (struct moment){
		.loss = area->loss,
		.lazy = area->lazy,
		.outage = area->outage,
		.drop_done = area->drop_done,
	};
}

static bool may_fail(struct area *area, const struct moment *before)
{
	return tolerant || before->outage % 2 ||
	       area->outage != before->outage;
}

/* An access that began @before finds this: forget what is gone for certain. */
static void cell_begin(struct cell *cell, const struct moment *before)
{
	if (before->drop_done > cell->drop_begun) {
		cell->n = 0;
		cell->fresh = true;
	}
}

/* To be called after the access. */
static void cell_refresh(struct cell *cell, struct area *area)
{
	if (cell->loss % 2 || area->loss != cell->loss)
		cell->fresh = true;
}

/* That was written. */
static void cell_wrote(struct cell *cell, struct area *area,
		       const struct moment *before, uint64_t value)
{
	cell_set(cell, value);
	cell->loss = before->loss;
	cell->lazy = before->lazy;
	cell_refresh(cell, area);
	cell->drop_begun = area->drop_begun;
}

/* That may have been written. */
static void cell_tried(struct cell *cell, struct area *area, uint64_t value)
{
	cell_refresh(cell, area);
	cell_add(cell, value);
	cell->drop_begun = area->drop_begun;
}

static bool cell_holds(const struct cell *cell, struct area *area, size_t page,
		       size_t word, size_t index, uint64_t value)
{
	int i;

	if (cell->fresh && (!value || value == fresh_word(area, page, word)))
		return true;
	for (i = 0; i < cell->n; i++)
		if (value == cell->may[i] + index)
			return true;
	return false;
}

/* If nothing was lost meanwhile, all the rest is ruled out by what was found. */
static void cell_found(struct cell *cell, struct area *area,
		       const struct moment *before, uint64_t value,
		       bool is_fresh)
{
	if (before->loss % 2 || area->loss != before->loss)
		return;
	cell->loss = before->loss;
	cell->drop_begun = area->drop_begun;
	if (area->loss != before->loss)
		cell->drop_begun = before->drop_done;
	cell_set(cell, value);
	if (is_fresh)
		cell->n = 0;
	cell->fresh = is_fresh || cell->lazy != area->lazy;
}

static void complain_word(struct connection *c, struct area *area, size_t page,
			  size_t word, const char *what, uint64_t value,
			  const struct cell *cell)
{
	complain("connection %d, area %d, page %zu, word %zu, %s: %#lx is there; last written %#lx%s",
		 c->index, area->index, page, word, what, value,
		 cell->n ? cell->may[cell->n - 1] : 0,
		 cell->fresh ? ", or a fresh page" : "");
}

static void check_slot(struct connection *c, struct area *area, size_t p,
		       const uint64_t *have, const struct moment *before,
		       const char *what)
{
	struct slot *slot = &c->slots[area->index][p];
	size_t first = c->index * WORDS, i;
	bool is_fresh, same = true;
	uint64_t fresh = fresh_word(area, pages[p], first);

	cell_begin(&slot->data, before);
	cell_begin(&slot->counter, before);
	cell_refresh(&slot->data, area);
	cell_refresh(&slot->counter, area);
	for (i = 0; i < DATA_WORDS; i++) {
		if (!cell_holds(&slot->data, area, pages[p], first + i, i,
				have[i])) {
			complain_word(c, area, pages[p], i, what, have[i],
				      &slot->data);
			return;
		}
	}
	if (!cell_holds(&slot->counter, area, pages[p], first + i, 0,
			have[i])) {
		complain_word(c, area, pages[p], i, what, have[i],
			      &slot->counter);
		return;
	}
	is_fresh = !have[0] || have[0] == fresh;
	for (i = 1; i < DATA_WORDS; i++)
		same &= have[i] == (have[0] ? have[0] + i : 0);
	if (same)
		cell_found(&slot->data, area, before, have[0], is_fresh);
	cell_found(&slot->counter, area, before, have[DATA_WORDS],
		   !have[DATA_WORDS] ||
		   have[DATA_WORDS] == fresh + DATA_WORDS);
}

/* ---- the accesses */

/*
 * If all may fail, so may the NAK that tells of it, and to rxe a retry count of 7
 * means to repeat for ever.
 */
static struct rc_params params(void)
{
	struct rc_params rc = rc_params_default;

	if (tolerant) {
		rc.timeout = 17;
		rc.retry_cnt = 6;
	}
	return rc;
}

static bool reconnect(struct connection *c)
{
	struct rc_params rc = params();
	uint64_t end = now_ns() + PATIENCE;

	do {
		rc_pair_close(&c->pair);
		c->failure = (struct failure){ 0 };
		if (!rc_pair_open(&c->pair, &lab.dev, lab.pd, &rc, &c->failure))
			return true;
	} while (tolerant && now_ns() < end);
	complain("connection %d: %s", c->index, c->failure.text);
	return false;
}

enum access {
	ACC_WRITE, ACC_READ, ACC_SEND, ACC_FETCH_ADD,
	ACC_LOCAL_READ,		/* the slot is what is sent */
	ACC_LOCAL_WRITE,	/* the slot is what a READ response goes to */
	ACC_CPU_READ, ACC_CPU_WRITE,
	ACC_COUNT
};

static const char *const access_name[] = {
	"WRITE", "READ", "SEND", "FETCH_ADD", "local read", "local write",
	"CPU read", "CPU write",
};

static int run_op(struct connection *c, const struct rc_op *op,
		  struct ibv_sge *receive, struct ibv_wc *wc)
{
	int err = 0;

	if (receive)
		err = rc_post_recv(&c->pair.end[1], receive, 1, &c->failure);
	if (!err)
		err = rc_post(&c->pair.end[0], op, &c->failure);
	/* It may be in the queue all the same: as good as failed later. */
	if (err && tolerant) {
		wc->status = IBV_WC_GENERAL_ERR;
		return 0;
	}
	if (!err)
		err = rc_wait(&c->pair.end[0].send, wc, now_ns() + PATIENCE,
			      &c->failure);
	if (!err && receive && wc->status == IBV_WC_SUCCESS)
		err = rc_wait(&c->pair.end[1].recv, wc, now_ns() + PATIENCE,
			      &c->failure);
	if (err)
		complain("connection %d, opcode %d, %#lx, remote %#lx: %s",
			 c->index, op->opcode, op->laddr, op->raddr,
			 c->failure.text);
	return err;
}

static int run_cpu(void *local, void *remote, size_t len, bool write)
{
	struct iovec liov = { .iov_base = local, .iov_len = len };
	struct iovec riov = { .iov_base = remote, .iov_len = len };
	ssize_t n;

	/* Unlike a plain access it tells that the memory is out of reach. */
	n = write ? process_vm_writev(getpid(), &liov, 1, &riov, 1, 0) :
		    process_vm_readv(getpid(), &liov, 1, &riov, 1, 0);
	return n == (ssize_t)len ? IBV_WC_SUCCESS : IBV_WC_GENERAL_ERR;
}

static void do_access(struct connection *c, enum access access,
		      struct area *area, size_t p)
{
	struct slot *slot = &c->slots[area->index][p];
	char *addr = area->addr + pages[p] * PAGE + c->index * SLOT;
	uint64_t *send = (uint64_t *)c->local;
	uint64_t *receive = (uint64_t *)(c->local + SLOT);
	uint64_t value = (uint64_t)(c->index + 1) << 56 |
			 (uint64_t)area->index << 52 |
			 (uint64_t)pages[p] << 40 | ++c->sequence << 8;
	struct moment before = sample(area);
	uint64_t keys = rand_r(&c->seed) % 2 ? area->keys :
			(uint64_t)whole_mr->rkey << 32 | whole_mr->lkey;
	struct rc_op op = {
		.opcode = IBV_WR_RDMA_WRITE,
		.laddr = (uintptr_t)send,
		.lkey = c->local_mr->lkey,
		.length = DATA_WORDS * 8,
		.raddr = (uintptr_t)addr,
		.rkey = keys >> 32,
	};
	struct ibv_sge sge = {
		.addr = (uintptr_t)addr,
		.length = DATA_WORDS * 8,
		.lkey = (uint32_t)keys,
	};
	struct ibv_wc wc = { .status = IBV_WC_SUCCESS };
	size_t i;

	for (i = 0; i < DATA_WORDS; i++)
		send[i] = value + i;
	memset(receive, 0xee, SLOT);

	switch (access) {
	case ACC_WRITE:
	case ACC_SEND:
		if (access == ACC_SEND)
			op.opcode = IBV_WR_SEND;
		if (run_op(c, &op, access == ACC_SEND ? &sge : NULL, &wc))
			return;
		break;
	case ACC_LOCAL_WRITE:
		op.opcode = IBV_WR_RDMA_READ;
		op.laddr = (uintptr_t)addr;
		op.lkey = (uint32_t)keys;
		op.raddr = (uintptr_t)send;
		op.rkey = c->local_mr->rkey;
		if (run_op(c, &op, NULL, &wc))
			return;
		break;
	case ACC_READ:
		op.opcode = IBV_WR_RDMA_READ;
		op.laddr = (uintptr_t)receive;
		op.length = SLOT;
		if (run_op(c, &op, NULL, &wc))
			return;
		break;
	case ACC_LOCAL_READ:
		op.laddr = (uintptr_t)addr;
		op.lkey = (uint32_t)keys;
		op.length = SLOT;
		op.raddr = (uintptr_t)receive;
		op.rkey = c->local_mr->rkey;
		if (run_op(c, &op, NULL, &wc))
			return;
		break;
	case ACC_FETCH_ADD:
		op.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
		op.laddr = (uintptr_t)receive;
		op.length = 8;
		op.raddr += DATA_WORDS * 8;
		op.compare_add = 1;
		if (run_op(c, &op, NULL, &wc))
			return;
		break;
	case ACC_CPU_READ:
		wc.status = run_cpu(receive, addr, SLOT, false);
		break;
	case ACC_CPU_WRITE:
		wc.status = run_cpu(send, addr, DATA_WORDS * 8, true);
		break;
	case ACC_COUNT:
		break;
	}

	c->done++;
	if (wc.status != IBV_WC_SUCCESS) {
		c->failed++;
		if (!may_fail(area, &before)) {
			complain("connection %d, area %d, page %zu, %s: %s, though the memory was there all the time",
				 c->index, area->index, pages[p],
				 access_name[access],
				 ibv_wc_status_str(wc.status));
			return;
		}
		/* Whatever of it is still under way ends with the connection. */
		if (access < ACC_CPU_READ && !reconnect(c))
			return;
	}

	switch (access) {
	case ACC_WRITE:
	case ACC_SEND:
	case ACC_LOCAL_WRITE:
	case ACC_CPU_WRITE:
		cell_begin(&slot->data, &before);
		if (wc.status == IBV_WC_SUCCESS)
			cell_wrote(&slot->data, area, &before, value);
		else
			cell_tried(&slot->data, area, value);
		break;
	case ACC_FETCH_ADD:
		cell_begin(&slot->counter, &before);
		cell_refresh(&slot->counter, area);
		if (wc.status != IBV_WC_SUCCESS) {
			int n = slot->counter.n;

			for (i = 0; i < (size_t)n; i++)
				cell_add(&slot->counter,
					 slot->counter.may[i] + 1);
			if (slot->counter.fresh) {
				cell_add(&slot->counter, 1);
				cell_add(&slot->counter,
					 fresh_word(area, pages[p],
						    (c->index + 1) * WORDS - 1) + 1);
			}
			slot->counter.drop_begun = area->drop_begun;
			break;
		}
		if (!cell_holds(&slot->counter, area, pages[p],
				(c->index + 1) * WORDS - 1, 0, receive[0])) {
			complain_word(c, area, pages[p], DATA_WORDS,
				      access_name[access], receive[0],
				      &slot->counter);
			return;
		}
		cell_wrote(&slot->counter, area, &before, receive[0] + 1);
		break;
	default:
		if (wc.status == IBV_WC_SUCCESS)
			check_slot(c, area, p, receive, &before,
				   access_name[access]);
	}
}

static void *connection_main(void *arg)
{
	struct connection *c = arg;

	while (!stop) {
		struct area *area = &areas[rand_r(&c->seed) % AREAS];
		enum access access = rand_r(&c->seed) % ACC_COUNT;

		do_access(c, area->calm ? ACC_READ : access, area,
			  rand_r(&c->seed) % ARRAY_SIZE(pages));
	}
	return NULL;
}

/* ---- the page handler */

static void supply(struct area *area, size_t page, bool zero)
{
	char *addr = area->addr + page * PAGE;
	uint64_t content[PAGE / 8];
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(content); i++)
		content[i] = fresh_word(area, page, i);
	err = zero ? uffd_zeropage(uffd, addr, PAGE) :
		     uffd_copy(uffd, addr, content, PAGE);
	/* There already, not mapped so any more, or no memory: look again. */
	if (err)
		uffd_wake(uffd, addr, PAGE);
	supplied++;
}

static void *handler_main(void *arg)
{
	_Atomic bool *end = arg;
	struct uffd_msg msg[16];
	unsigned int seed = 1;
	ssize_t n, i;

	while (!*end) {
		struct pollfd fd = { .fd = uffd, .events = POLLIN };

		poll(&fd, 1, 10);
		n = read(uffd, msg, sizeof(msg));
		for (i = 0; i < n / (ssize_t)sizeof(msg[0]); i++) {
			size_t at = msg[i].arg.pagefault.address -
				    (uintptr_t)ARENA;

			if (msg[i].event != UFFD_EVENT_PAGEFAULT ||
			    at / AREA_SIZE >= AREAS) {
				complain("an odd userfaultfd message");
				continue;
			}
			supply(&areas[at / AREA_SIZE], at % AREA_SIZE / PAGE,
			       rand_r(&seed) % 4 == 0);
		}
	}
	return NULL;
}

/* ---- the invalidations: each returns whether it happened */

static void begin(_Atomic unsigned long *counter)
{
	(*counter)++;
}

/* Calls that can want memory are repeated under fault injection. */
#define PERSIST(call) ({ \
	long _result; \
	uint64_t _end = now_ns() + PATIENCE; \
	do { \
		_result = (long)(call); \
	} while (_result == -1 && tolerant && now_ns() < _end); \
	if (_result == -1) \
		complain("%s: %s", #call, strerror(errno)); \
	_result; \
})

static void map_area(struct area *area)
{
	PERSIST(mmap(area->addr, AREA_SIZE, PROT_READ | PROT_WRITE,
		     MAP_FIXED | (area->memfd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS :
						    MAP_SHARED),
		     area->memfd, 0));
	area->uffd = false;
}

static void register_area(struct area *area)
{
	uint64_t end = now_ns() + PATIENCE;

	do {
		area->mr = ibv_reg_mr(lab.pd, area->addr, AREA_SIZE,
				      ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
	} while (!area->mr && tolerant && now_ns() < end);
	if (!area->mr)
		complain("ibv_reg_mr: %s", strerror(errno));
	else
		area->keys = (uint64_t)area->mr->rkey << 32 | area->mr->lkey;
}

static bool is_shared(const struct area *area)
{
	return area->memfd >= 0;
}

/* Loses all of the area's data for certain. */
static bool drop_area(struct area *area)
{
	begin(&area->drop_begun);
	begin(&area->loss);
	PERSIST(madvise(area->addr, AREA_SIZE,
			is_shared(area) ? MADV_REMOVE : MADV_DONTNEED));
	area->loss++;
	area->drop_done = area->drop_begun;
	return true;
}

/* The page cache keeps what is shared. */
static bool unmap(struct area *area)
{
	bool loses = !is_shared(area);

	begin(&area->outage);
	if (loses) {
		begin(&area->drop_begun);
		begin(&area->loss);
	}
	munmap(area->addr, AREA_SIZE);
	map_area(area);
	if (loses) {
		area->loss++;
		area->drop_done = area->drop_begun;
	}
	area->outage++;
	return true;
}

static bool move(struct area *area)
{
	char *spare = SPARE + (area->addr - ARENA);

	begin(&area->outage);
	PERSIST(mremap(area->addr, AREA_SIZE, AREA_SIZE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, spare));
	PERSIST(mremap(spare, AREA_SIZE, AREA_SIZE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, area->addr));
	/* The kernel has forgotten userfaultfd over that. */
	area->uffd = false;
	area->outage++;
	return true;
}

static void protect(struct area *area, int prot)
{
	begin(&area->outage);
	PERSIST(mprotect(area->addr, AREA_SIZE, prot));
	PERSIST(mprotect(area->addr, AREA_SIZE, PROT_READ | PROT_WRITE));
	area->outage++;
}

static bool protect_none(struct area *area)
{
	protect(area, PROT_NONE);
	return true;
}

static bool protect_write(struct area *area)
{
	protect(area, PROT_READ);
	return true;
}

/*
 * The kernel may drop the pages at any time from now on, until they are written
 * to, by the network too.
 */
static bool lazy_free(struct area *area)
{
	if (is_shared(area))
		return false;
	begin(&area->loss);
	begin(&area->lazy);
	madvise(area->addr, AREA_SIZE, MADV_FREE);
	area->lazy++;
	area->loss++;
	return true;
}

static bool swap_out(struct area *area)
{
	return !madvise(area->addr, AREA_SIZE, MADV_PAGEOUT);
}

/* What the parent's device writes must not reach the child's copy. */
static void child_main(struct area *area)
{
	static char copy[ARRAY_SIZE(pages)][PAGE];
	size_t p;
	int round;

	for (p = 0; p < ARRAY_SIZE(pages); p++)
		memcpy(copy[p], area->addr + pages[p] * PAGE, PAGE);
	for (round = 0; round < 5 && !is_shared(area); round++) {
		usleep(500);
		for (p = 0; p < ARRAY_SIZE(pages); p++)
			if (memcmp(copy[p], area->addr + pages[p] * PAGE, PAGE))
				_exit(1);
	}
	_exit(0);
}

static bool fork_area(struct area *area)
{
	int status = 0;
	pid_t pid;

	pid = fork();
	if (!pid)
		child_main(area);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		if (!tolerant)
			complain("fork: %s", strerror(errno));
		return false;
	}
	if (WIFEXITED(status) ? WEXITSTATUS(status) : !tolerant) {
		complain("area %d: memory of a child changed, or it died: status %#x",
			 area->index, status);
	}
	return true;
}

static bool collapse(struct area *area)
{
	/* Not possible at all times: pages may be absent, or memory short. */
	madvise(area->addr, AREA_SIZE, MADV_HUGEPAGE);
	return !madvise(area->addr, AREA_SIZE, MADV_COLLAPSE);
}

/*
 * Pages of the area and a copy of them become the same, and one: what the device
 * writes to the area must not reach the copy.
 */
static bool merge(struct area *area)
{
	const size_t size = ARRAY_SIZE(pages) * PAGE;
	char copy[ARRAY_SIZE(pages) * PAGE];
	uint64_t end = now_ns() + MERGE_NS;
	bool merged = false;
	char *twin;
	size_t p;

	if (is_shared(area))
		return false;
	twin = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (twin == MAP_FAILED)
		return false;
	/* What changes all the time is not merged. */
	area->calm = true;
	for (p = 0; p < ARRAY_SIZE(pages); p++)
		memcpy(twin + p * PAGE, area->addr + pages[p] * PAGE, PAGE);
	memcpy(copy, twin, size);
	madvise(twin, size, MADV_MERGEABLE);
	madvise(area->addr, AREA_SIZE, MADV_MERGEABLE);
	while (!merged && now_ns() < end) {
		usleep(5000);
		for (p = 0; p < ARRAY_SIZE(pages); p++) {
			uint64_t pfn = pfn_of(twin + p * PAGE);

			merged |= pfn &&
				  pfn == pfn_of(area->addr + pages[p] * PAGE);
		}
	}
	area->calm = false;
	usleep(10000);
	madvise(area->addr, AREA_SIZE, MADV_UNMERGEABLE);
	if (memcmp(copy, twin, size))
		complain("area %d: memory that was merged with it changed",
			 area->index);
	munmap(twin, size);
	return merged;
}

/* From each page's node to the other: vm/run --nodes 2. */
static bool migrate(struct area *area)
{
	int node[ARRAY_SIZE(pages)], status[ARRAY_SIZE(pages)];
	void *addr[ARRAY_SIZE(pages)];
	bool moved = false;
	size_t p;

	for (p = 0; p < ARRAY_SIZE(pages); p++)
		addr[p] = area->addr + pages[p] * PAGE;
	if (syscall(SYS_move_pages, 0, ARRAY_SIZE(pages), addr, NULL, node, 0))
		return false;
	for (p = 0; p < ARRAY_SIZE(pages); p++)
		node[p] = node[p] == 0;
	if (syscall(SYS_move_pages, 0, ARRAY_SIZE(pages), addr, node, status,
		    0) < 0)
		return false;
	for (p = 0; p < ARRAY_SIZE(pages); p++)
		moved |= status[p] == node[p];
	return moved;
}

static bool compact(struct area *area)
{
	struct failure failure = {};

	(void)area;
	return !set_knob("/proc/sys/vm/compact_memory", "1", &failure);
}

static char *some_page(struct area *area)
{
	static _Atomic unsigned int n;

	return area->addr + pages[n++ % ARRAY_SIZE(pages)] * PAGE;
}

/* A page's memory fails soon: what it has is moved. */
static bool soft_offline(struct area *area)
{
	return !madvise(some_page(area), PAGE, MADV_SOFT_OFFLINE);
}

/* A page's memory has failed: it is out of reach until it is given up. */
static bool lose_page(struct area *area)
{
	char *page = some_page(area);
	bool lost;

	/* Not the zero page, nor one that another area has, too, by KSM. */
	*(volatile char *)(page + CONNECTIONS * SLOT) = 1;
	/*
	 * A large folio that cannot be split when a page of it fails goes back to
	 * the allocator with that page in it, and to who knows whom.
	 */
	if (is_compound(page))
		return false;
	begin(&area->outage);
	lost = !madvise(page, PAGE, MADV_HWPOISON);
	drop_area(area);
	/* Its mark in the page table outlives its place in the file. */
	if (is_shared(area))
		PERSIST(madvise(area->addr, AREA_SIZE, MADV_DONTNEED));
	area->outage++;
	return lost;
}

/* A part that nobody uses goes, and the huge page with it. */
static bool split(struct area *area)
{
	madvise(area->addr + 100 * PAGE, 3 * PAGE,
		is_shared(area) ? MADV_REMOVE : MADV_DONTNEED);
	return true;
}

static bool reregister(struct area *area)
{
	begin(&area->outage);
	if (ibv_dereg_mr(area->mr))
		complain("ibv_dereg_mr: %s", strerror(errno));
	register_area(area);
	area->outage++;
	return true;
}

static bool toggle_uffd(struct area *area)
{
	struct uffdio_range range = {
		.start = (uintptr_t)area->addr,
		.len = AREA_SIZE,
	};
	struct uffdio_register arg = {
		.range = range,
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (area->uffd)
		PERSIST(ioctl(uffd, UFFDIO_UNREGISTER, &range));
	else
		PERSIST(ioctl(uffd, UFFDIO_REGISTER, &arg));
	area->uffd = !area->uffd;
	return true;
}

static bool advise(struct area *area)
{
	static const uint64_t advices[] = {
		IBV_ADVISE_MR_ADVICE_PREFETCH,
		IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
		IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT,
	};
	struct ibv_sge sge = {
		.addr = (uintptr_t)area->addr,
		.length = 16 * PAGE,
		.lkey = area->mr->lkey,
	};
	static _Atomic unsigned int n;

	n++;
	return !uverbs_advise_mr(lab.pd, advices[n % ARRAY_SIZE(advices)],
				 n / 3 % 2 ? IBV_ADVISE_MR_FLAG_FLUSH : 0,
				 &sge, 1);
}

static struct invalidation {
	const char *name;
	bool (*call)(struct area *area);
	_Atomic unsigned long count;
} invalidations[] = {
	{ .name = "DONTNEED or REMOVE", .call = drop_area },
	{ .name = "munmap", .call = unmap },
	{ .name = "mremap", .call = move },
	{ .name = "mprotect NONE", .call = protect_none },
	{ .name = "mprotect READ", .call = protect_write },
	{ .name = "FREE", .call = lazy_free },
	{ .name = "PAGEOUT", .call = swap_out },
	{ .name = "fork", .call = fork_area },
	{ .name = "COLLAPSE", .call = collapse },
	{ .name = "split", .call = split },
	{ .name = "KSM", .call = merge },
	{ .name = "NUMA migration", .call = migrate },
	{ .name = "compaction", .call = compact },
	{ .name = "soft offline", .call = soft_offline },
	{ .name = "memory failure", .call = lose_page },
	{ .name = "dereg and reg", .call = reregister },
	{ .name = "userfaultfd", .call = toggle_uffd },
	{ .name = "advise", .call = advise },
};

static void *invalidator_main(void *arg)
{
	unsigned int seed = *(unsigned int *)arg;

	while (!stop) {
		struct area *area = &areas[rand_r(&seed) % AREAS];
		struct invalidation *inv =
			&invalidations[rand_r(&seed) % ARRAY_SIZE(invalidations)];

		pthread_mutex_lock(&area->lock);
		inv->count += inv->call(area);
		pthread_mutex_unlock(&area->lock);
		usleep(rand_r(&seed) % 3000);
	}
	return NULL;
}

/*
 * Takes the pages that the others free, and looks whether somebody writes to
 * them that thinks they are still another's.
 */
static void *canary_main(void *arg)
{
	const size_t size = 128 * PAGE;
	uint64_t tag = 0;
	size_t i;

	(void)arg;
	while (!stop) {
		uint64_t *m = mmap(NULL, size, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (m == MAP_FAILED)
			continue;
		tag++;
		for (i = 0; i < size / 8; i++)
			m[i] = tag * size + i;
		usleep(1000);
		for (i = 0; i < size / 8; i++) {
			if (m[i] == tag * size + i)
				continue;
			complain("a page that belongs to nobody else has %#lx at %zu",
				 m[i], i * 8 % PAGE);
			break;
		}
		munmap(m, size);
		canaries++;
	}
	return NULL;
}

/* ---- beginning and end */

/* Who has a page mapped that fails is told so, and must listen. */
static void told(int signal)
{
	(void)signal;
}

static int set_up(unsigned int seed)
{
	static char zero[PAGE];
	struct rc_params rc = params();
	int i, err;

	lab = (struct lab){ .page_size = PAGE };
	err = rdma_dev_open(&lab.dev, NULL, 1, -1, &lab.failure);
	if (err)
		return err;
	lab.pd = ibv_alloc_pd(lab.dev.ctx);
	if (!lab.pd)
		return fail(&lab.failure, errno, "cannot allocate a PD");
	uffd = uffd_open(&lab.failure);
	if (uffd < 0)
		return uffd;
	err = set_knob(KSM("pages_to_scan"), "10000", &lab.failure) ?:
	      set_knob(KSM("sleep_millisecs"), "1", &lab.failure) ?:
	      set_knob(KSM("smart_scan"), "0", &lab.failure) ?:
	      set_knob(KSM("run"), "1", &lab.failure);
	if (err)
		return err;
	signal(SIGBUS, told);
	for (i = 0; i < AREAS; i++) {
		struct area *area = &areas[i];

		area->index = i;
		area->addr = ARENA + i * AREA_SIZE;
		area->memfd = -1;
		pthread_mutex_init(&area->lock, NULL);
		if (i % 2) {
			area->memfd = memfd_create("race", MFD_CLOEXEC);
			if (area->memfd < 0 ||
			    ftruncate(area->memfd, AREA_SIZE))
				return fail(&lab.failure, errno, "memfd");
		}
		map_area(area);
		register_area(area);
		if (i >= AREAS / 2)
			toggle_uffd(area);
		if (broken)
			return -EIO;
	}
	whole_mr = ibv_reg_mr(lab.pd, ARENA, AREAS * AREA_SIZE,
			      ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
	if (!whole_mr)
		return fail(&lab.failure, errno, "cannot register all");
	for (i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		size_t p;
		int a;

		c->index = i;
		c->seed = seed + i;
		c->local = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (c->local == MAP_FAILED)
			return fail(&lab.failure, errno, "cannot map memory");
		memcpy(c->local, zero, PAGE);
		c->local_mr = ibv_reg_mr(lab.pd, c->local, PAGE, ACCESS_ALL);
		if (!c->local_mr)
			return fail(&lab.failure, errno, "cannot register");
		err = rc_pair_open(&c->pair, &lab.dev, lab.pd, &rc,
				   &lab.failure);
		if (err)
			return err;
		for (a = 0; a < AREAS; a++) {
			for (p = 0; p < ARRAY_SIZE(pages); p++) {
				c->slots[a][p].data.fresh = true;
				c->slots[a][p].counter.fresh = true;
			}
		}
	}
	return 0;
}

static void tear_down(void)
{
	int i;

	for (i = 0; i < CONNECTIONS; i++) {
		rc_pair_close(&connections[i].pair);
		if (connections[i].local_mr)
			ibv_dereg_mr(connections[i].local_mr);
	}
	if (whole_mr)
		ibv_dereg_mr(whole_mr);
	for (i = 0; i < AREAS; i++)
		if (areas[i].mr)
			ibv_dereg_mr(areas[i].mr);
	if (lab.pd && ibv_dealloc_pd(lab.pd))
		complain("the PD is in use for ever: %s", strerror(errno));
	rdma_dev_close(&lab.dev);
}

/* The objects that the driver has, as it says itself. */
static void count_objects(char *text, size_t size)
{
	if (rdma_objects(text, size))
		complain("rdma resource show does not work");
}

static void inject(unsigned int percent)
{
	struct failure failure = {};

	if (inject_faults(percent, &failure))
		complain("%s", failure.text);
}

static int start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	int err = pthread_create(thread, NULL, run, arg);

	if (err)
		complain("cannot start a thread: %s", strerror(err));
	return err;
}

/* Or nothing was shown. */
static bool all_happened(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(invalidations); i++)
		if (!invalidations[i].count)
			return false;
	return supplied;
}

/* For @seconds, or for as long as it takes until there was each invalidation. */
static void race(unsigned int seconds, unsigned int seed)
{
	pthread_t invalidator[INVALIDATORS], handler, canary;
	unsigned int seeds[INVALIDATORS];
	_Atomic bool end = false;
	uint64_t until = now_ns() + seconds * NSEC_PER_SEC;
	uint64_t at_last = until + 10 * seconds * NSEC_PER_SEC;
	size_t p;
	int i, a;

	if (start(&handler, handler_main, &end) ||
	    start(&canary, canary_main, NULL))
		return;
	for (i = 0; i < CONNECTIONS; i++)
		start(&connections[i].thread, connection_main, &connections[i]);
	for (i = 0; i < INVALIDATORS; i++) {
		seeds[i] = seed + 1000 + i;
		start(&invalidator[i], invalidator_main, &seeds[i]);
	}
	inject(5);
	while (!stop && (now_ns() < until ||
			 (!all_happened() && now_ns() < at_last)))
		usleep(10000);
	inject(0);
	stop = true;
	for (i = 0; i < INVALIDATORS; i++)
		pthread_join(invalidator[i], NULL);
	for (i = 0; i < CONNECTIONS; i++)
		pthread_join(connections[i].thread, NULL);
	pthread_join(canary, NULL);

	/* Now that it is quiet: once more all of it, by both ways. */
	for (i = 0; i < CONNECTIONS && !broken; i++) {
		for (a = 0; a < AREAS; a++) {
			for (p = 0; p < ARRAY_SIZE(pages); p++) {
				do_access(&connections[i], ACC_CPU_READ,
					  &areas[a], p);
				do_access(&connections[i], ACC_READ, &areas[a],
					  p);
			}
		}
	}
	end = true;
	pthread_join(handler, NULL);
}

/* In a process of its own, so that all it has goes with it. */
static int run(unsigned int seconds, unsigned int seed)
{
	unsigned long done = 0, failed = 0;
	bool happened;
	size_t i;

	if (set_up(seed)) {
		printf("Bail out! %s\n", lab.failure.text);
		return 1;
	}
	race(seconds, seed);
	tear_down();

	for (i = 0; i < CONNECTIONS; i++) {
		done += connections[i].done;
		failed += connections[i].failed;
	}
	printf("# %lu accesses, of which failed as they may %lu; %lu pages supplied; %lu looks at pages of others\n",
	       done, failed, supplied, canaries);
	for (i = 0; i < ARRAY_SIZE(invalidations); i++)
		printf("# %s: %lu\n", invalidations[i].name,
		       invalidations[i].count);
	printf("%sok 1 - data right, and failed only what may\n",
	       broken ? "not " : "");
	happened = all_happened() && failed < done;
	printf("%sok 2 - each invalidation happened\n", happened ? "" : "not ");
	return broken || !happened;
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? strtoul(argv[1], NULL, 0) : 10;
	unsigned int seed = argc > 2 ? strtoul(argv[2], NULL, 0) :
				       (unsigned int)now_ns();
	char before[512], after[512];
	int status = 0;
	bool same;
	pid_t pid;

	setbuf(stdout, NULL);
	tolerant = getenv("TOLERANT");
	printf("TAP version 13\n1..3\n# %u seconds, seed %u\n", seconds, seed);
	count_objects(before, sizeof(before));
	pid = fork();
	if (!pid)
		_exit(run(seconds, seed));
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		printf("Bail out! %s\n", strerror(errno));
		return 1;
	}
	if (!WIFEXITED(status))
		printf("# status %#x\n", status);
	count_objects(after, sizeof(after));
	same = !strcmp(before, after);
	if (!same)
		printf("# before: %s# after: %s", before, after);
	printf("%sok 3 - no object is left\n", same ? "" : "not ");
	return status || broken || !same;
}
