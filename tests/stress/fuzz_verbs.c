// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz_verbs [SECONDS [SEED]]: what user space controls, filled with what nobody
 * would write: the arguments of the verbs on memory regions, past what rdma-core
 * checks, and the work queues that the kernel shares with user space, entries and
 * indexes. The kernel has to stay well, memory that no key names as it was, and
 * the process has to end.
 */
#include <rdma/ib_user_ioctl_cmds.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lab.h"
#include "rawq.h"
#include "uverbs.h"

#define PAGE	4096UL
#define MRS	8

/* Pages: a guard, what regions are made of, a guard. */
#define GUARD	4
#define PART	32
#define ALL	(GUARD + PART + GUARD)

static unsigned int seed;
static struct rdma_dev dev;
static struct ibv_pd *pd;
static struct failure failure;
static char *memory;

static uint32_t rnd(uint32_t below)
{
	return rand_r(&seed) % below;
}

static uint64_t rnd64(void)
{
	return (uint64_t)rand_r(&seed) << 42 ^ (uint64_t)rand_r(&seed) << 21 ^
	       rand_r(&seed);
}

static uint64_t odd_address(void)
{
	const uint64_t start = (uintptr_t)memory + GUARD * PAGE;
	const uint64_t choice[] = {
		0, 1, PAGE, -1ULL, -PAGE, -PAGE + 1, 1ULL << 63, 1ULL << 47,
		(1ULL << 47) - PAGE, start - 1, start + PART * PAGE - 1,
		start + (1ULL << 32),
	};

	return rnd(3) ? start + rnd(PART * PAGE) :
	       rnd(6) ? choice[rnd(ARRAY_SIZE(choice))] : rnd64();
}

static uint64_t odd_length(void)
{
	static const uint64_t choice[] = {
		0, 1, 7, 8, PAGE - 1, PAGE, PAGE + 1, PART * PAGE, 1ULL << 31,
		(1ULL << 31) - 1, 1ULL << 32, (1ULL << 32) + 1, 1ULL << 46,
		1ULL << 47, 1ULL << 63, -1ULL, -PAGE, -8ULL,
	};

	return rnd(3) ? rnd(4 * PAGE) :
	       rnd(6) ? choice[rnd(ARRAY_SIZE(choice))] : rnd64();
}

/* ---- memory regions, by the kernel's own interface */

struct handle {
	uint32_t handle, lkey;
	bool used;
};

static struct handle mrs[MRS];

static int command(uint32_t number, void *cmd, size_t size, size_t response)
{
	struct ib_uverbs_cmd_hdr *hdr = cmd;

	*hdr = (struct ib_uverbs_cmd_hdr){
		.command = number,
		.in_words = size / 4,
		.out_words = response / 4,
	};
	return write(dev.ctx->cmd_fd, cmd, size) == (ssize_t)size ? 0 : errno;
}

static uint32_t odd_access(void)
{
	uint32_t access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
			  IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC;

	if (rnd(4))
		access |= IBV_ACCESS_ON_DEMAND;
	if (!rnd(4))
		access ^= 1U << rnd(32);
	return rnd(16) ? access : (uint32_t)rnd64();
}

/*
 * Writable memory of any address: what a region covers may be changed by what
 * else is done here. So those that allow it stay within the part for it, and
 * beyond that regions are for reading only.
 */
static bool is_within(uint64_t addr, uint64_t length)
{
	uint64_t start = (uintptr_t)memory + GUARD * PAGE;

	return addr >= start && length <= PART * PAGE &&
	       addr - start <= PART * PAGE - length;
}

static void fuzz_reg(struct handle *mr)
{
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_reg_mr cmd;
	} request = {};
	struct ib_uverbs_reg_mr_resp response = {};
	uint64_t start = odd_address();
	/* A pinned region of gigabytes is only a way to run out of memory. */
	uint32_t access = odd_access();

	request.cmd.response = (uintptr_t)&response;
	request.cmd.start = start;
	request.cmd.length = odd_length();
	request.cmd.hca_va = rnd(2) ? start :
			     (rnd64() & -PAGE) | (start & (PAGE - 1));
	if (!rnd(8))
		request.cmd.hca_va = odd_address();
	request.cmd.pd_handle = rnd(16) ? pd->handle : (uint32_t)rnd64();
	if (!is_within(start, request.cmd.length))
		access = IBV_ACCESS_ON_DEMAND | (access & IBV_ACCESS_REMOTE_READ);
	request.cmd.access_flags = access;
	if (command(IB_USER_VERBS_CMD_REG_MR, &request, sizeof(request),
		    sizeof(response)))
		return;
	*mr = (struct handle){
		.handle = response.mr_handle,
		.lkey = response.lkey,
		.used = true,
	};
}

