// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a worker: it connects to itself, has operations run on memory to
 * which things happen, looks at every byte, and comes to one of many ends.
 *
 * No two operations that are under way at a time have a page in common, and what
 * loses data happens to pages without one, so it is known at any time what has
 * to be where. An operation that is cancelled, or fails as it may, leaves of each
 * byte what was there or what should have been.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"
#include "machine.h"
#include "soak.h"
#include "uverbs.h"

/* How long to wait before looking at the other end. */
#define LOOK	(NSEC_PER_SEC / 20)

/* What an operation changes. */
struct effect {
	struct region *r;
	size_t at, len;
	char *to;
};

struct flight {
	enum verb verb;
	int from;			/* end of the connection */
	struct region *side[2];		/* local, remote */
	size_t at[2], len, room;
	uint32_t imm;
	struct effect effects[2];
	int n;
	bool good;
};

struct conn {
	struct rc_pair pair;
	struct rc_params params;
	struct ibv_srq *srq;
	struct flight flights[MAX_FLIGHTS];
	int n;
	bool broken;			/* may fail, and makes room for another */
	bool lost;			/* what is posted need not complete */
};

static struct life {
	const struct plan *plan;
	struct slot *slot;
	unsigned int rand;
	struct failure *failure;
	struct rdma_dev dev;
	struct ibv_pd *pd;
	struct ibv_mr *implicit;
	struct memory mem;
	struct conn conns[MAX_CONNS];
	int n;
	unsigned long injecting;	/* as it was when the round began */
	long long ooms;
	bool gave_up;
} life;

static unsigned int dice(unsigned int n)
{
	return below(&life.rand, n);
}

static void doing(const char *what)
{
	life.slot->doing = what;
	life.slot->alive = shared->clock;
}

/* Memory may be short: that is injected, or the cgroup has no more. */
static bool short_of_memory(void)
{
	return life.injecting % 2 || shared->injecting != life.injecting ||
	       (life.plan->pressed && memcg_ooms() != life.ooms);
}

/* What needs memory is tried again if there may be none; whether it worked. */
#define PERSIST(worked) ({ \
	uint64_t until_ = now_ns() + PATIENCE; \
	bool done_; \
	while (!(done_ = (worked)) && tolerant && now_ns() < until_) { \
		life.slot->failure.text[0] = '\0'; \
		usleep(1000); \
	} \
	if (!done_ && short_of_memory()) \
		life.gave_up = true; \
	done_; \
})

/* ---- set up */

static bool try_register(struct ibv_mr **mr, void *addr, size_t len, int access)
{
	*mr = ibv_reg_mr(life.pd, addr, len, access);
	return *mr;
}

static bool try_pd(void)
{
	life.pd = ibv_alloc_pd(life.dev.ctx);
	return life.pd;
}

static bool try_srq(struct conn *c)
{
	struct ibv_srq_init_attr attr = {
		.attr = { .max_wr = c->params.queue, .max_sge = 2 },
	};

	c->srq = ibv_create_srq(life.pd, &attr);
	return c->srq;
}

static int region_register(struct region *r)
{
	int access = ACCESS_ALL;

	if (r->mr)
		return 0;
	if (life.implicit && r->kind != KIND_PINNED) {
		r->mr = life.implicit;
		return 0;
	}
	if (r->kind != KIND_PINNED)
		access |= IBV_ACCESS_ON_DEMAND;
	if (!PERSIST(try_register(&r->mr, r->addr, r->len, access)))
		return fail(life.failure, errno, "cannot register memory");
	return 0;
}

static int implicit_register(void)
{
	if (!PERSIST(try_register(&life.implicit, NULL, SIZE_MAX,
				  ACCESS_ALL | IBV_ACCESS_ON_DEMAND)))
		return fail(life.failure, errno, "cannot register all memory");
	return 0;
}

static int register_all(void)
{
	int i, err = 0;

	for (i = 0; !err && i < life.mem.n; i++)
		err = region_register(&life.mem.regions[i]);
	return err;
}

