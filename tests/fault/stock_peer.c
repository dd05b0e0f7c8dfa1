// SPDX-License-Identifier: GPL-2.0
/*
 * host1 has pages that come late, host2 accesses them: another kernel, with an rxe
 * that was not made for this. One queue pair for each verb, all at a time.
 *
 * Its timer goes on, and takes a retry, while it waits as an RNR NAK has told it;
 * it completes as rxe takes a retry count of 7 for one that does not end.
 *
 * TAP is not for two that speak at once: each tells in a line a verb what it saw.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine.h"
#include "side.h"

#define PAGES		2
#define TCP_PORT	7471
#define PSN		0x3000
#define DEVICE		"rxe0"

/*
 * Nobody waits longer for the other: for ever, as the other's clock may be many
 * times slower. vm/run has one for both.
 */
#define TOGETHER	(3600 * NSEC_PER_SEC)

static const struct {
	const char *name;
	enum ibv_wr_opcode opcode;
	unsigned int late;	/* in seconds; of a SEND each page is */
	uint8_t min_rnr_timer;
} verbs[] = {
	{ "READ", IBV_WR_RDMA_READ, 30, 12 },
	{ "WRITE", IBV_WR_RDMA_WRITE, 25, 0 },
	{ "SEND", IBV_WR_SEND, 5, 20 },
	{ "CMP_SWAP", IBV_WR_ATOMIC_CMP_AND_SWP, 20, 31 },
	{ "FETCH_ADD", IBV_WR_ATOMIC_FETCH_AND_ADD, 30, 1 },
};

#define VERBS	ARRAY_SIZE(verbs)
#define LATEST	(30 * NSEC_PER_SEC)

/* What either side tells the other. */
struct hello {
	struct address address;
	uint64_t iova;
	uint32_t rkey;
};

static struct side sides[VERBS];

static struct failure failure;

static bool is_atomic(size_t i)
{
	return verbs[i].opcode == IBV_WR_ATOMIC_CMP_AND_SWP ||
	       verbs[i].opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;
}

/* Of a page the whole, and of the next one not: or a word. */
static size_t offset_of(size_t i)
{
	return is_atomic(i) ? 64 : 1000;
}

static size_t length_of(size_t i)
{
	return is_atomic(i) ? 8 : PAGES * sysconf(_SC_PAGESIZE) - 1100;
}

/* The patterns, by which each side knows what the other one has. */
static uint64_t seed_of(bool responder, size_t i)
{
	return 1 + 2 * i + responder;
}

static void bytes_of(bool responder, size_t i, void *bytes)
{
	pattern_fill(bytes, length_of(i), seed_of(responder, i), offset_of(i));
}

static uint64_t word_of(bool responder, size_t i)
{
	uint64_t word;

	pattern_fill(&word, sizeof(word), seed_of(responder, i), offset_of(i));
	return word;
}

/* --- TCP */

static int listen_on(struct sockaddr_in *address)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int peer = -1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(fd, (void *)address, sizeof(*address)) && !listen(fd, 1))
		peer = accept(fd, NULL, NULL);
	close(fd);
	return peer;
}

static int connect_until(struct sockaddr_in *address, uint64_t deadline)
{
	do {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (!connect(fd, (void *)address, sizeof(*address)))
			return fd;
		close(fd);
		usleep(100000);
	} while (now_ns() < deadline);
	return -1;
}

static int meet(bool responder)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(TCP_PORT),
		.sin_addr.s_addr = inet_addr("10.0.0.1"),
	};

	return responder ? listen_on(&address) :
			   connect_until(&address, now_ns() + TOGETHER);
}

/* Both are at the same place in the program, and have told each other that. */
static int exchange(int tcp, const void *mine, void *other, size_t len)
{
	if (send(tcp, mine, len, MSG_NOSIGNAL) != (ssize_t)len ||
	    recv(tcp, other, len, MSG_WAITALL) != (ssize_t)len)
		return fail(&failure, 0, "the peer is gone");
	return 0;
}

static int wait_for_peer(int tcp)
{
	char byte = 0;

	return exchange(tcp, &byte, &byte, sizeof(byte));
}

/* --- both sides */

static int open_verb(bool responder, size_t i, int tcp, struct hello *other)
{
	struct side *side = &sides[i];
	struct lab *lab = &side->lab;
	struct hello mine;
	int err;

	err = open_side(side, DEVICE);
	if (err)
		return err;
	lab->page_latency_ns = verbs[i].late * NSEC_PER_SEC;
	/* The next one that is used. */
	lab->last_seed = seed_of(responder, i) - 1;
	side->mem = mem_new(lab, responder ? MEM_UFFD : MEM_PINNED,
			    is_atomic(i) ? 1 : PAGES, ACCESS_ALL);
	if (!side->mem)
		return -EIO;
	err = address_of(side, PSN, &mine.address);
	if (err)
		return err;
	mine.iova = side->mem->iova;
	mine.rkey = side->mem->mr->rkey;
	return exchange(tcp, &mine, other, sizeof(mine)) ?:
	       connect_to(side, PSN, &other->address, verbs[i].min_rnr_timer);
}

/* --- the responder */

