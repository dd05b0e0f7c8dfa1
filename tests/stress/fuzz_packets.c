// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz_packets [SECONDS [SEED]]: sends malformed RoCE v2 packets from one side of
 * on-two-sides to the device of the other: to a queue pair that responds, and to
 * one that waits for responses. Whatever comes, only what the keys in it give
 * access to may change, and a new connection has to work afterwards.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "roce.h"
#include "two_sides.h"

#define PAGE		4096UL
#define PSN		0x1000
#define OTHER_PSN	0x2000

/* The left side's memory, in pages; all of it is one mapping. */
enum {
	GUARD_1,
	OPEN = GUARD_1 + 2,	/* a region that packets may change */
	GUARD_2 = OPEN + 4,
	READ_ONLY = GUARD_2 + 2,	/* one that they may read */
	ANSWERS = READ_ONLY + 2,	/* local, responses go to a part of it */
	GUARD_3 = ANSWERS + 4,
	ALL = GUARD_3 + 2,
};

#define OPEN_LEN	(4 * PAGE)
#define READ_ONLY_LEN	(2 * PAGE)
#define ANSWERS_LEN	(4 * PAGE)
/* What the outstanding requests ask for, within ANSWERS. */
#define ASKED		(PAGE + 100)
#define ASKED_LEN	(2 * PAGE - 200)

static struct side left, right, asker, deaf;
static char *memory, *image;
static struct ibv_mr *open_mr, *read_only_mr, *answers_mr;
static unsigned int seed;

static uint32_t rnd(uint32_t below)
{
	return rand_r(&seed) % below;
}

static uint64_t rnd64(void)
{
	return (uint64_t)rand_r(&seed) << 42 ^ (uint64_t)rand_r(&seed) << 21 ^
	       rand_r(&seed);
}

static int bail(const char *what)
{
	printf("Bail out! %s: %s; %s %s\n", what, strerror(errno),
	       left.lab.failure.text, right.lab.failure.text);
	return 1;
}

/* ---- packets */

static uint64_t odd_address(void)
{
	const uint64_t start = (uintptr_t)memory + OPEN * PAGE;
	const uint64_t choice[] = {
		start, start + 1, start - 1, start - 8, start + OPEN_LEN,
		start + OPEN_LEN - 1, start + OPEN_LEN - 8, start + PAGE - 3,
		0, -1ULL, -8ULL, 1ULL << 63, start + (1ULL << 32),
		(uintptr_t)memory + READ_ONLY * PAGE,
	};

	if (rnd(2))
		return start + rnd(OPEN_LEN);
	if (!rnd(10))
		return rnd64();
	return choice[rnd(ARRAY_SIZE(choice))];
}

static uint32_t odd_length(void)
{
	static const uint32_t choice[] = {
		0, 1, 2, 3, 4, 7, 8, 9, 1023, 1024, 1025, OPEN_LEN,
		OPEN_LEN + 1, 1U << 31, (1U << 31) + 1, -1U, -4U, -8U, 1U << 30,
	};

	return rnd(2) ? rnd(1024) : choice[rnd(ARRAY_SIZE(choice))];
}

static uint32_t odd_rkey(void)
{
	switch (rnd(10)) {
	case 0:
		return read_only_mr->rkey;
	case 1:
		return open_mr->rkey ^ 1U << rnd(32);
	case 2:
		return rnd64();
	default:
		return open_mr->rkey;
	}
}

static const unsigned char opcodes[] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
	0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x16, 0x17, 0x1c,
	0x1d,
};

static void put_headers(struct packet *p, unsigned int opcode, uint32_t length)
{
	switch (opcode) {
	case 0x1c:	/* FLUSH */
		put32(p, rnd(4) ? 1 << 2 | rnd(4) << 4 : rnd64());
		/* fall through */
	case 0x06: case 0x0a: case 0x0b: case 0x0c: case 0x1d:
		put64(p, odd_address());
		put32(p, odd_rkey());
		put32(p, length);
		break;
	case 0x13: case 0x14:
		put64(p, odd_address() & (rnd(4) ? -8ULL : -1ULL));
		put32(p, odd_rkey());
		put64(p, rnd64());
		put64(p, rnd64());
		break;
	case 0x0d: case 0x0f: case 0x10: case 0x11: case 0x12:
		put32(p, rnd(2) ? rnd(32) << 24 : rnd64());
		if (opcode == 0x12)
			put64(p, rnd64());
		break;
	case 0x64: case 0x65:
		put64(p, rnd64());
		break;
	}
	switch (opcode) {
	case 0x03: case 0x05: case 0x09: case 0x0b: case 0x16: case 0x17:
		put32(p, rnd(2) ? rnd64() : odd_rkey());
	}
}