static int region_deregister(struct region *r)
{
	struct ibv_mr *mr = r->mr;
	int i, err;

	if (!mr)
		return 0;
	for (i = 0; i < life.mem.n; i++)
		if (life.mem.regions[i].mr == mr)
			life.mem.regions[i].mr = NULL;
	if (mr == life.implicit)
		life.implicit = NULL;
	err = ibv_dereg_mr(mr);
	return err ? fail(life.failure, err, "cannot deregister") : 0;
}

static int conn_open(struct conn *c, bool srq)
{
	if (srq && !PERSIST(try_srq(c)))
		return fail(life.failure, errno, "cannot create an SRQ");
	c->params.srq = c->srq;
	if (!PERSIST(!rc_pair_open(&c->pair, &life.dev, life.pd, &c->params,
				   life.failure)))
		return fail(life.failure, 0, "cannot connect");
	return 0;
}

static void conn_close(struct conn *c)
{
	rc_pair_close(&c->pair);
	if (c->srq && ibv_destroy_srq(c->srq))
		fail(life.failure, errno, "an SRQ is in use for ever");
	c->srq = NULL;
}

static int open_conns(void)
{
	int i, err = 0;

	life.n = 1 + dice(MAX_CONNS);
	for (i = 0; !err && i < life.n; i++) {
		struct conn *c = &life.conns[i];

		c->params = rc_params_default;
		c->params.mtu = dice(2) ? IBV_MTU_4096 : IBV_MTU_1024;
		c->params.min_rnr_timer = 1 + dice(20);
		c->params.timeout = 14 + dice(6);
		/* If all may fail, so may each NAK, and 7 is for ever. */
		if (tolerant) {
			c->params.timeout = 17;
			c->params.retry_cnt = 6;
		}
		err = conn_open(c, !dice(3));
	}
	return err;
}

static int set_up(void)
{
	int err;

	doing("setting up");
	life.injecting = shared->injecting;
	if (life.plan->pressed)
		life.ooms = memcg_ooms();
	if (!PERSIST(!rdma_dev_open(&life.dev, NULL, 1, -1, life.failure)) ||
	    !PERSIST(try_pd()))
		return fail(life.failure, errno, "cannot open the device");
	err = memory_open(&life.mem, 2 + dice(MAX_REGIONS - 1), life.failure,
			  &life.rand);
	if (!err && !dice(4))
		err = implicit_register();
	return err ?: register_all() ?: open_conns();
}

/* ---- operations */

static size_t pages_of(const struct region *r, size_t at, size_t len)
{
	return (at + len - 1) / r->unit - at / r->unit + 1;
}

static bool is_busy(const struct region *r, size_t first, size_t n)
{
	while (n--)
		if (r->busy[first + n])
			return true;
	return false;
}

static void set_busy(struct flight *f, bool busy)
{
	size_t first, n;
	int i;

	for (i = 0; i < 2; i++) {
		first = f->at[i] / f->side[i]->unit;
		n = pages_of(f->side[i], f->at[i], f->len);
		while (n--)
			f->side[i]->busy[first + n] = busy;
	}
}

static struct region *some_region(void)
{
	return &life.mem.regions[dice(life.mem.n)];
}

/* A place for @len bytes in pages that nobody uses; @align of an atomic. */
static bool find_place(size_t len, size_t align, struct region **region,
		       size_t *at)
{
	int tries;

	for (tries = 0; tries < 8; tries++) {
		struct region *r = some_region();

		if (len > r->len)
			continue;
		*at = dice(r->len - len + 1) & ~(align - 1);
		*region = r;
		if (!is_busy(r, *at / r->unit, pages_of(r, *at, len)))
			return true;
	}
	return false;
}

static size_t some_length(void)
{
	static const size_t most[] = { 64, PAGE, 4 * PAGE, 32 * PAGE };

	return 1 + dice(most[dice(4)]);
}

static int add_effect(struct flight *f, int side, const void *to)
{
	struct effect *e = &f->effects[f->n];

	e->to = malloc(f->len);
	if (!e->to)
		return fail(life.failure, ENOMEM, "no memory");
	memcpy(e->to, to, f->len);
	e->r = f->side[side];
	e->at = f->at[side];
	e->len = f->len;
	f->n++;
	return 0;
}

