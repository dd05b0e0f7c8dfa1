// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that come much later than the queue pairs' own timeout and retry count
 * allow for, for each verb, on either side. To be run by on-dax.
 *
 * A FLUSH by itself never waits for userfaultfd: that serves no missing pages of
 * DAX, and other memory has nothing to be written back. So it waits for a page
 * that a WRITE before it waits for, on the same queue pair; and, of DAX, for one
 * whose page fault sleeps, as a WRITE of another queue pair has met a file system
 * that is frozen.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "flush.h"
#include "machine.h"

#define PAIRS		32	/* as many as there are values of min_rnr_timer */

/*
 * A resend after half a second, and one more after that: any answer keeps it alive. Less
 * than an emulated machine stands still when others want its CPUs is an error of its own.
 */
static const struct rc_params impatient = {
	.timeout = 17,
	.retry_cnt = 1,
	.rnr_retry = 7,
	.max_rd_atomic = 8,
	.access = ACCESS_ALL,
	.queue = 16,
	.sge = 2,
};

enum verb {
	READ,
	WRITE,
	WRITE_IMM,
	SEND,
	CMP_SWAP,
	FETCH_ADD,
	ATOMIC_WRITE,
	FLUSH,		/* of what a WRITE before it writes */
	VERBS
};

static const enum ibv_wr_opcode opcode_of[VERBS] = {
	[READ] = IBV_WR_RDMA_READ,
	[WRITE] = IBV_WR_RDMA_WRITE,
	[WRITE_IMM] = IBV_WR_RDMA_WRITE_WITH_IMM,
	[SEND] = IBV_WR_SEND,
	[CMP_SWAP] = IBV_WR_ATOMIC_CMP_AND_SWP,
	[FETCH_ADD] = IBV_WR_ATOMIC_FETCH_AND_ADD,
	[ATOMIC_WRITE] = RAWQ_WR_ATOMIC_WRITE,
	[FLUSH] = IBV_WR_RDMA_WRITE,
};

enum counter { DUPLICATE, OUT_OF_SEQUENCE, RNR_NAK, PARKED, SENT, COUNTERS };

static const char *const counter_name[COUNTERS] = {
	[DUPLICATE] = "duplicate_request",
	[OUT_OF_SEQUENCE] = "out_of_seq_request",
	[RNR_NAK] = "odp_rnr_nak",
	[PARKED] = "odp_parked",
	[SENT] = "sent_pkts",
};

static int read_counters(struct lab *lab, uint64_t *value)
{
	int i, err;

	for (i = 0; i < COUNTERS; i++) {
		err = read_counter(rdma_dev_name(&lab->dev), counter_name[i],
				   &value[i]);
		if (err)
			return fail(&lab->failure, -err, "cannot read %s",
				    counter_name[i]);
	}
	return 0;
}

/* What was counted since, and that in words. */
#define COUNT_SINCE(lab, since, n) do { \
	int _i; \
	/* What can be read may be as old as that. */ \
	usleep(20000); \
	DO(lab, read_counters(lab, n)); \
	for (_i = 0; _i < COUNTERS; _i++) \
		(n)[_i] -= (since)[_i]; \
	TH_LOG("%lu packets, %lu duplicates, %lu out of sequence, %lu RNR NAKs, parked %lu times", \
	       (n)[SENT], (n)[DUPLICATE], (n)[OUT_OF_SEQUENCE], (n)[RNR_NAK], \
	       (n)[PARKED]); \
} while (0)

/* The file of which a page fault sleeps. */
struct frozen {
	int fd;
	char *addr;
	struct ibv_mr *mr;
	struct rc_pair write, flush;
	struct rawq rawq;
};

FIXTURE(late)
{
	struct lab lab;
	struct mem *local, *remote;
	struct rc_pair pairs[PAIRS];
	struct rawq rawqs[PAIRS];
	struct frozen dax;
	int n;
};

FIXTURE_VARIANT(late)
{
	bool dax;
	enum mem_kind local, remote;
	unsigned int seconds;
	/* Of those of a SEND each is asked for when its packet comes. */
	unsigned int pages;
};

