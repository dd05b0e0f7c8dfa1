// SPDX-License-Identifier: GPL-2.0
/*
 * The OOM reaper takes the memory of a victim that does not come to its end,
 * registered memory too: its invalidation must not block, and must not be
 * refused for that.
 *
 * The victim is another process. What keeps its address space is a
 * process_vm_readv() of ours, which waits in a userfaultfd of ours; and what
 * keeps its memory region and queue pair is the file descriptor that it has sent
 * us.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "memcg.h"
#include "peer.h"
#include "uffd.h"

#define REGION		(96UL << 20)	/* what is registered */
#define LIMIT		"160M"		/* what the victim may have */
#define TOO_MUCH	(256UL << 20)	/* what it then wants more */
#define ACCESSED	(256UL << 10)	/* what the device knows of it */

struct message {
	uint32_t qpn, rkey;
	uint64_t addr;
};

/* --- what the victim says */

static int send_fd(int sock, int fd, const struct message *message)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec iov = { (void *)message, sizeof(*message) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == sizeof(*message) ? 0 : -errno;
}

static int receive_fd(int sock, struct message *message)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec iov = { message, sizeof(*message) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd = -1;

	if (recvmsg(sock, &msg, 0) == sizeof(*message) && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* --- the victim */

static char *map(size_t len)
{
	char *addr = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr != MAP_FAILED)
		madvise(addr, len, MADV_NOHUGEPAGE);
	return addr;
}

/* Returns only if something goes wrong. */
static int be_victim(const struct memcg *cg, int sock)
{
	struct message message = {};
	struct lab lab;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	char *region, *more;
	uint32_t peer;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	region = map(REGION);
	more = map(TOO_MUCH);
	if (region == MAP_FAILED || more == MAP_FAILED || lab_open(&lab) ||
	    memcg_enter(cg, &lab.failure))
		return 2;
	memset(region, 'v', REGION);
	mr = ibv_reg_mr(lab.pd, region, REGION,
			ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
	qp = make_qp(&lab);
	if (!mr || !qp)
		return 3;
	message.qpn = qp->qp_num;
	message.rkey = mr->rkey;
	message.addr = (uintptr_t)region;
	if (send_fd(sock, lab.dev.ctx->cmd_fd, &message) ||
	    read(sock, &peer, sizeof(peer)) != sizeof(peer) ||
	    connect_qp(&lab, qp, peer) ||
	    write(sock, &peer, sizeof(peer)) != sizeof(peer))
		return 4;
	/* Now all of it is used; and when we are told to, more than that. */
	if (read(sock, &peer, sizeof(peer)) != sizeof(peer))
		return 5;
	memset(more, 'm', TOO_MUCH);
	return 6;
}

/* --- who keeps its address space */

struct keeper {
	pid_t victim;
	void *from, *to;
	ssize_t result;
	int error;
};

static void *keep(void *arg)
{
	struct keeper *keeper = arg;
	struct iovec to = { keeper->to, getpagesize() };
	struct iovec from = { keeper->from, getpagesize() };

	keeper->result = process_vm_readv(keeper->victim, &to, 1, &from, 1, 0);
	keeper->error = errno;
	return NULL;
}

/* --- what the kernel says of the reaper, in KiB; -1: nothing yet */
static long long reaped_rss(int kmsg, pid_t victim)
{
	char line[1024], start[64];
	long long rss;
	const char *at;
	ssize_t n;

	snprintf(start, sizeof(start), "oom_reaper: reaped process %d ",
		 victim);
	while ((n = read(kmsg, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		at = strstr(line, start);
		at = at ? strstr(at, "anon-rss:") : NULL;
		if (at && sscanf(at, "anon-rss:%lld", &rss) == 1)
			return rss;
	}
	return -1;
}

FIXTURE(oom)
{
	struct lab lab;
	struct mem *buf;
	struct memcg cg;
	struct ibv_qp *qp;
	struct keeper keeper;
	pthread_t thread;
	pid_t victim;
	int sock, uffd, device, kmsg;
	struct message message;
};

FIXTURE_SETUP(oom)
{
	struct lab *lab = &self->lab;
	uint32_t qpn;
	int socks[2];

	DO(lab, lab_open(lab));
	self->buf = mem_new(lab, MEM_PINNED, ACCESSED / lab->page_size,
			    ACCESS_ALL);
	ASSERT_NE(NULL, self->buf) TH_LOG("%s", lab->failure.text);
	DO(lab, memcg_make(&self->cg, "victim", &lab->failure));
	DO(lab, memcg_set(&self->cg, "memory.max", LIMIT, &lab->failure));
	self->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->kmsg);
	ASSERT_LE(0, lseek(self->kmsg, 0, SEEK_END));

	/* A page that never comes. */
	self->keeper.to = map(lab->page_size);
	self->uffd = uffd_open(&lab->failure);
	ASSERT_LE(0, self->uffd) TH_LOG("%s", lab->failure.text);
	DO(lab, uffd_register(self->uffd, self->keeper.to, lab->page_size,
			      &lab->failure));

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				socks));
	self->victim = fork();
	ASSERT_LE(0, self->victim);
	if (!self->victim)
		_exit(be_victim(&self->cg, socks[1]));
	close(socks[1]);
	self->sock = socks[0];
	self->device = receive_fd(self->sock, &self->message);
	ASSERT_LE(0, self->device) TH_LOG("the victim has ended");
	self->qp = make_qp(lab);
	ASSERT_NE(NULL, self->qp);
	DO(lab, connect_qp(lab, self->qp, self->message.qpn));
	qpn = self->qp->qp_num;
	ASSERT_EQ(sizeof(qpn), write(self->sock, &qpn, sizeof(qpn)));
	ASSERT_EQ(sizeof(qpn), read(self->sock, &qpn, sizeof(qpn)));
}

FIXTURE_TEARDOWN(oom)
{
	ibv_destroy_qp(self->qp);
	lab_close(&self->lab);
}

static int access_victim(FIXTURE_DATA(oom) *self, enum ibv_wr_opcode opcode,
			 enum ibv_wc_status want)
{
	struct rc_op op = peer_op(opcode, self->buf, self->message.rkey,
				  self->message.addr, ACCESSED);
	struct rc_end end = peer_end(&self->lab, self->qp);
	struct ibv_wc wc;

	return lab_run_status(&self->lab, &end, &op, want, &wc);
}

TEST_F_TIMEOUT(oom, reaped, 240)
{
	struct lab *lab = &self->lab;
	long long used, rss = -1;
	struct pollfd wanted = { .fd = self->uffd, .events = POLLIN };
	uint32_t go = 0;
	uint64_t end;
	int status;

	/* The device knows pages of the victim, for reading and for writing. */
	DO(lab, access_victim(self, IBV_WR_RDMA_WRITE, IBV_WC_SUCCESS));
	DO(lab, access_victim(self, IBV_WR_RDMA_READ, IBV_WC_SUCCESS));
	used = memcg_get(&self->cg, "memory.current");
	ASSERT_LE(REGION, used);

	self->keeper.victim = self->victim;
	self->keeper.from = (void *)self->message.addr;
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, keep, &self->keeper));
	ASSERT_EQ(1, poll(&wanted, 1, PATIENCE / NSEC_PER_MSEC));

	/* It wants too much, and is killed for it. */
	ASSERT_EQ(sizeof(go), write(self->sock, &go, sizeof(go)));
	ASSERT_EQ(self->victim, waitpid(self->victim, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		TH_LOG("status %#x", status);

	for (end = now_ns() + PATIENCE; now_ns() < end; usleep(50000)) {
		if (rss < 0)
			rss = reaped_rss(self->kmsg, self->victim);
		used = memcg_get(&self->cg, "memory.current");
		if (rss >= 0 && used < (long long)REGION / 8)
			break;
	}
	EXPECT_GT(REGION / 8, used)
		TH_LOG("%lld KiB of the victim are still there", used >> 10);
	/* The address space was kept all the time, or it would prove nothing. */
	ASSERT_EQ(0, self->keeper.result);
	EXPECT_EQ(0, rss) TH_LOG("anon-rss %lld KiB after the reaper", rss);

	/* What was reaped is not zeros, it is an error. */
	memset(self->buf->addr, 'x', ACCESSED);
	memset(self->buf->image, 'x', ACCESSED);
	DO(lab, access_victim(self, IBV_WR_RDMA_READ, IBV_WC_REM_ACCESS_ERR));
	DO(lab, mem_check(lab, self->buf, "local"));

	close(self->uffd);
	pthread_join(self->thread, NULL);
	ASSERT_EQ(lab->page_size, self->keeper.result)
		TH_LOG("%s", strerror(self->keeper.error));
	/* The last one who holds it lets the memory region go. */
	close(self->device);
}

TEST_HARNESS_MAIN