static char *image_of(const struct flight *f, int side)
{
	return f->side[side]->image + f->at[side];
}

/* What has to be where when the operation is over. */
static int expect(struct flight *f, struct rc_op *op)
{
	uint64_t was, is;

	switch (f->verb) {
	case READ:
		return add_effect(f, 0, image_of(f, 1));
	case CMP_SWAP:
	case FETCH_ADD:
		memcpy(&was, image_of(f, 1), sizeof(was));
		op->swap = rand_r(&life.rand);
		/* Of four that compare one is not the same. */
		op->compare_add = dice(4) ? was : 1;
		is = was == op->compare_add ? op->swap : was;
		if (f->verb == FETCH_ADD)
			is = was + op->compare_add;
		return add_effect(f, 0, &was) ?: add_effect(f, 1, &is);
	default:
		return add_effect(f, 1, image_of(f, 0));
	}
}

/* For lack of memory: the connection goes, whatever it has done by then. */
static int excuse(struct conn *c, int err)
{
	if (!short_of_memory())
		return err;
	life.failure->text[0] = '\0';
	c->broken = true;
	c->lost = true;
	return 0;
}

static int post_recv(struct conn *c, struct flight *f)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)f->side[1]->addr + f->at[1],
		.lkey = f->side[1]->mr->lkey,
		.length = f->len,
	};
	struct ibv_recv_wr wr = { .sg_list = &sge, .num_sge = 1 }, *bad;
	int err;

	if (f->verb == WRITE_IMM)
		wr.num_sge = 0;
	if (c->srq && !f->from)
		err = ibv_post_srq_recv(c->srq, &wr, &bad);
	else
		err = ibv_post_recv(c->pair.end[!f->from].qp, &wr, &bad);
	return err ? fail(life.failure, err, "cannot post a receive") : 0;
}

static int post(struct conn *c)
{
	static const enum ibv_wr_opcode opcode[] = {
		[READ] = IBV_WR_RDMA_READ,
		[WRITE] = IBV_WR_RDMA_WRITE,
		[WRITE_IMM] = IBV_WR_RDMA_WRITE_WITH_IMM,
		[SEND] = IBV_WR_SEND,
		[CMP_SWAP] = IBV_WR_ATOMIC_CMP_AND_SWP,
		[FETCH_ADD] = IBV_WR_ATOMIC_FETCH_AND_ADD,
	};
	struct flight *f = &c->flights[c->n];
	struct ibv_sge sge[2];
	struct rc_op op = { };
	bool atomic;
	int i, err = 0;

	*f = (struct flight){ .verb = dice(VERBS), .from = dice(2) };
	atomic = f->verb == CMP_SWAP || f->verb == FETCH_ADD;
	f->len = atomic ? 8 : some_length();
	if (!find_place(f->len, atomic ? 8 : 1, &f->side[0], &f->at[0]) ||
	    !find_place(f->len, atomic ? 8 : 1, &f->side[1], &f->at[1]))
		return 0;
	set_busy(f, true);
	/* The one may have pages of the other. */
	if (f->side[0] == f->side[1]) {
		size_t unit = f->side[0]->unit;
		size_t a = f->at[0] / unit, b = f->at[1] / unit;

		if (a < b + pages_of(f->side[1], f->at[1], f->len) &&
		    b < a + pages_of(f->side[0], f->at[0], f->len)) {
			set_busy(f, false);
			return 0;
		}
	}
	for (i = 0; i < 2; i++) {
		sge[i].addr = (uintptr_t)f->side[0]->addr + f->at[0];
		sge[i].lkey = f->side[0]->mr->lkey;
		sge[i].length = f->len;
	}
	op.opcode = opcode[f->verb];
	op.sge = sge;
	op.num_sge = 1;
	if (!atomic && f->len > 1 && dice(2)) {
		op.num_sge = 2;
		sge[0].length = 1 + dice(f->len - 1);
		sge[1].addr += sge[0].length;
		sge[1].length -= sge[0].length;
	}
	op.raddr = (uintptr_t)f->side[1]->addr + f->at[1];
	op.rkey = f->side[1]->mr->rkey;
	f->imm = rand_r(&life.rand);
	op.imm = htonl(f->imm);
	c->n++;
	if (expect(f, &op))
		return -ENOMEM;
	if (f->verb == SEND || f->verb == WRITE_IMM)
		err = post_recv(c, f);
	err = err ?: rc_post(&c->pair.end[f->from], &op, life.failure);
	return err ? excuse(c, err) : 0;
}