static int post_receive(size_t i)
{
	struct ibv_sge sge = {
		.addr = sides[i].mem->iova + offset_of(i),
		.length = length_of(i),
		.lkey = sides[i].mem->mr->lkey,
	};

	if (verbs[i].opcode != IBV_WR_SEND)
		return 0;
	return rc_post_recv(&sides[i].end, &sge, 1, &sides[i].lab.failure);
}

static int check_responder(size_t i)
{
	struct mem *mem = sides[i].mem;
	char *image = mem->image + offset_of(i);
	uint64_t word = word_of(true, i);
	struct ibv_wc wc;
	int err;

	switch (verbs[i].opcode) {
	case IBV_WR_SEND:
		err = rc_wait(&sides[i].end.recv, &wc, now_ns() + PATIENCE,
			      &sides[i].lab.failure);
		if (err)
			return err;
		bytes_of(false, i, image);
		break;
	case IBV_WR_RDMA_WRITE:
		bytes_of(false, i, image);
		break;
	case IBV_WR_ATOMIC_CMP_AND_SWP:
		word = ~word;
		memcpy(image, &word, sizeof(word));
		break;
	case IBV_WR_ATOMIC_FETCH_AND_ADD:
		word++;
		memcpy(image, &word, sizeof(word));
		break;
	default:
		break;
	}
	return mem_check(&sides[i].lab, mem, "responder's");
}

/* --- the requester */

static int post_request(size_t i, const struct hello *other)
{
	struct mem *mem = sides[i].mem;
	struct rc_op op = {
		.opcode = verbs[i].opcode,
		.laddr = mem->iova + offset_of(i),
		.lkey = mem->mr->lkey,
		.length = length_of(i),
		.raddr = other->iova + offset_of(i),
		.rkey = other->rkey,
	};

	op.compare_add = 1;
	if (op.opcode == IBV_WR_ATOMIC_CMP_AND_SWP) {
		op.compare_add = word_of(true, i);
		op.swap = ~op.compare_add;
	}
	return rc_post(&sides[i].end, &op, &sides[i].lab.failure);
}

static int check_requester(size_t i, uint64_t begun)
{
	struct lab *lab = &sides[i].lab;
	struct ibv_wc wc;
	int err;

	err = rc_wait(&sides[i].end.send, &wc, begun + TOGETHER, &lab->failure);
	if (err)
		return err;
	if (wc.status != IBV_WC_SUCCESS)
		return fail(&lab->failure, 0, "%s",
			    ibv_wc_status_str(wc.status));
	if (verbs[i].opcode == IBV_WR_RDMA_READ || is_atomic(i))
		bytes_of(true, i, sides[i].mem->image + offset_of(i));
	return mem_check(lab, sides[i].mem, "requester's");
}

static int tell(size_t i, const char *good, int err)
{
	printf("%s: %s\n", verbs[i].name, err ? sides[i].lab.failure.text : good);
	return err;
}

/* What a peer without this project's series cannot count. */
static int check_kernel(bool responder)
{
	uint64_t n;
	bool ours = !read_counter(DEVICE, "odp_parked", &n);

	if (ours == responder)
		return 0;
	return fail(&failure, 0, "host%d has the wrong kernel",
		    responder ? 1 : 2);
}

static int set_out(bool responder, int tcp, struct hello *other)
{
	size_t i;
	int err;

	err = check_kernel(responder);
	for (i = 0; !err && i < VERBS; i++) {
		err = open_verb(responder, i, tcp, &other[i]);
		if (!err && responder)
			err = post_receive(i);
		if (err)
			fail(&failure, 0, "%s", sides[i].lab.failure.text);
	}
	return err ?: wait_for_peer(tcp);
}

static int run(bool responder, int tcp)
{
	struct hello other[VERBS];
	uint64_t begun, took, n = 0;
	int err, bad = 0;
	size_t i;

	begun = now_ns();
	err = set_out(responder, tcp, other);
	if (err)
		return err;
	for (i = 0; !responder && i < VERBS; i++)
		bad |= post_request(i, &other[i]);
	for (i = 0; !responder && i < VERBS; i++)
		bad |= tell(i, "success, right data", check_requester(i, begun));
	err = wait_for_peer(tcp);
	took = now_ns() - begun;
	for (i = 0; !err && responder && i < VERBS; i++)
		bad |= tell(i, "right data", check_responder(i));
	err = err ?: read_counter(DEVICE, responder ? "odp_rnr_nak" :
						      "rcvd_rnr_err", &n);
	printf("%lu RNR NAKs, %llu s\n", n, took / NSEC_PER_SEC);
	/* By the clock that the pages go by, and no other. */
	if (!err && responder && took < LATEST)
		err = fail(&failure, 0, "done before the last page was there");
	/* What either has is given up when both are done. */
	return err ?: wait_for_peer(tcp) ?: bad || !n;
}

int main(void)
{
	const char *host = getenv("HOST");
	bool responder = host && !strcmp(host, "1");
	int tcp, err;
	size_t i;

	setbuf(stdout, NULL);
	tcp = meet(responder);
	if (tcp < 0)
		err = fail(&failure, errno, "cannot meet the peer");
	else
		err = run(responder, tcp);
	/* Who still waits for us waits no longer. */
	close(tcp);
	if (failure.text[0])
		printf("%s\n", failure.text);
	for (i = 0; i < VERBS; i++) {
		stop_source(&sides[i]);
		close_end(&sides[i]);
		lab_close(&sides[i].lab);
	}
	return !!err;
}