static int send_odd_packet(uint32_t qpn, uint32_t psn, bool response)
{
	uint32_t length = odd_length(), payload = length < 1025 ? length : 1024;
	unsigned int opcode, pad = -payload & 3;
	bool right_icrc = rnd(8);
	struct packet p;
	size_t i;

	do {
		opcode = rnd(12) ? opcodes[rnd(sizeof(opcodes))] : rnd(256);
	} while (response && rnd(8) && (opcode < 0x0d || opcode > 0x12));
	if (!rnd(8))
		payload = rnd(1100);
	if (!rnd(8))
		pad = rnd(4);
	if (opcode == 0x1d && rnd(4)) {
		length = 8;
		payload = 8;
	}
	if (opcode == 0x0c || opcode == 0x13 || opcode == 0x14 ||
	    opcode == 0x1c || opcode == 0x11 || opcode == 0x12)
		payload = rnd(8) ? 0 : payload;

	begin_packet(&p);
	put_bth(&p, opcode, pad << 4 | (rnd(32) ? 0 : rnd(256) & 0xcf),
		rnd(32) ? 0xffff : 0x1234,
		rnd(32) ? qpn : rnd(3) ? rnd(4) : 0xffffff,
		(rnd(2) << 31) | (psn & 0xffffff));
	put_headers(&p, opcode, length);
	for (i = 0; i < payload + pad; i++)
		p.bytes[p.len++] = 0xa5 ^ i;
	/* Cut somewhere, down to nothing behind the UDP header. */
	if (!rnd(10))
		p.len = BTH_AT + rnd(p.len - BTH_AT);
	return send_packet(&p, right_icrc, rnd64());
}

/* ---- the queue pairs */

static int state_of(struct side *side, uint32_t *rq_psn)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;

	if (ibv_query_qp(side->end.qp, &attr, IBV_QP_STATE | IBV_QP_RQ_PSN,
			 &init))
		return -1;
	*rq_psn = attr.rq_psn;
	return attr.qp_state;
}

static int connect_target(void)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)memory + OPEN * PAGE + 50,
		.length = 2000,
		.lkey = open_mr->lkey,
	};
	int i, err;

	close_end(&left);
	close_end(&right);
	err = open_end(&left) ?: open_end(&right) ?:
	      connect_side(&left, &right, PSN, OTHER_PSN) ?:
	      connect_side(&right, &left, OTHER_PSN, PSN);
	for (i = 0; i < 16 && !err; i++)
		err = rc_post_recv(&left.end, &sge, 1, &left.lab.failure);
	return err;
}

/* Requests that nobody answers but the fuzzer. */
static int connect_asker(void)
{
	struct rc_op op = {
		.opcode = IBV_WR_RDMA_READ,
		.laddr = (uintptr_t)memory + ANSWERS * PAGE + ASKED,
		.lkey = answers_mr->lkey,
		.length = ASKED_LEN,
		.raddr = 0x1000,
		.rkey = 0x1234,
	};
	int err;

	close_end(&asker);
	err = open_end(&asker) ?:
	      connect_side(&asker, &deaf, PSN, OTHER_PSN);
	if (!err)
		err = rc_post(&asker.end, &op, &left.lab.failure);
	op.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
	op.length = 8;
	if (!err)
		err = rc_post(&asker.end, &op, &left.lab.failure);
	op.opcode = IBV_WR_RDMA_WRITE;
	op.length = ASKED_LEN;
	if (!err)
		err = rc_post(&asker.end, &op, &left.lab.failure);
	return err;
}

static struct ibv_mr *register_part(int page, size_t len, unsigned int access)
{
	return ibv_reg_mr(left.lab.pd, memory + page * PAGE, len,
			  access | IBV_ACCESS_ON_DEMAND);
}