static int post_some(void)
{
	int i, k, err = 0;

	doing("posting");
	for (i = 0; !err && i < life.n; i++)
		for (k = 1 + dice(MAX_FLIGHTS); !err && k; k--)
			err = post(&life.conns[i]);
	return err;
}

/* ---- completions */

static void apply(const struct effect *e)
{
	memcpy(e->r->image + e->at, e->to, e->len);
}

/*
 * The operation may have been done in part, and nobody does it any more: each
 * byte is what it was or should be.
 */
static int settle(struct effect *e)
{
	char *have = e->r->addr + e->at, *was = e->r->image + e->at;
	size_t i;

	for (i = 0; i < e->len; i++) {
		if (have[i] != was[i] && have[i] != e->to[i])
			return fail(life.failure, 0,
				    "wrong byte: of an operation that did not end well, byte %zu of %zu is %#x, and neither %#x nor %#x",
				    i, e->len, (unsigned char)have[i],
				    (unsigned char)was[i],
				    (unsigned char)e->to[i]);
		was[i] = have[i];
	}
	return 0;
}

static int check_recv(struct conn *c, struct flight *f)
{
	struct ibv_wc wc;
	int err;

	err = rc_wait(&c->pair.end[!f->from].recv, &wc,
		      now_ns() + COMPLETION_MS * NSEC_PER_MSEC,
		      life.failure);
	if (err)
		return err;
	if (wc.status != IBV_WC_SUCCESS)
		return fail(life.failure, 0, "receive: %s",
			    ibv_wc_status_str(wc.status));
	if (wc.byte_len != f->len || (f->verb == WRITE_IMM &&
				      ntohl(wc.imm_data) != f->imm))
		return fail(life.failure, 0,
			    "receive: %u bytes, immediate %#x, and not %zu and %#x",
			    wc.byte_len, ntohl(wc.imm_data), f->len, f->imm);
	return 0;
}

static int to_err(struct conn *c)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
	int err;

	err = ibv_modify_qp(c->pair.end[0].qp, &attr, IBV_QP_STATE) ?:
	      ibv_modify_qp(c->pair.end[1].qp, &attr, IBV_QP_STATE);
	if (!err)
		return 0;
	return excuse(c, fail(life.failure, err, "cannot modify to ERR"));
}

static bool is_err(struct ibv_qp *qp)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;

	return !ibv_query_qp(qp, &attr, IBV_QP_STATE, &init) &&
	       attr.qp_state == IBV_QPS_ERR;
}

/*
 * The next completion of one end. When the other has failed by itself, it may wait
 * for its answers for ever: then both have to.
 */
static int wait_one(struct conn *c, int from, struct ibv_wc *wc)
{
	uint64_t until = shared->clock + COMPLETION_MS;
	int err;

	for (;;) {
		err = rc_wait(&c->pair.end[from].send, wc, now_ns() + LOOK,
			      life.failure);
		if (err != -ETIMEDOUT || shared->clock > until)
			return err;
		life.failure->text[0] = '\0';
		if (!is_err(c->pair.end[!from].qp) ||
		    is_err(c->pair.end[from].qp))
			continue;
		if (!c->broken && !short_of_memory())
			return fail(life.failure, 0,
				    "the other end has failed");
		c->broken = true;
		err = to_err(c);
		if (err || c->lost)
			return err;
	}
}