FIXTURE_VARIANT_ADD(late, remote_30s)
{
	.local = MEM_PINNED,
	.remote = MEM_UFFD,
	.dax = true,
	.seconds = 30,
	.pages = 1,
};

FIXTURE_VARIANT_ADD(late, local)
{
	.local = MEM_UFFD,
	.remote = MEM_PINNED,
	.seconds = 3,
	.pages = 3,
};

FIXTURE_VARIANT_ADD(late, both_shmem)
{
	.local = MEM_UFFD_SHMEM,
	.remote = MEM_UFFD_SHMEM,
	.seconds = 3,
	.pages = 3,
};

FIXTURE_SETUP(late)
{
	struct rc_params params = impatient;
	struct lab *lab = &self->lab;
	int pairs = rounds(PAIRS);

	self->dax.fd = -1;
	DO(lab, lab_open(lab));
	lab->page_latency_ns = variant->seconds * NSEC_PER_SEC;
	self->local = mem_new(lab, variant->local, PAIRS * variant->pages,
			      ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_new(lab, variant->remote, PAIRS * variant->pages,
			       ACCESS_ALL | RAWQ_ACCESS_FLUSH);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
	while (self->n < pairs) {
		params.min_rnr_timer = self->n * (PAIRS / pairs);
		DO(lab, rc_pair_open(&self->pairs[self->n], &lab->dev, lab->pd,
				     &params, &lab->failure));
		self->n++;
	}
}

static void close_dax(struct frozen *dax)
{
	if (dax->fd < 0)
		return;
	/* If it was not done: nothing of this ends while it is frozen. */
	ioctl(dax->fd, FITHAW, 0);
	rc_pair_close(&dax->write);
	rc_pair_close(&dax->flush);
	if (dax->mr)
		ibv_dereg_mr(dax->mr);
	if (dax->addr != MAP_FAILED)
		munmap(dax->addr, getpagesize());
	close(dax->fd);
}

FIXTURE_TEARDOWN(late)
{
	int i;

	close_dax(&self->dax);
	for (i = 0; i < self->n; i++)
		rc_pair_close(&self->pairs[i]);
	lab_close(&self->lab);
}

/* Pages of one pair, and what of them is accessed: all, if not in full. */
static struct rc_op op_of(struct lab *lab, struct mem *local,
			  struct mem *remote, int i, unsigned int pages,
			  enum verb verb)
{
	size_t at = i * pages * lab->page_size;
	size_t len = pages * lab->page_size - 1100;
	struct rc_op op;

	if (verb == CMP_SWAP || verb == FETCH_ADD || verb == ATOMIC_WRITE) {
		op = mem_op(opcode_of[verb], local, at, remote, at, 8);
		op.compare_add = verb == FETCH_ADD ? 1 : 0;
		op.swap = 0x0123456789abcd00 + i;
		return op;
	}
	at += 1000;
	op = mem_op(opcode_of[verb], local, at, remote, at, len);
	if (verb == READ)
		mem_expect(local, at, remote->image + at, len);
	else
		mem_expect(remote, at, local->image + at, len);
	return op;
}

/* What an atomic at the start of a page leaves behind. */
static void expect_atomic(struct mem *local, struct mem *remote, size_t at,
			  const struct rc_op *op, enum verb verb)
{
	uint64_t before, after;

	memcpy(&before, remote->image + at, sizeof(before));
	after = before;
	if (verb == FETCH_ADD)
		after += op->compare_add;
	if (verb == ATOMIC_WRITE)
		after = op->swap;
	else
		memcpy(local->image + at, &before, sizeof(before));
	mem_expect(remote, at, &after, sizeof(after));
}

static int post_verb(struct lab *lab, struct rc_pair *pair, struct rawq *rawq,
		     const struct rc_op *op, enum verb verb)
{
	int err;

	if (verb == ATOMIC_WRITE) {
		err = rawq_atomic_write(rawq, op->raddr, op->rkey, op->swap);
	} else {
		err = rc_post(&pair->end[0], op, &lab->failure);
		if (err || verb != FLUSH)
			return err;
		err = rawq_flush(rawq, op->raddr, op->rkey, op->length);
	}
	return err ? fail(&lab->failure, err, "cannot post verb %d", verb) : 0;
}

static int wait_for(struct lab *lab, struct rc_pair *pair, uint64_t deadline,
		    const char *what)
{
	struct ibv_wc wc;
	int err;

	err = rc_wait(&pair->end[0].send, &wc, deadline, &lab->failure);
	if (!err && wc.status != IBV_WC_SUCCESS)
		err = fail(&lab->failure, 0, "%s: %s", what,
			   ibv_wc_status_str(wc.status));
	return err;
}

/*
 * WRITE to a page of a file whose file system is frozen, then FLUSH it. Until it
 * is not, the page fault sleeps, and has the address space locked: no system call
 * that changes mappings would end.
 */
static int access_frozen(struct lab *lab, struct frozen *dax,
			 const struct mem *local)
{
	const char *dev = rdma_dev_name(&lab->dev);
	struct failure *failure = &lab->failure;
	struct rc_params params = impatient;
	uint64_t deadline, before, parked;
	struct rc_op op;
	int err;

	/* A kernel thread that sleeps for so long is what this is about. */
	err = set_knob("/proc/sys/kernel/hung_task_timeout_secs", "300",
		       failure);
	if (err)
		return err;
	dax->addr = MAP_FAILED;
	dax->fd = open("/tmp/file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
		       0600);
	if (dax->fd < 0 || posix_fallocate(dax->fd, 0, lab->page_size) ||
	    fsync(dax->fd))
		return fail(failure, errno, "cannot make a file");
	dax->addr = mmap(NULL, lab->page_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED_VALIDATE | MAP_SYNC, dax->fd, 0);
	if (dax->addr == MAP_FAILED)
		return fail(failure, errno, "cannot map a file with DAX");
	dax->mr = ibv_reg_mr(lab->pd, dax->addr, lab->page_size,
			     ACCESS_ALL | RAWQ_ACCESS_PERSIST |
			     IBV_ACCESS_ON_DEMAND);
	if (!dax->mr)
		return fail(failure, errno, "cannot register a file");
	err = rc_pair_open(&dax->write, &lab->dev, lab->pd, &params, failure) ?:
	      rc_pair_open(&dax->flush, &lab->dev, lab->pd, &params, failure) ?:
	      flush_prepare(lab, &dax->flush, &dax->rawq);
	if (err)
		return err;
	if (ioctl(dax->fd, FIFREEZE, 0))
		return fail(failure, errno, "cannot freeze a file system");

	op = (struct rc_op){
		.opcode = IBV_WR_RDMA_WRITE,
		/* A page that no other verb changes. */
		.laddr = local->iova + WRITE * lab->page_size,
		.lkey = local->mr->lkey,
		.length = lab->page_size,
		.raddr = (uintptr_t)dax->addr,
		.rkey = dax->mr->rkey,
	};
	err = read_counter(dev, counter_name[PARKED], &before) ?:
	      rc_post(&dax->write.end[0], &op, failure);
	deadline = now_ns() + PATIENCE;
	do {
		usleep(20000);
		err = err ?: read_counter(dev, counter_name[PARKED], &parked);
	} while (!err && parked == before && now_ns() < deadline);
	if (err || parked == before)
		return fail(failure, -err, "the WRITE waits for no page");
	err = rawq_flush_as(&dax->rawq, op.raddr, op.rkey, op.length,
			    IB_FLUSH_PERSISTENT, IB_FLUSH_RANGE);
	return err ? fail(failure, err, "cannot post a FLUSH") : 0;
}

static int end_frozen(struct lab *lab, struct frozen *dax,
		      const struct mem *local, uint64_t patience)
{
	struct ibv_wc wc;
	size_t at;
	int err;

	if (ibv_poll_cq(dax->flush.end[0].send.cq, 1, &wc))
		return fail(&lab->failure, 0, "the FLUSH has not waited: %s",
			    ibv_wc_status_str(wc.status));
	if (ioctl(dax->fd, FITHAW, 0))
		return fail(&lab->failure, errno, "cannot thaw a file system");
	err = wait_for(lab, &dax->write, now_ns() + patience, "WRITE of DAX") ?:
	      wait_for(lab, &dax->flush, now_ns() + patience, "FLUSH of DAX");
	if (!err && !bytes_equal(local->image + WRITE * lab->page_size,
				 dax->addr, lab->page_size, &at))
		err = fail(&lab->failure, 0, "file: byte %zu is wrong", at);
	return err;
}

/* Where it was accessed; the other pages are still to come, as late as these. */
static int check(struct lab *lab, struct mem *mem, size_t at, size_t len,
		 const char *name)
{
	size_t wrong;

	if (bytes_equal(mem->image + at, mem->addr + at, len, &wrong))
		return 0;
	return fail(&lab->failure, 0, "%s memory: byte %zu is wrong", name,
		    at + wrong);
}

TEST_F_TIMEOUT(late, each_verb, 400)
{
	struct lab *lab = &self->lab;
	uint64_t patience = (variant->seconds * 4 + 60) * NSEC_PER_SEC;
	uint64_t before[COUNTERS], n[COUNTERS], begun;
	struct rc_op ops[PAIRS];
	int i;

	for (i = 0; i < self->n; i++)
		if (i % VERBS == ATOMIC_WRITE || i % VERBS == FLUSH)
			DO(lab, flush_prepare(lab, &self->pairs[i],
					      &self->rawqs[i]));
	DO(lab, read_counters(lab, before));
	begun = now_ns();
	if (variant->dax)
		DO(lab, access_frozen(lab, &self->dax, self->local));
	for (i = 0; i < self->n; i++) {
		size_t at = i * variant->pages * lab->page_size;
		enum verb verb = i % VERBS;
		struct rc_op op = op_of(lab, self->local, self->remote, i,
					variant->pages, verb);

		ops[i] = op;
		if (verb == CMP_SWAP || verb == FETCH_ADD ||
		    verb == ATOMIC_WRITE)
			expect_atomic(self->local, self->remote, at, &op, verb);
		if (verb == SEND || verb == WRITE_IMM) {
			struct ibv_sge sge = {
				.addr = self->remote->iova + at + 1000,
				.length = op.length,
				.lkey = self->remote->mr->lkey,
			};

			DO(lab, rc_post_recv(&self->pairs[i].end[1], &sge, 1,
					     &lab->failure));
		}
		DO(lab, post_verb(lab, &self->pairs[i], &self->rawqs[i], &op,
				  verb));
	}
	if (variant->dax) {
		while (now_ns() < begun + variant->seconds * NSEC_PER_SEC)
			usleep(100000);
		DO(lab, end_frozen(lab, &self->dax, self->local, patience));
	}
	for (i = 0; i < self->n; i++) {
		char what[64];

		snprintf(what, sizeof(what), "verb %d, pair %d", i % VERBS, i);
		DO(lab, wait_for(lab, &self->pairs[i], now_ns() + patience,
				 what));
		if (i % VERBS == FLUSH)
			DO(lab, wait_for(lab, &self->pairs[i],
					 now_ns() + patience, what));
	}
	for (i = 0; i < self->n; i++) {
		/* That has its bytes in the request itself. */
		if (i % VERBS != ATOMIC_WRITE)
			DO(lab, check(lab, self->local,
				      ops[i].laddr - self->local->iova,
				      ops[i].length, "local"));
		DO(lab, check(lab, self->remote,
			      ops[i].raddr - self->remote->iova, ops[i].length,
			      "remote"));
	}
	COUNT_SINCE(lab, before, n);
	if (mem_is_uffd(self->remote))
		ASSERT_LT(n[DUPLICATE] + n[OUT_OF_SEQUENCE], 2 * n[RNR_NAK]);
}

/* Connect end 0 again, to end 1 as it is. */
static int reconnect(struct lab *lab, struct rc_pair *pair, uint8_t timeout)
{
	struct ibv_qp_attr attr, peer;
	struct ibv_qp_init_attr init;
	int err;

	err = ibv_query_qp(pair->end[1].qp, &peer, IBV_QP_STATE, &init);
	if (err)
		return fail(&lab->failure, err, "cannot query the responder");
	if (peer.qp_state != IBV_QPS_RTS)
		return fail(&lab->failure, 0, "the responder is in state %d",
			    peer.qp_state);

	err = ibv_query_qp(pair->end[0].qp, &attr, IBV_QP_STATE, &init);
	attr.qp_state = IBV_QPS_RESET;
	err = err ?: ibv_modify_qp(pair->end[0].qp, &attr, IBV_QP_STATE);
	attr.qp_state = IBV_QPS_INIT;
	err = err ?: ibv_modify_qp(pair->end[0].qp, &attr,
				   IBV_QP_STATE | IBV_QP_PKEY_INDEX |
				   IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	attr.qp_state = IBV_QPS_RTR;
	attr.rq_psn = peer.sq_psn;
	err = err ?: ibv_modify_qp(pair->end[0].qp, &attr,
				   IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
				   IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				   IBV_QP_MAX_DEST_RD_ATOMIC |
				   IBV_QP_MIN_RNR_TIMER);
	attr.qp_state = IBV_QPS_RTS;
	attr.sq_psn = peer.rq_psn;
	attr.timeout = timeout;
	err = err ?: ibv_modify_qp(pair->end[0].qp, &attr,
				   IBV_QP_STATE | IBV_QP_TIMEOUT |
				   IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				   IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
	return err ? fail(&lab->failure, err, "cannot connect again") : 0;
}

/* An RNR retry count that is used up is what the requester hears of. */
TEST_F_TIMEOUT(late, rnr_retries_end, 120)
{
	struct lab *lab = &self->lab;
	struct rc_params params = impatient;
	struct rc_pair *pair = &self->pairs[0];
	struct ibv_wc wc;
	struct rc_op op;

	if (variant->seconds < 30)
		SKIP(return, "the page comes too soon");

	rc_pair_close(pair);
	params.rnr_retry = 1;
	params.min_rnr_timer = 14;
	DO(lab, rc_pair_open(pair, &lab->dev, lab->pd, &params, &lab->failure));

	op = op_of(lab, self->local, self->remote, 0, variant->pages, WRITE);
	DO(lab, lab_run_status(lab, &pair->end[0], &op, IBV_WC_RNR_RETRY_EXC_ERR,
			       &wc));

	/* The responder has lost nothing. */
	DO(lab, reconnect(lab, pair, params.timeout));
	op = mem_op(IBV_WR_RDMA_WRITE, self->local, 0, self->local,
		    lab->page_size, 8);
	DO(lab, lab_run_status(lab, &pair->end[0], &op, IBV_WC_SUCCESS, &wc));
}

/* --- what goes over the line meanwhile */

#define WRITES		8
#define WRITE_PAGES	16

FIXTURE(packets)
{
	struct lab lab;
	struct mem *local, *remote;
	struct rc_pair pair;
};

FIXTURE_SETUP(packets)
{
	DO(&self->lab, lab_open(&self->lab));
}

FIXTURE_TEARDOWN(packets)
{
	rc_pair_close(&self->pair);
	lab_close(&self->lab);
}

static int open_packets(FIXTURE_DATA(packets) *self, uint64_t latency,
			const struct rc_params *params)
{
	struct lab *lab = &self->lab;

	self->local = mem_new(lab, MEM_PINNED, WRITES * WRITE_PAGES, ACCESS_ALL);
	lab->page_latency_ns = latency;
	self->remote = mem_new(lab, MEM_UFFD, WRITES * WRITE_PAGES, ACCESS_ALL);
	if (!self->local || !self->remote)
		return -EIO;
	return rc_pair_open(&self->pair, &lab->dev, lab->pd, params,
			    &lab->failure);
}

/* Many packets are under way when the first of them meets an absent page. */
static int write_much(FIXTURE_DATA(packets) *self)
{
	struct lab *lab = &self->lab;
	size_t len = WRITE_PAGES * lab->page_size;
	int i, err;

	for (i = 0; i < WRITES; i++) {
		struct rc_op op = mem_op(IBV_WR_RDMA_WRITE, self->local, i * len,
					 self->remote, i * len, len);

		mem_expect(self->remote, i * len, self->local->image + i * len,
			   len);
		err = rc_post(&self->pair.end[0], &op, &lab->failure);
		if (err)
			return err;
	}
	for (i = 0; i < WRITES; i++) {
		err = wait_for(lab, &self->pair, now_ns() + PATIENCE, "WRITE");
		if (err)
			return err;
	}
	return mem_check(lab, self->remote, "remote");
}

/* An RNR NAK stops all of them, and they come once more, in their order. */
TEST_F_TIMEOUT(packets, under_way, 120)
{
	struct rc_params params = impatient;
	uint64_t before[COUNTERS], n[COUNTERS];
	struct lab *lab = &self->lab;

	/* 0 is for 655 ms, the longest. */
	params.min_rnr_timer = 0;
	DO(lab, open_packets(self, 500 * NSEC_PER_MSEC, &params));
	DO(lab, read_counters(lab, before));
	DO(lab, write_much(self));
	COUNT_SINCE(lab, before, n);
	ASSERT_LE((uint64_t)WRITES, n[RNR_NAK]);
	ASSERT_LT(n[DUPLICATE] + n[OUT_OF_SEQUENCE], 2 * n[RNR_NAK]);
	/*
	 * Not counted as either is what comes again while its first copy waits and
	 * goes with it. But in a period no packet is sent more than once; those of
	 * WRITEs that are done by then leave room for the acknowledgments.
	 */
	ASSERT_LT(n[SENT], WRITES * WRITE_PAGES * (n[RNR_NAK] + 1));
}

/*
 * The counters tell the difference: a responder that was told of a timeout 32
 * times as long as the requester's own waits without a word until all has come
 * again.
 */
TEST_F_TIMEOUT(packets, without_rnr_nak, 120)
{
	struct rc_params params = impatient;
	uint64_t before[COUNTERS], n[COUNTERS];
	struct lab *lab = &self->lab;
	uint8_t timeout = params.timeout + 2;

	params.timeout = timeout + 5;
	params.retry_cnt = 7;
	DO(lab, open_packets(self, (4096ULL << timeout) * 3 / 2, &params));
	DO(lab, reconnect(lab, &self->pair, timeout));
	DO(lab, read_counters(lab, before));
	DO(lab, write_much(self));
	COUNT_SINCE(lab, before, n);
	ASSERT_EQ(0, n[RNR_NAK]);
	ASSERT_LE(2, n[DUPLICATE]);
}

/* A page that comes within the parking time, which is more than a second here. */
TEST_F(packets, in_time)
{
	struct rc_params params = rc_params_default;
	uint64_t before[COUNTERS], n[COUNTERS];
	struct lab *lab = &self->lab;
	size_t len = WRITE_PAGES * lab->page_size;
	struct rc_op op;

	DO(lab, open_packets(self, 20 * NSEC_PER_MSEC, &params));
	DO(lab, read_counters(lab, before));
	DO(lab, write_much(self));
	DO(lab, mem_drop(lab, self->remote, 0, self->remote->pages));
	op = mem_op(IBV_WR_RDMA_READ, self->local, 0, self->remote, 0, len);
	mem_expect(self->local, 0, self->remote->image, len);
	DO(lab, rc_post(&self->pair.end[0], &op, &lab->failure));
	DO(lab, wait_for(lab, &self->pair, now_ns() + PATIENCE, "READ"));
	DO(lab, mem_check(lab, self->local, "local"));
	COUNT_SINCE(lab, before, n);
	ASSERT_LE((uint64_t)WRITES + 1, n[PARKED]);
	ASSERT_EQ(0, n[RNR_NAK]);
	ASSERT_EQ(0, n[DUPLICATE] + n[OUT_OF_SEQUENCE]);
}

TEST_HARNESS_MAIN