static int set_up(void)
{
	if (open_line())
		return bail("packet socket");
	if (open_side(&left, device[0]) || open_side(&right, device[1]))
		return bail("device");
	asker.lab = left.lab;
	deaf.lab = right.lab;
	memory = mmap(NULL, ALL * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	image = malloc(ALL * PAGE);
	if (memory == MAP_FAILED || !image)
		return bail("memory");
	pattern_fill(memory, ALL * PAGE, seed, 0);
	memcpy(image, memory, ALL * PAGE);
	open_mr = register_part(OPEN, OPEN_LEN,
				ACCESS_ALL | RAWQ_ACCESS_FLUSH);
	read_only_mr = register_part(READ_ONLY, READ_ONLY_LEN,
				     IBV_ACCESS_REMOTE_READ);
	answers_mr = register_part(ANSWERS, ANSWERS_LEN,
				   IBV_ACCESS_LOCAL_WRITE);
	if (!open_mr || !read_only_mr || !answers_mr)
		return bail("memory region");
	if (open_end(&deaf) || connect_target() || connect_asker())
		return bail("connection");
	return 0;
}

/* Both regions may have changed where packets were allowed to. */
static bool is_untouched(void)
{
	static const char * const name[] = {
		"before", "between", "read-only", "answers", "behind",
	};
	const struct {
		size_t at, len;
	} part[] = {
		{ 0, OPEN * PAGE },
		{ GUARD_2 * PAGE, 2 * PAGE },
		{ READ_ONLY * PAGE, READ_ONLY_LEN },
		{ ANSWERS * PAGE, ASKED },
		{ ANSWERS * PAGE + ASKED + ASKED_LEN,
		  ALL * PAGE - ANSWERS * PAGE - ASKED - ASKED_LEN },
	};
	size_t i, where;

	for (i = 0; i < ARRAY_SIZE(part); i++) {
		if (bytes_equal(image + part[i].at, memory + part[i].at,
				part[i].len, &where))
			continue;
		printf("# byte %zu of what is %s has changed\n", where,
		       name[i]);
		return false;
	}
	return true;
}

static bool new_connection_works(void)
{
	char *buffer = memory + OPEN * PAGE;
	struct ibv_mr *mr = ibv_reg_mr(right.lab.pd, image, PAGE, ACCESS_ALL);
	struct rc_op op = {
		.opcode = IBV_WR_RDMA_WRITE,
		.laddr = (uintptr_t)image,
		.lkey = mr ? mr->lkey : 0,
		.length = PAGE,
		.raddr = (uintptr_t)buffer,
		.rkey = open_mr->rkey,
	};
	struct ibv_wc wc = { .status = IBV_WC_GENERAL_ERR };
	bool ok = mr && !connect_target() &&
		  !rc_post(&right.end, &op, &right.lab.failure) &&
		  !rc_wait(&right.end.send, &wc, now_ns() + PATIENCE,
			   &right.lab.failure) &&
		  wc.status == IBV_WC_SUCCESS && !memcmp(image, buffer, PAGE);

	if (!ok)
		printf("# %s; %s\n", ibv_wc_status_str(wc.status),
		       right.lab.failure.text);
	if (mr)
		ibv_dereg_mr(mr);
	return ok;
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? strtoul(argv[1], NULL, 0) : 10;
	uint64_t until, seen[2], sent = 0, connects = 0;
	bool untouched, works, arrived, changed;

	seed = argc > 2 ? strtoul(argv[2], NULL, 0) : (unsigned int)now_ns();
	setbuf(stdout, NULL);
	printf("TAP version 13\n1..4\n# %u seconds, seed %u\n", seconds, seed);
	if (set_up() || read_counter(device[0], "rcvd_pkts", &seen[0]))
		return 1;
	until = now_ns() + seconds * NSEC_PER_SEC;
	while (now_ns() < until) {
		bool response = rnd(3) == 0;
		struct side *target = response ? &asker : &left;
		uint32_t psn;

		if (state_of(target, &psn) != IBV_QPS_RTS) {
			if (response ? connect_asker() : connect_target())
				return bail("connection");
			connects++;
			psn = OTHER_PSN;
		}
		/* Expected, a bit off, or anywhere. */
		if (response)
			psn = PSN + rnd(20) - 2;
		if (!rnd(4))
			psn += rnd(5) - 2;
		if (!rnd(16))
			psn = rnd64();
		if (send_odd_packet(target->end.qp->qp_num, psn, response))
			return bail("send");
		sent++;
	}
	untouched = is_untouched();
	changed = memcmp(image + OPEN * PAGE, memory + OPEN * PAGE, OPEN_LEN);
	arrived = !read_counter(device[0], "rcvd_pkts", &seen[1]) &&
		  seen[1] - seen[0] > sent / 4;
	printf("# %lu packets, %lu of them taken by the device; %lu connections\n",
	       sent, seen[1] - seen[0], connects);
	printf("%sok 1 - the packets reached the device\n",
	       arrived ? "" : "not ");
	printf("%sok 2 - some were as good as they looked\n",
	       changed ? "" : "not ");
	printf("%sok 3 - memory is untouched where no key gave access\n",
	       untouched ? "" : "not ");
	works = new_connection_works();
	printf("%sok 4 - a new connection works\n", works ? "" : "not ");
	return !(untouched && works && arrived && changed);
}
