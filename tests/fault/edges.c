// SPDX-License-Identifier: GPL-2.0
/*
 * What is at the edges of a wait for a page: lists of which a later element is bad,
 * READs that are cut again and again, more responses than a parked queue pair keeps,
 * a receiver that takes long for one message, the send queue drain, implicit ODP.
 *
 * Nobody reads the fault messages here: each test knows which page is due.
 */
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"
#include "uffd.h"

#define PAGES		16
#define ROOM		(1UL << 30)	/* as much as a part of implicit ODP has */
#define MANY_PAGES	1024	/* 4 MiB: four times the packets that are kept */

/* Pages that come when the test says so. */
struct slow {
	char *addr;
	size_t len;
	int uffd;
	struct ibv_mr *mr;
};

FIXTURE(edges)
{
	struct lab lab;
	struct rc_pair pair;	/* with few retries */
	struct rc_end *req, *resp;
	struct slow slow;
	struct mem *mem;	/* resident, ODP */
	struct ibv_mr *implicit;
	size_t page;
	uint64_t timeout_ns;	/* of the pair's requester, until it resends */
};

static int slow_open(struct lab *lab, struct slow *slow, size_t pages)
{
	char *room;

	/* Nothing else is near it. */
	slow->len = pages * lab->page_size;
	room = mmap(NULL, 3 * ROOM, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return fail(&lab->failure, errno, "mmap");
	slow->addr = mmap(room + ROOM, slow->len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (slow->addr == MAP_FAILED)
		return fail(&lab->failure, errno, "mmap");
	slow->uffd = uffd_open(&lab->failure);
	if (slow->uffd < 0)
		return slow->uffd;
	if (uffd_register(slow->uffd, slow->addr, slow->len, &lab->failure))
		return -1;
	slow->mr = ibv_reg_mr(lab->pd, slow->addr, slow->len,
			      ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
	return slow->mr ? 0 : fail(&lab->failure, errno, "ibv_reg_mr");
}

/* The page number @i comes, filled with its number plus one. */
static int supply(struct lab *lab, struct slow *slow, size_t i)
{
	char bytes[65536];
	int err;

	memset(bytes, (int)i + 1, lab->page_size);
	err = uffd_copy(slow->uffd, slow->addr + i * lab->page_size, bytes,
			lab->page_size);
	return err ? fail(&lab->failure, -err, "page %zu cannot be put in place", i) : 0;
}

FIXTURE_SETUP(edges)
{
	/* 268 ms; a kernel that checks all it does gets 2.1 s. */
	struct rc_params params = {
		.timeout = is_debug_kernel() ? 19 : 16,
		.retry_cnt = 1,
		.rnr_retry = 7,
		.min_rnr_timer = 12,
		.max_rd_atomic = 8,
		.access = ACCESS_ALL,
		.queue = 16,
		.sge = 2,
	};
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->page = lab->page_size;
	self->timeout_ns = 4096ULL << params.timeout;
	self->slow.uffd = -1;
	DO(lab, rc_pair_open(&self->pair, &lab->dev, lab->pd, &params,
			     &lab->failure));
	self->req = &self->pair.end[0];
	self->resp = &self->pair.end[1];
	self->mem = mem_new(lab, MEM_RESIDENT, MANY_PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->mem) TH_LOG("%s", lab->failure.text);
}

FIXTURE_TEARDOWN(edges)
{
	rc_pair_close(&self->pair);
	if (self->implicit)
		ibv_dereg_mr(self->implicit);
	if (self->slow.mr)
		ibv_dereg_mr(self->slow.mr);
	if (self->slow.uffd >= 0)
		close(self->slow.uffd);
	lab_close(&self->lab);
}

static struct rc_op op_to_slow(enum ibv_wr_opcode opcode, struct mem *local,
			       struct slow *slow, size_t offset, size_t length)
{
	return (struct rc_op){
		.opcode = opcode,
		.laddr = local->iova,
		.lkey = local->mr->lkey,
		.length = length,
		.raddr = (uintptr_t)slow->addr + offset,
		.rkey = slow->mr->rkey,
	};
}

static long long counter(struct lab *lab, const char *name)
{
	uint64_t value = 0;

	lab_counter(lab, name, &value);
	return value;
}

/* The first element waits for its page, the second is no memory any more. */
static int list_with_bad_end(struct lab *lab, struct mem *mem,
			     struct slow *slow, struct ibv_sge list[2])
{
	if (mprotect(mem->addr, lab->page_size, PROT_NONE))
		return fail(&lab->failure, errno, "mprotect");
	list[0] = (struct ibv_sge){
		.addr = (uintptr_t)slow->addr,
		.length = lab->page_size / 2,
		.lkey = slow->mr->lkey,
	};
	list[1] = (struct ibv_sge){
		.addr = mem->iova,
		.length = lab->page_size / 2,
		.lkey = mem->mr->lkey,
	};
	return 0;
}

/* One packet has all of the list. */
TEST_F(edges, bad_second_element)
{
	static const enum ibv_wr_opcode opcodes[] = {
		IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ,
	};
	struct lab *lab = &self->lab;
	struct ibv_sge list[2];
	struct ibv_wc wc;
	unsigned int i;

	DO(lab, slow_open(lab, &self->slow, PAGES));
	for (i = 0; i < ARRAY_SIZE(opcodes); i++) {
		long long parked = counter(lab, "odp_parked");
		struct rc_op op = {
			.opcode = opcodes[i],
			.sge = list,
			.num_sge = 2,
			.raddr = self->mem->iova + 2 * self->page,
			.rkey = self->mem->mr->rkey,
		};

		DO(lab, list_with_bad_end(lab, self->mem, &self->slow, list));
		list[0].addr += i * self->page;
		DO(lab, rc_post(self->req, &op, &lab->failure));
		DO(lab, lab_counter_above(lab, "odp_parked", parked));
		DO(lab, supply(lab, &self->slow, i));
		DO(lab, rc_wait(&self->req->send, &wc, now_ns() + PATIENCE,
				&lab->failure));
		EXPECT_EQ(IBV_WC_LOC_PROT_ERR, wc.status)
			TH_LOG("%s", ibv_wc_status_str(wc.status));
		rc_pair_close(&self->pair);
		DO(lab, rc_pair_open(&self->pair, &lab->dev, lab->pd,
				     &rc_params_default, &lab->failure));
	}
}

TEST_F(edges, bad_second_element_of_receive)
{
	struct lab *lab = &self->lab;
	struct ibv_sge list[2];
	struct ibv_wc wc;
	struct rc_op op = {
		.opcode = IBV_WR_SEND,
		.laddr = self->mem->iova + 2 * self->page,
		.lkey = self->mem->mr->lkey,
		.length = self->page,
	};
	long long parked = counter(lab, "odp_parked");

	DO(lab, slow_open(lab, &self->slow, 1));
	DO(lab, list_with_bad_end(lab, self->mem, &self->slow, list));
	DO(lab, rc_post_recv(self->resp, list, 2, &lab->failure));
	DO(lab, rc_post(self->req, &op, &lab->failure));
	DO(lab, lab_counter_above(lab, "odp_parked", parked));
	DO(lab, supply(lab, &self->slow, 0));
	DO(lab, rc_wait(&self->req->send, &wc, now_ns() + PATIENCE,
			&lab->failure));
	EXPECT_EQ(IBV_WC_REM_OP_ERR, wc.status)
		TH_LOG("%s", ibv_wc_status_str(wc.status));
	DO(lab, rc_wait(&self->resp->recv, &wc, now_ns() + PATIENCE,
			&lab->failure));
	EXPECT_EQ(IBV_WC_LOC_PROT_ERR, wc.status)
		TH_LOG("%s", ibv_wc_status_str(wc.status));
}

/*
 * Each page comes later than a request is parked, and after the one before: the rest
 * of the READ is put off for each of them. The sequence goes on behind it.
 */
TEST_F_TIMEOUT(edges, read_cut_at_each_page, 120)
{
	struct lab *lab = &self->lab;
	long long naks = counter(lab, "odp_rnr_nak");
	char *at = self->mem->addr;
	struct rc_op op;
	struct ibv_wc wc;
	size_t i;

	DO(lab, slow_open(lab, &self->slow, PAGES));
	op = op_to_slow(IBV_WR_RDMA_READ, self->mem, &self->slow, 0,
			self->slow.len / 2);
	DO(lab, rc_post(self->req, &op, &lab->failure));
	/* One more that starts in the middle of the first, and ends behind it. */
	op = op_to_slow(IBV_WR_RDMA_READ, self->mem, &self->slow,
			self->slow.len / 4, self->slow.len * 3 / 4);
	op.laddr += self->slow.len;
	DO(lab, rc_post(self->req, &op, &lab->failure));
	for (i = 0; i < PAGES; i++) {
		usleep(self->timeout_ns / 2 / NSEC_PER_USEC);
		DO(lab, supply(lab, &self->slow, i));
	}
	for (i = 0; i < 2; i++) {
		DO(lab, rc_wait(&self->req->send, &wc, now_ns() + PATIENCE,
				&lab->failure));
		ASSERT_EQ(IBV_WC_SUCCESS, wc.status)
			TH_LOG("%s", ibv_wc_status_str(wc.status));
	}
	/* The others came while nobody asked for them. */
	EXPECT_GE(counter(lab, "odp_rnr_nak") - naks, PAGES / 2);
	for (i = 0; i < self->slow.len / 2; i++)
		ASSERT_EQ((int)(i / self->page) + 1, at[i])
			TH_LOG("byte %zu", i);
	at += self->slow.len;
	for (i = 0; i < self->slow.len * 3 / 4; i++)
		ASSERT_EQ((int)(i / self->page) + 1 + PAGES / 4, at[i])
			TH_LOG("byte %zu of the second", i);

	/* Not one too few, and not one too many, was counted. */
	op.opcode = IBV_WR_RDMA_WRITE;
	DO(lab, lab_run_status(lab, self->req, &op, IBV_WC_SUCCESS, &wc));
	op.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
	op.length = 8;
	DO(lab, lab_run_status(lab, self->req, &op, IBV_WC_SUCCESS, &wc));
	op.opcode = IBV_WR_RDMA_READ;
	DO(lab, lab_run_status(lab, self->req, &op, IBV_WC_SUCCESS, &wc));
}

/*
 * Each page of a SEND comes before a request has been parked too long, but all of
 * it takes longer than the requester's patience, which asks for one ACK at the end.
 */
TEST_F_TIMEOUT(edges, slow_message, 120)
{
	struct lab *lab = &self->lab;
	long long retries = counter(lab, "completer_retry_err");
	size_t pages = 2 * PAGES, i;
	struct ibv_sge sge;
	struct ibv_wc wc;
	struct rc_op op = {
		.opcode = IBV_WR_SEND,
		.laddr = self->mem->iova,
		.lkey = self->mem->mr->lkey,
		.length = pages * self->page,
	};

	DO(lab, slow_open(lab, &self->slow, pages));
	sge = (struct ibv_sge){
		.addr = (uintptr_t)self->slow.addr,
		.length = self->slow.len,
		.lkey = self->slow.mr->lkey,
	};
	DO(lab, rc_post_recv(self->resp, &sge, 1, &lab->failure));
	DO(lab, rc_post(self->req, &op, &lab->failure));
	for (i = 0; i < pages; i++) {
		usleep(self->timeout_ns / 8 / NSEC_PER_USEC);
		DO(lab, supply(lab, &self->slow, i));
	}
	DO(lab, rc_wait(&self->req->send, &wc, now_ns() + PATIENCE,
			&lab->failure));
	ASSERT_EQ(IBV_WC_SUCCESS, wc.status)
		TH_LOG("%s", ibv_wc_status_str(wc.status));
	TH_LOG("%lld resends",
	       counter(lab, "completer_retry_err") - retries);
	EXPECT_TRUE(!memcmp(self->mem->addr, self->slow.addr, self->slow.len));
}

/* What was dropped is asked for as soon as the page is there, not by the timer. */
TEST_F_TIMEOUT(edges, more_responses_than_are_kept, 120)
{
	struct lab *lab = &self->lab;
	struct rc_params patient = rc_params_default;
	long long dropped = counter(lab, "odp_dropped");
	struct ibv_wc wc;
	struct rc_op op;
	size_t i;

	patient.timeout = 22;	/* 17 s */
	rc_pair_close(&self->pair);
	DO(lab, rc_pair_open(&self->pair, &lab->dev, lab->pd, &patient,
			     &lab->failure));
	DO(lab, slow_open(lab, &self->slow, MANY_PAGES));
	for (i = 1; i < MANY_PAGES; i++)
		DO(lab, supply(lab, &self->slow, i));

	op = (struct rc_op){
		.opcode = IBV_WR_RDMA_READ,
		.laddr = (uintptr_t)self->slow.addr,
		.lkey = self->slow.mr->lkey,
		.length = self->slow.len,
		.raddr = self->mem->iova,
		.rkey = self->mem->mr->rkey,
	};
	DO(lab, rc_post(self->req, &op, &lab->failure));
	DO(lab, lab_counter_above(lab, "odp_dropped", dropped));
	usleep(500000);
	DO(lab, supply(lab, &self->slow, 0));
	DO(lab, rc_wait(&self->req->send, &wc, now_ns() + PATIENCE / 2,
			&lab->failure));
	ASSERT_EQ(IBV_WC_SUCCESS, wc.status)
		TH_LOG("%s", ibv_wc_status_str(wc.status));
	EXPECT_TRUE(!memcmp(self->mem->addr, self->slow.addr, self->slow.len));
}

/* Have the send queue of a QP drain. */
static int drain(struct lab *lab, struct ibv_qp *qp)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_SQD };
	struct pollfd events = {
		.fd = lab->dev.ctx->async_fd,
		.events = POLLIN,
	};
	struct ibv_async_event event;
	int err;

	err = ibv_modify_qp(qp, &attr, IBV_QP_STATE);
	if (err)
		return fail(&lab->failure, err, "cannot go to SQD");
	if (poll(&events, 1, 10000) != 1 ||
	    ibv_get_async_event(lab->dev.ctx, &event))
		return fail(&lab->failure, 0, "the send queue still has work");
	ibv_ack_async_event(&event);
	if (event.event_type != IBV_EVENT_SQ_DRAINED)
		return fail(&lab->failure, 0, "event %d", event.event_type);
	return 0;
}

/* A message that waits for its first page was not begun. IBA 10.3.1.5 */
TEST_F(edges, drain)
{
	struct lab *lab = &self->lab;
	long long parked = counter(lab, "odp_parked");
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RTS };
	struct ibv_wc wc;
	struct rc_op op;

	DO(lab, slow_open(lab, &self->slow, 1));
	op = (struct rc_op){
		.opcode = IBV_WR_RDMA_WRITE,
		.laddr = (uintptr_t)self->slow.addr,
		.lkey = self->slow.mr->lkey,
		.length = 64,
		.raddr = self->mem->iova,
		.rkey = self->mem->mr->rkey,
	};
	memset(self->mem->addr, 0, 64);
	DO(lab, rc_post(self->req, &op, &lab->failure));
	DO(lab, lab_counter_above(lab, "odp_parked", parked));
	DO(lab, drain(lab, self->req->qp));

	DO(lab, supply(lab, &self->slow, 0));
	EXPECT_EQ(-ETIMEDOUT, rc_wait(&self->req->send, &wc,
				      now_ns() + NSEC_PER_SEC / 2,
				      &(struct failure){}));
	EXPECT_EQ(0, self->mem->addr[0]);

	ASSERT_EQ(0, ibv_modify_qp(self->req->qp, &attr, IBV_QP_STATE));
	DO(lab, rc_wait(&self->req->send, &wc, now_ns() + PATIENCE,
			&lab->failure));
	EXPECT_EQ(IBV_WC_SUCCESS, wc.status);
	EXPECT_EQ(1, self->mem->addr[0]);
}

/*
 * A part of implicit ODP without a page is freed after a second, but not one in which
 * somebody waits: it hears of it that the memory is gone.
 */
TEST_F(edges, implicit_part_stays)
{
	struct lab *lab = &self->lab;
	long long parked = counter(lab, "odp_parked");
	struct ibv_wc wc;
	struct rc_op op;

	self->implicit = ibv_reg_mr(lab->pd, NULL, SIZE_MAX,
				    ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
	ASSERT_NE(NULL, self->implicit);
	DO(lab, slow_open(lab, &self->slow, 1));
	op = op_to_slow(IBV_WR_RDMA_READ, self->mem, &self->slow, 0, 64);
	op.rkey = self->implicit->rkey;
	DO(lab, rc_post(self->req, &op, &lab->failure));
	DO(lab, lab_counter_above(lab, "odp_parked", parked));
	sleep(3);
	ASSERT_EQ(0, munmap(self->slow.addr, self->slow.len));
	DO(lab, rc_wait(&self->req->send, &wc, now_ns() + PATIENCE,
			&lab->failure));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, wc.status)
		TH_LOG("%s", ibv_wc_status_str(wc.status));
}

TEST_HARNESS_MAIN