static void fuzz_rereg(struct handle *mr)
{
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_rereg_mr cmd;
	} request = {};
	struct ib_uverbs_rereg_mr_resp response = {};
	uint64_t start = odd_address();
	uint32_t access = odd_access();

	request.cmd.response = (uintptr_t)&response;
	request.cmd.mr_handle = rnd(16) ? mr->handle : (uint32_t)rnd64();
	request.cmd.flags = rnd(8) ? rnd(8) : (uint32_t)rnd64();
	request.cmd.start = start;
	request.cmd.length = odd_length();
	request.cmd.hca_va = rnd(2) ? start :
			     (rnd64() & -PAGE) | (start & (PAGE - 1));
	request.cmd.pd_handle = rnd(16) ? pd->handle : (uint32_t)rnd64();
	/* See is_within(): rights alone could open what was for reading. */
	access = IBV_ACCESS_ON_DEMAND | (access & IBV_ACCESS_REMOTE_READ);
	request.cmd.access_flags = access;
	if (!command(IB_USER_VERBS_CMD_REREG_MR, &request, sizeof(request),
		     sizeof(response)) &&
	    request.cmd.mr_handle == mr->handle)
		mr->lkey = response.lkey;
}

static void fuzz_dereg(struct handle *mr)
{
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_dereg_mr cmd;
	} request = {};

	request.cmd.mr_handle = mr->handle;
	if (!command(IB_USER_VERBS_CMD_DEREG_MR, &request, sizeof(request), 0))
		mr->used = false;
}

static void fuzz_advise(void)
{
	struct ibv_sge sge[4];
	unsigned int i, n = rnd(5);

	for (i = 0; i < ARRAY_SIZE(sge); i++) {
		sge[i].addr = odd_address();
		sge[i].length = odd_length();
		sge[i].lkey = rnd(8) ? mrs[rnd(MRS)].lkey : (uint32_t)rnd64();
	}
	uverbs_advise_mr(pd, rnd(8) ? rnd(3) : rnd64(),
			 rnd(8) ? rnd(2) : rnd64(), sge,
			 rnd(32) ? n : rnd(1 << 20));
}

static void fuzz_regions(void)
{
	struct handle *mr = &mrs[rnd(MRS)];

	if (!mr->used)
		fuzz_reg(mr);
	else if (rnd(3) == 0)
		fuzz_dereg(mr);
	else if (rnd(2))
		fuzz_rereg(mr);
	fuzz_advise();
}

/* ---- work queues */

static struct rc_pair pair;
static struct rawq rawq[2];

/* One byte or word of it gets another value, or all of it. */
static void spoil(void *bytes, size_t size)
{
	uint32_t value = rnd(2) ? odd_length() : rnd64();
	unsigned char *at = bytes;
	size_t i, n = rnd(3);

	for (i = 0; i < n; i++)
		memcpy(at + rnd(size / 4) * 4, &value, 4);
	if (!rnd(16))
		at[rnd(size)] ^= 1 << rnd(8);
	for (i = 0; !rnd(64) && i < size; i++)
		at[i] = rnd(256);
}

static void odd_sge(struct rxe_sge *sge, int n)
{
	while (n--) {
		sge[n].addr = odd_address();
		sge[n].length = rnd(2) ? rnd(3000) : odd_length();
		sge[n].lkey = rnd(8) ? mrs[rnd(MRS)].lkey : (uint32_t)rnd64();
	}
}