/* Each has to complete, well or not. */
static int wait_for(struct conn *c)
{
	int k, err = 0;

	for (k = 0; !err && k < c->n; k++) {
		struct flight *f = &c->flights[k];
		struct ibv_wc wc;

		if (!c->lost)
			err = wait_one(c, f->from, &wc);
		if (err || c->lost)
			return err;
		f->good = wc.status == IBV_WC_SUCCESS;
		if (f->good) {
			if (!c->broken &&
			    (f->verb == SEND || f->verb == WRITE_IMM))
				err = check_recv(c, f);
			continue;
		}
		if (!c->broken && !short_of_memory())
			return fail(life.failure, 0, "completion of a %s: %s",
				    verb_name[f->verb],
				    ibv_wc_status_str(wc.status));
		c->broken = true;
	}
	return err;
}

static void touch(const struct effect *e)
{
	size_t first = e->at / e->r->unit, n = pages_of(e->r, e->at, e->len);

	while (n--)
		e->r->touched[first + n] = true;
}

/* All that a connection has under way is over now, in whatever way. */
static int land(struct conn *c)
{
	int k, e, err = 0;

	for (k = 0; k < c->n; k++) {
		struct flight *f = &c->flights[k];

		for (e = 0; e < f->n; e++) {
			struct effect *effect = &f->effects[e];

			if (f->good)
				apply(effect);
			else if (!err)
				err = settle(effect);
			touch(effect);
			free(effect->to);
		}
		if (f->good) {
			shared->totals.verbs[f->verb]++;
			shared->totals.srq += c->srq && !f->from &&
				(f->verb == SEND || f->verb == WRITE_IMM);
			shared->totals.bytes += f->len;
		} else {
			shared->totals.failed++;
		}
		set_busy(f, false);
	}
	c->n = 0;
	return err;
}

static int land_all(void)
{
	int i, err = 0;

	for (i = 0; !err && i < life.n; i++) {
		struct conn *c = &life.conns[i];
		bool srq = c->srq;

		/* Nobody accesses memory for it any more. */
		if (c->broken)
			conn_close(c);
		err = land(c);
		if (!err && c->broken)
			err = conn_open(c, srq);
		c->broken = false;
		c->lost = false;
	}
	return err;
}

static int wait_for_all(void)
{
	int i, err = 0;

	for (i = 0; !err && i < life.n; i++) {
		doing("waiting for completions");
		err = wait_for(&life.conns[i]);
	}
	return err;
}

/* ---- what happens meanwhile */

static bool idle_pages(struct region *r, size_t *first, size_t *n)
{
	int tries;

	for (tries = 0; tries < 8; tries++) {
		*first = dice(r->pages);
		*n = 1 + dice(min_size(r->pages - *first, 16));
		if (!is_busy(r, *first, *n))
			return true;
	}
	return false;
}

/* Of a child the memory is its own, whatever the parent's device writes. */
static void child_main(const struct region *r)
{
	static char copy[8][PAGE];
	size_t step = r->pages / 8 * PAGE, i;
	int round;

	for (i = 0; i < 8; i++)
		memcpy(copy[i], r->addr + i * step, PAGE);
	for (round = 0; round < 5; round++) {
		usleep(500);
		for (i = 0; i < 8; i++)
			if (memcmp(copy[i], r->addr + i * step, PAGE))
				_exit(LIFE_BAD);
	}
	_exit(LIFE_GOOD);
}

static int fork_it(struct region *r)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		child_main(r);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return fail(life.failure, errno, "cannot fork");
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return fail(life.failure, 0,
			    "wrong byte: memory of a child changed");
	return 0;
}

static int set_access(struct region *r, size_t first, size_t n, int prot)
{
	char *addr = r->addr + first * r->unit;

	if (mprotect(addr, n * r->unit, prot))
		return fail(life.failure, errno, "cannot protect");
	usleep(dice(1000));
	if (mprotect(addr, n * r->unit, PROT_READ | PROT_WRITE))
		return fail(life.failure, errno, "cannot unprotect");
	return 0;
}

static int prefetch(struct region *r, size_t first, size_t n)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)r->addr + first * r->unit,
		.length = n * r->unit,
		.lkey = r->mr->lkey,
	};

	/* It may fail, with memory that is short or a kernel without. */
	uverbs_advise_mr(life.pd, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE, 0, &sge, 1);
	return 0;
}