static void fuzz_send(struct rawq *q)
{
	uint32_t producer = q->sq->producer_index, at = rnd(4) ? 0 : rnd(40);
	size_t size = 1UL << q->sq->log2_elem_size;
	unsigned char entry[4096] = {};
	struct rxe_send_wqe *wqe = (void *)entry;

	if (size > sizeof(entry))
		return;
	wqe->wr.opcode = rnd(8) ? rnd(16) : (uint32_t)rnd64();
	wqe->wr.send_flags = rnd(4) ? IBV_SEND_SIGNALED : rnd(64);
	wqe->wr.wr.atomic.remote_addr = odd_address();
	if (wqe->wr.opcode == IBV_WR_ATOMIC_CMP_AND_SWP ||
	    wqe->wr.opcode == IBV_WR_ATOMIC_FETCH_AND_ADD)
		wqe->wr.wr.atomic.rkey = mrs[rnd(MRS)].lkey;
	else
		wqe->wr.wr.rdma.rkey = mrs[rnd(MRS)].lkey;
	wqe->iova = rnd(4) ? wqe->wr.wr.rdma.remote_addr : odd_address();
	wqe->dma.num_sge = rnd(4) ? 1 + rnd(4) : (uint32_t)odd_length();
	wqe->dma.length = rnd(2) ? rnd(4000) : odd_length();
	wqe->dma.resid = rnd(4) ? wqe->dma.length : (uint32_t)odd_length();
	wqe->dma.cur_sge = rnd(4) ? 0 : (uint32_t)odd_length();
	wqe->dma.sge_offset = rnd(4) ? 0 : (uint32_t)odd_length();
	wqe->state = rnd(16) ? 0 : rnd(8);
	wqe->status = rnd(16) ? 0 : rnd(32);
	odd_sge(wqe->dma.sge, 4);
	if (!rnd(4))
		spoil(entry, size);
	memcpy(rawq_slot(q->sq, producer + at), entry, size);
	if (rnd(32))
		producer = (producer + 1 + at) & q->sq->index_mask;
	else
		producer = odd_length();
	rawq_publish(q->sq, producer);
	/* Also the kernel's own side of it, now and then. */
	if (!rnd(32))
		q->sq->consumer_index = rnd(2) ? rnd(64) : odd_length();
	rawq_doorbell(q);
}

static void fuzz_receive(struct rawq *q)
{
	size_t size = 1UL << q->rq->log2_elem_size;
	uint32_t producer = q->rq->producer_index;
	unsigned char entry[4096] = {};
	struct rxe_recv_wqe *wqe = (void *)entry;

	if (size > sizeof(entry))
		return;
	wqe->dma.num_sge = rnd(4) ? 1 + rnd(4) : (uint32_t)odd_length();
	wqe->dma.length = rnd(2) ? rnd(4000) : odd_length();
	wqe->dma.resid = rnd(4) ? wqe->dma.length : (uint32_t)odd_length();
	wqe->dma.cur_sge = rnd(4) ? 0 : (uint32_t)odd_length();
	wqe->dma.sge_offset = rnd(4) ? 0 : (uint32_t)odd_length();
	odd_sge(wqe->dma.sge, rnd(5));
	if (!rnd(4))
		spoil(entry, size);
	memcpy(rawq_slot(q->rq, producer), entry, size);
	rawq_publish(q->rq, rnd(32) ? producer + 1 : (uint32_t)odd_length());
}

/* Rewrite what the kernel may be working on. */
static void fuzz_behind(struct rawq *q)
{
	uint32_t i = rnd(64);

	spoil(rawq_slot(q->sq, i), 1UL << q->sq->log2_elem_size);
	spoil(rawq_slot(q->rq, i), 1UL << q->rq->log2_elem_size);
	if (!rnd(8)) {
		q->sq->log2_elem_size ^= 1U << rnd(32);
		q->sq->index_mask ^= 1U << rnd(32);
		rawq_doorbell(q);
		/* Ours to read by, too: put them back. */
	}
}

/*
 * The queues of both ends are mapped in the order of their creation, with those of
 * the completion queues between them: told apart by the size of their entries.
 */
static int find_queues(void)
{
	struct rawq_mappings now;
	int i, j, ends = 0;

	if (rawq_mappings(&now))
		return -1;
	/* Ascending offsets. */
	for (i = 0; i < now.n; i++) {
		for (j = i + 1; j < now.n; j++) {
			struct rawq_mapping swap = now.of[i];

			if (now.of[j].offset > swap.offset)
				continue;
			now.of[i] = now.of[j];
			now.of[j] = swap;
		}
	}
	for (i = 0; i + 1 < now.n && ends < 2; i++) {
		struct rxe_queue_buf *q = (void *)now.of[i].start;

		if (1UL << q->log2_elem_size < sizeof(struct rxe_send_wqe))
			continue;
		rawq[ends].qp = pair.end[ends].qp;
		rawq[ends].sq = q;
		rawq[ends].rq = (void *)now.of[i + 1].start;
		ends++;
	}
	return ends == 2 ? 0 : -1;
}

static int connect_pair(void)
{
	int err;

	rc_pair_close(&pair);
	err = rc_pair_open(&pair, &dev, pd, &rc_params_default, &failure);
	return err ?: find_queues();
}