/* Through the kernel, which does not mind who has the page. */
static int cpu_write(struct region *r, size_t page)
{
	char *image = r->image + page * r->unit;
	size_t at = dice(PAGE), len = 1 + dice(PAGE - at);

	/* Of a page that is absent the handler has to put all else there. */
	if (life.mem.mode == MODE_SILENT)
		return 0;
	pattern_fill(image + at, len, rand_r(&life.rand), 0);
	memcpy(r->addr + page * r->unit + at, image + at, len);
	r->touched[page] = true;
	return 0;
}

static bool all_touched(const struct region *r, size_t first, size_t n)
{
	while (n--)
		if (!r->touched[first + n])
			return false;
	return true;
}

static int happen(enum happening what)
{
	struct region *r = some_region();
	bool pinned = r->kind == KIND_PINNED;
	size_t first, n;
	int err = 0;

	if (!idle_pages(r, &first, &n) || (pinned && what != HAP_CPU_WRITE))
		return 0;
	/* Of shared memory nobody can see which zeros came behind its back. */
	if ((what == HAP_REMAP || what == HAP_MOVE) && r->memfd >= 0 && r->uffd &&
	    !all_touched(r, first, n))
		return 0;
	switch (what) {
	case HAP_DROP:
		err = region_drop(&life.mem, r, first, n);
		break;
	case HAP_REMAP:
		err = region_remap(&life.mem, r, first, n);
		break;
	case HAP_MOVE:
		if (r->kind == KIND_HUGETLB)
			return 0;
		err = region_move(&life.mem, r, first, n);
		break;
	case HAP_READ_ONLY:
		err = set_access(r, first, n, PROT_READ);
		break;
	case HAP_NO_ACCESS:
		err = set_access(r, first, n, PROT_NONE);
		break;
	case HAP_PAGE_OUT:
		/* All of it, whoever is at work there. */
		if (r->kind == KIND_HUGETLB || madvise(r->addr, r->len, MADV_PAGEOUT))
			return 0;
		break;
	case HAP_FORK:
		if (r->memfd >= 0)
			return 0;
		err = fork_it(r);
		break;
	case HAP_PREFETCH:
		err = prefetch(r, first, n);
		break;
	case HAP_CPU_WRITE:
		err = cpu_write(r, first);
		break;
	default:
		break;
	}
	shared->totals.happenings[what]++;
	return err;
}

static int happenings(void)
{
	int k, err = 0;

	for (k = dice(5); !err && k; k--) {
		doing("changing memory");
		usleep(dice(3000));
		err = happen(dice(HAPPENINGS));
	}
	return err;
}

/* ---- a round, and one that is cancelled */

static int check_all(void)
{
	int i, err = 0;

	doing("checking");
	for (i = 0; !err && i < life.mem.n; i++)
		err = region_check(&life.mem, &life.mem.regions[i], 0,
				   life.mem.regions[i].pages);
	return err;
}

static void begin_round(enum mode mode)
{
	life.injecting = shared->injecting;
	life.mem.mode = mode;
}

static int do_round(void)
{
	int err;

	begin_round(dice(4));
	err = post_some() ?: happenings();
	if (err)
		return err;
	if (life.mem.mode == MODE_SILENT) {
		doing("keeping silent");
		usleep(dice(300000));
		life.mem.mode = dice(MODE_SILENT);
	}
	err = wait_for_all() ?: land_all();
	if (!err && !dice(8))
		err = check_all();
	return err;
}

static bool uses(const struct conn *c, const struct region *r)
{
	int k;

	for (k = 0; k < c->n; k++)
		if (c->flights[k].side[0] == r || c->flights[k].side[1] == r)
			return true;
	return false;
}

static int in_time(uint64_t begun, const char *what)
{
	uint64_t took = shared->clock - begun;

	if (took < bound_ms)
		return 0;
	return fail(life.failure, 0, "%s took %lu ms", what, took);
}

/* Their connections may fail now. */
static void break_users(const struct region *r)
{
	int i;

	for (i = 0; i < life.n; i++)
		if (uses(&life.conns[i], r))
			life.conns[i].broken = true;
}

static int cancel_conn(struct conn *c, enum cancel cancel)
{
	uint64_t begun = shared->clock;
	bool srq = c->srq;
	int err;

	switch (cancel) {
	case CANCEL_DESTROY:
		conn_close(c);
		err = in_time(begun, "ibv_destroy_qp");
		life.mem.mode = MODE_AT_ONCE;
		c->lost = false;
		c->broken = false;
		return err ?: land(c) ?: conn_open(c, srq);
	case CANCEL_RESET:
		err = rc_pair_reset(&c->pair, &c->params, life.failure);
		if (err && short_of_memory()) {
			life.failure->text[0] = '\0';
			err = 0;
		}
		err = err ?: in_time(begun, "modify to RESET");
		life.mem.mode = MODE_AT_ONCE;
		/* What had completed before, and receives of an SRQ, stay. */
		conn_close(c);
		c->lost = false;
		c->broken = false;
		return err ?: land(c) ?: conn_open(c, srq);
	default:
		c->broken = true;
		/* All of it completes though no page comes. */
		err = to_err(c) ?: in_time(begun, "modify to ERR");
		begun = shared->clock;
		return err ?: wait_for(c) ?: in_time(begun, "flushing");
	}
}

static int dereg(struct region *r)
{
	bool implicit = r->mr == life.implicit;
	uint64_t begun = shared->clock;
	int i, err;

	for (i = 0; i < life.mem.n; i++)
		if (life.mem.regions[i].mr == r->mr)
			break_users(&life.mem.regions[i]);
	err = region_deregister(r) ?: in_time(begun, "ibv_dereg_mr");
	life.mem.mode = MODE_AT_ONCE;
	err = err ?: wait_for_all() ?: land_all();
	if (!err && implicit)
		err = implicit_register() ?: register_all();
	else if (!err)
		err = region_register(r);
	return err;
}

static int unmap(struct region *r)
{
	uint64_t begun = shared->clock;
	int i, k, e, err;

	break_users(r);
	err = region_unmap(&life.mem, r) ?: in_time(begun, "munmap");
	life.mem.mode = MODE_AT_ONCE;
	err = err ?: wait_for_all();
	if (err)
		return err;
	/* Nobody comes back to what was mapped there. */
	for (i = 0; i < life.n; i++)
		if (life.conns[i].broken)
			rc_pair_close(&life.conns[i].pair);
	for (i = 0; i < life.n; i++) {
		for (k = 0; k < life.conns[i].n; k++) {
			struct flight *f = &life.conns[i].flights[k];

			for (e = 0; e < f->n; e++) {
				if (f->effects[e].r != r)
					continue;
				free(f->effects[e].to);
				f->effects[e] = f->effects[--f->n];
				e--;
			}
		}
	}
	return region_remap(&life.mem, r, 0, r->pages) ?: land_all();
}

static int do_cancel(void)
{
	enum cancel cancel = dice(CANCELS);
	struct region *r = some_region();
	struct conn *c = &life.conns[dice(life.n)];
	int err;

	if ((cancel == CANCEL_UNMAP || cancel == CANCEL_DEREG) &&
	    r->kind == KIND_PINNED)
		return 0;
	/* What is in the page cache would have to be settled, too. */
	if (cancel == CANCEL_UNMAP && r->memfd >= 0)
		return 0;
	begin_round(MODE_SILENT);
	err = post_some();
	if (err)
		return err;
	usleep(dice(30000));
	doing("cancelling");
	if (cancel == CANCEL_DEREG)
		err = dereg(r);
	else if (cancel == CANCEL_UNMAP)
		err = unmap(r);
	else
		err = cancel_conn(c, cancel);
	life.mem.mode = MODE_AT_ONCE;
	shared->totals.cancels[cancel]++;
	/* Those of others were only late. */
	if (!err && cancel != CANCEL_DEREG && cancel != CANCEL_UNMAP) {
		int i;

		for (i = 0; !err && i < life.n; i++)
			if (!life.conns[i].broken)
				err = wait_for(&life.conns[i]);
		err = err ?: land_all();
	}
	return err;
}