static void fuzz_queues(void)
{
	uint32_t shift[2][2], mask[2][2];
	int i, n = 1 + rnd(30);

	if (connect_pair()) {
		printf("# cannot connect: %s\n", failure.text);
		exit(2);
	}
	for (i = 0; i < 2; i++) {
		shift[i][0] = rawq[i].sq->log2_elem_size;
		shift[i][1] = rawq[i].rq->log2_elem_size;
		mask[i][0] = rawq[i].sq->index_mask;
		mask[i][1] = rawq[i].rq->index_mask;
	}
	while (n--) {
		struct rawq *q = &rawq[rnd(2)];

		i = q - rawq;
		fuzz_receive(q);
		fuzz_send(q);
		if (!rnd(4))
			fuzz_behind(q);
		/* The kernel has its own; these would only mislead us. */
		q->sq->log2_elem_size = shift[i][0];
		q->rq->log2_elem_size = shift[i][1];
		q->sq->index_mask = mask[i][0];
		q->rq->index_mask = mask[i][1];
		if (!rnd(4))
			fuzz_regions();
	}
}

/* ---- */

static int set_up(void)
{
	size_t i;

	if (rdma_dev_open(&dev, NULL, 1, -1, &failure))
		return -1;
	pd = ibv_alloc_pd(dev.ctx);
	memory = mmap(NULL, ALL * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!pd || memory == MAP_FAILED)
		return fail(&failure, errno, "cannot set up");
	for (i = 0; i < ALL * PAGE; i += PAGE)
		pattern_fill(memory + i, PAGE, 1, i);
	return 0;
}

static bool is_untouched(void)
{
	char want[PAGE];
	size_t i;

	for (i = 0; i < ALL * PAGE; i += PAGE) {
		if (i >= GUARD * PAGE && i < (GUARD + PART) * PAGE)
			continue;
		pattern_fill(want, PAGE, 1, i);
		if (memcmp(want, memory + i, PAGE))
			return false;
	}
	return true;
}

/* In a process of its own: what it is left with goes with its end. */
static int run_child(unsigned int its_seed, uint64_t until, bool orderly)
{
	int i;

	seed = its_seed;
	if (set_up()) {
		printf("# %s\n", failure.text);
		return 2;
	}
	for (i = 0; i < 12 && now_ns() < until; i++) {
		fuzz_regions();
		fuzz_queues();
	}
	if (!is_untouched()) {
		printf("# memory has changed that no key names\n");
		return 3;
	}
	if (orderly) {
		rc_pair_close(&pair);
		for (i = 0; i < MRS; i++)
			if (mrs[i].used)
				fuzz_dereg(&mrs[i]);
		ibv_dealloc_pd(pd);
		rdma_dev_close(&dev);
	}
	return 0;
}

static bool still_works(void)
{
	struct lab lab;
	struct mem *a, *b;
	bool ok;

	ok = !lab_open(&lab) &&
	     (a = mem_new(&lab, MEM_RESIDENT, 4, ACCESS_ALL)) &&
	     (b = mem_new(&lab, MEM_UFFD, 4, ACCESS_ALL)) &&
	     !lab_write(&lab, a, 10, b, 20, 5000) &&
	     !lab_read(&lab, a, 6000, b, 7000, 5000) &&
	     !mem_check(&lab, a, "local") && !mem_check(&lab, b, "remote");
	if (!ok)
		printf("# %s\n", lab.failure.text);
	lab_close(&lab);
	return ok;
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? strtoul(argv[1], NULL, 0) : 10;
	unsigned int first = argc > 2 ? strtoul(argv[2], NULL, 0) :
					(unsigned int)now_ns();
	uint64_t until = now_ns() + seconds * NSEC_PER_SEC;
	unsigned int n = 0, bad = 0;
	bool works;

	setbuf(stdout, NULL);
	printf("TAP version 13\n1..2\n# %u seconds, seed %u\n", seconds, first);
	while (!bad && now_ns() < until) {
		int status = 0;
		pid_t pid = fork();

		if (!pid)
			_exit(run_child(first + n, until, n % 2));
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
			printf("# seed %u: status %#x\n", first + n, status);
			bad++;
		}
		n++;
	}
	printf("%sok 1 - %u processes came to their end\n", bad ? "not " : "",
	       n);
	works = still_works();
	printf("%sok 2 - the device still works\n", works ? "" : "not ");
	return bad || !works;
}