/* ---- the end */

static int end_clean(void)
{
	uint64_t begun;
	int i, err;

	begin_round(MODE_AT_ONCE);
	err = check_all();
	if (err)
		return err;
	doing("giving all back");
	begun = shared->clock;
	for (i = 0; i < life.n; i++)
		conn_close(&life.conns[i]);
	for (i = 0; !err && i < life.mem.n; i++)
		err = region_deregister(&life.mem.regions[i]);
	if (!err && ibv_dealloc_pd(life.pd))
		err = fail(life.failure, errno, "a PD is in use for ever");
	rdma_dev_close(&life.dev);
	memory_close(&life.mem);
	return err ?: in_time(begun, "giving all back");
}

/* The queues that the library has mapped keep the device's file open. */
static void unmap_queues(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[300];

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "/uverbs") &&
		    sscanf(line, "%lx-%lx", &start, &end) == 2)
			munmap((void *)start, end - start);
	if (f)
		fclose(f);
}

/* Nobody has told the device of it. */
static int end_close(void)
{
	uint64_t begun = shared->clock;
	int i, err;

	doing("closing the device");
	unmap_queues();
	rdma_dev_close(&life.dev);
	err = in_time(begun, "closing the device");
	life.mem.mode = MODE_AT_ONCE;
	for (i = 0; !err && i < life.n; i++)
		err = land(&life.conns[i]);
	return err ?: check_all();
}

/* What they waited for are pages of zeros now. The rest is as it was. */
static int end_uffd(void)
{
	int i, err;

	doing("closing the userfaultfd");
	memory_unhandle(&life.mem);
	err = wait_for_all();
	for (i = 0; !err && i < life.mem.n; i++) {
		struct region *r = &life.mem.regions[i];
		size_t page;

		for (page = 0; !err && page < r->pages; page++)
			if (r->touched[page] && !r->busy[page])
				err = region_check(&life.mem, r, page, 1);
	}
	return err;
}

/* Somebody else has all descriptors when the worker is gone, for a while. */
static void hold(void)
{
	unsigned int us = dice(1000000);

	if (!fork()) {
		usleep(us);
		_exit(LIFE_GOOD);
	}
}

static int end(void)
{
	enum end how = life.plan->end;
	int err;

	if (how == END_CLEAN) {
		err = end_clean();
		life.slot->verified = !err;
		return err;
	}
	begin_round(MODE_SILENT);
	err = post_some();
	if (err)
		return err;
	usleep(dice(30000));
	doing("ending");
	switch (how) {
	case END_CLOSE:
		err = end_close();
		life.slot->verified = !err;
		return err;
	case END_UFFD:
		err = end_uffd();
		life.slot->verified = !err;
		return err;
	case END_EXIT:
		break;
	case END_EXEC:
		life.slot->ending = shared->clock;
		execl("/bin/true", "true", NULL);
		return fail(life.failure, errno, "cannot exec");
	case END_HELD:
		hold();
		life.slot->ending = shared->clock;
		kill(getpid(), SIGKILL);
		break;
	default:
		for (;;) {
			doing("waiting to be killed");
			usleep(100000);
		}
	}
	return 0;
}

int live(const struct plan *plan, struct slot *slot)
{
	int round, rounds, err;

	life = (struct life){
		.plan = plan,
		.slot = slot,
		.rand = plan->seed,
		.failure = &slot->failure,
	};
	rounds = 1 + dice(is_debug_kernel() ? 8 : 24);
	err = set_up();
	for (round = 0; !err && round < rounds; round++)
		err = dice(6) ? do_round() : do_cancel();
	err = err ?: end();
	/* As all goes with the process, nothing is given back after a failure. */
	slot->ending = shared->clock;
	if (err && life.gave_up)
		return LIFE_GAVE_UP;
	return err ? LIFE_BAD : LIFE_GOOD;
}
