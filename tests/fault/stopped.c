// SPDX-License-Identifier: GPL-2.0
/*
 * The process that has registered memory is stopped: another one's accesses to
 * it need nothing of that process, unless it is the userfaultfd handler itself.
 */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/userfaultfd.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"
#include "memcg.h"
#include "peer.h"
#include "uffd.h"

/* In which it shows that an access waits. */
#define A_WHILE		(NSEC_PER_SEC / 3)

#define SEED		7

/* What it takes to get at a page; and two of each, to read and to write. */
enum kind {
	ABSENT,			/* never touched */
	RESIDENT,
	SWAPPED,
	ELSEWHERE,		/* userfaultfd, the handler is another process */
	OWN,			/* the handler is a thread of the process */
	KINDS
};

#define PAGES		(2 * KINDS)

enum way { SIGNAL, FREEZER, ATTACH, INTERRUPT };

struct message {
	uint32_t qpn, rkey;
	char *addr;
};

FIXTURE(stopped)
{
	struct lab lab;
	struct mem *buf;
	struct ibv_qp *qp;
	struct memcg cg;
	struct message owner;
	pid_t pid;
	bool stopped;
};

FIXTURE_VARIANT(stopped)
{
	enum way way;
};

FIXTURE_VARIANT_ADD(stopped, signal)
{
	.way = SIGNAL,
};

FIXTURE_VARIANT_ADD(stopped, freezer)
{
	.way = FREEZER,
};

FIXTURE_VARIANT_ADD(stopped, attach)
{
	.way = ATTACH,
};

FIXTURE_VARIANT_ADD(stopped, interrupt)
{
	.way = INTERRUPT,
};

/* --- the process that is stopped, and the handler that is not */

struct handler {
	int uffd;
	char *addr;		/* of all pages */
	size_t page_size;
};

static void *handle(void *arg)
{
	struct handler *handler = arg;
	struct pollfd fd = { .fd = handler->uffd, .events = POLLIN };
	char page[handler->page_size];
	struct uffd_msg msg;

	while (poll(&fd, 1, -1) == 1) {
		char *addr;

		if (read(handler->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		addr = (char *)(msg.arg.pagefault.address &
				~(handler->page_size - 1));
		pattern_fill(page, sizeof(page), SEED, addr - handler->addr);
		if (uffd_copy(handler->uffd, addr, page, sizeof(page)))
			_exit(1);
	}
	return NULL;
}

static char *page_of(char *addr, enum kind kind)
{
	return addr + kind * 2 * sysconf(_SC_PAGESIZE);
}

static int open_handler(struct lab *lab, struct handler *handler, char *addr,
			enum kind kind)
{
	size_t size = sysconf(_SC_PAGESIZE);

	handler->addr = addr;
	handler->page_size = size;
	handler->uffd = uffd_open(&lab->failure);
	if (handler->uffd < 0)
		return handler->uffd;
	return uffd_register(handler->uffd, page_of(addr, kind), 2 * size,
			     &lab->failure);
}

static int fill_pages(struct lab *lab, struct message *message)
{
	static struct handler elsewhere, own;
	size_t size = sysconf(_SC_PAGESIZE);
	pthread_t thread;
	char *addr;
	int err;

	addr = mmap(NULL, PAGES * size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (addr == MAP_FAILED || madvise(addr, PAGES * size, MADV_NOHUGEPAGE))
		return fail(&lab->failure, errno, "cannot map memory");
	message->addr = addr;
	err = open_handler(lab, &elsewhere, addr, ELSEWHERE) ?:
	      open_handler(lab, &own, addr, OWN);
	if (err)
		return err;
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		handle(&elsewhere);
		_exit(1);
	}
	if (pthread_create(&thread, NULL, handle, &own))
		return fail(&lab->failure, 0, "cannot start a thread");
	/* Now that no page is shared with a child: such a one is not paged out. */
	pattern_fill(page_of(addr, RESIDENT), 4 * size, SEED,
		     page_of(addr, RESIDENT) - addr);
	return 0;
}

static int be_owner(int sock)
{
	struct message message = {};
	struct failure failure = {};
	struct lab lab = {};
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	size_t size = sysconf(_SC_PAGESIZE);
	uint32_t peer;
	int err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fill_pages(&lab, &message) || lab_open(&lab))
		goto failed;
	mr = ibv_reg_mr(lab.pd, message.addr, PAGES * size,
			ACCESS_ALL | IBV_ACCESS_ON_DEMAND);
	qp = make_qp(&lab);
	if (!mr || !qp)
		goto failed;
	message.qpn = qp->qp_num;
	message.rkey = mr->rkey;
	err = write(sock, &message, sizeof(message)) != sizeof(message) ||
	      read(sock, &peer, sizeof(peer)) != sizeof(peer) ||
	      connect_qp(&lab, qp, peer);
	if (err)
		goto failed;
	if (page_out(page_of(message.addr, SWAPPED), 2 * size, &failure)) {
		fprintf(stderr, "# %s\n", failure.text);
		return 3;
	}
	(void)!write(sock, &peer, sizeof(peer));
	for (;;)
		pause();
failed:
	fprintf(stderr, "# %s\n", lab.failure.text);
	return 2;
}

/* --- how it is stopped */

/* Each of its threads. */
static int each_thread(pid_t pid, int (*call)(pid_t tid))
{
	struct dirent *entry;
	char path[64];
	int err = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		return -errno;
	while (!err && (entry = readdir(tasks)))
		if (entry->d_name[0] != '.')
			err = call(atoi(entry->d_name));
	closedir(tasks);
	return err;
}

static int wait_stopped(pid_t tid)
{
	int status;

	return waitpid(tid, &status, __WALL | WUNTRACED) == tid &&
	       WIFSTOPPED(status) ? 0 : -EIO;
}

static int attach(pid_t tid)
{
	return ptrace(PTRACE_ATTACH, tid, 0, 0) ? -errno : wait_stopped(tid);
}

static int interrupt(pid_t tid)
{
	return ptrace(PTRACE_SEIZE, tid, 0, 0) ||
	       ptrace(PTRACE_INTERRUPT, tid, 0, 0) ? -errno : wait_stopped(tid);
}

static int detach(pid_t tid)
{
	return ptrace(PTRACE_DETACH, tid, 0, 0) ? -errno : 0;
}

static int to_freezer(FIXTURE_DATA(stopped) *self)
{
	struct failure *failure = &self->lab.failure;
	uint64_t deadline = now_ns() + PATIENCE;
	char path[120], pid[16];
	int err;

	snprintf(pid, sizeof(pid), "%d", self->pid);
	memcg_file(&self->cg, "cgroup.events", path);
	err = memcg_set(&self->cg, "cgroup.procs", pid, failure) ?:
	      memcg_set(&self->cg, "cgroup.freeze", "1", failure);
	while (!err && sum_of(path, "frozen") != 1)
		if (now_ns() > deadline)
			err = fail(failure, 0, "it does not freeze");
	return err;
}

static int stop(FIXTURE_DATA(stopped) *self, enum way way)
{
	int err = 0;

	self->stopped = true;
	switch (way) {
	case SIGNAL:
		err = kill(self->pid, SIGSTOP) ?: wait_stopped(self->pid);
		break;
	case FREEZER:
		return to_freezer(self);
	case ATTACH:
		err = each_thread(self->pid, attach);
		break;
	case INTERRUPT:
		err = each_thread(self->pid, interrupt);
		break;
	}
	return err ? fail(&self->lab.failure, 0, "it goes on") : 0;
}

static int go_on(FIXTURE_DATA(stopped) *self, enum way way)
{
	int err;

	self->stopped = false;
	if (way == SIGNAL)
		err = kill(self->pid, SIGCONT);
	else if (way == FREEZER)
		err = memcg_set(&self->cg, "cgroup.freeze", "0",
				&self->lab.failure);
	else
		err = each_thread(self->pid, detach);
	return err ? fail(&self->lab.failure, 0, "it stays where it is") : 0;
}

/* Still, after all that was asked of it. */
static bool is_stopped(FIXTURE_DATA(stopped) *self, enum way way)
{
	char path[120], line[128], state = 0;
	FILE *status;

	if (way == FREEZER) {
		memcg_file(&self->cg, "cgroup.events", path);
		return sum_of(path, "frozen") == 1;
	}
	snprintf(path, sizeof(path), "/proc/%d/status", self->pid);
	status = fopen(path, "re");
	while (status && !state && fgets(line, sizeof(line), status))
		if (sscanf(line, "State: %c", &state) != 1)
			state = 0;
	if (status)
		fclose(status);
	return state == 'T' || state == 't';
}

FIXTURE_SETUP(stopped)
{
	struct lab *lab = &self->lab;
	uint32_t qpn;
	int socks[2];

	DO(lab, swap_on(&lab->failure));
	DO(lab, lab_open(lab));
	self->buf = mem_new(lab, MEM_PINNED, 1, ACCESS_ALL);
	ASSERT_NE(NULL, self->buf) TH_LOG("%s", lab->failure.text);
	DO(lab, memcg_make(&self->cg, "stopped", &lab->failure));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				socks));
	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (!self->pid)
		_exit(be_owner(socks[1]));
	close(socks[1]);
	ASSERT_EQ(sizeof(self->owner), read(socks[0], &self->owner,
					    sizeof(self->owner)));
	self->qp = make_qp(lab);
	ASSERT_NE(NULL, self->qp);
	DO(lab, connect_qp(lab, self->qp, self->owner.qpn));
	qpn = self->qp->qp_num;
	ASSERT_EQ(sizeof(qpn), write(socks[0], &qpn, sizeof(qpn)));
	ASSERT_EQ(sizeof(qpn), read(socks[0], &qpn, sizeof(qpn)));
}

FIXTURE_TEARDOWN(stopped)
{
	ibv_destroy_qp(self->qp);
	if (self->stopped)
		go_on(self, variant->way);
	kill(self->pid, SIGKILL);
	waitpid(self->pid, NULL, 0);
	lab_close(&self->lab);
	rmdir(self->cg.path);
	swap_off();
}

/* --- what is accessed */

/* The first page of a kind is read, the second is written. */
static struct rc_op op_of(FIXTURE_DATA(stopped) *self, enum kind kind,
			  bool is_write)
{
	size_t size = self->lab.page_size;
	char *addr = page_of(self->owner.addr, kind) + is_write * size;

	if (is_write) {
		pattern_fill(self->buf->image, size, SEED + 1 + kind, 0);
		memcpy(self->buf->addr, self->buf->image, size);
	} else if (kind == ABSENT) {
		memset(self->buf->image, 0, size);
	} else {
		pattern_fill(self->buf->image, size, SEED,
			     addr - self->owner.addr);
	}
	return peer_op(is_write ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ,
		       self->buf, self->owner.rkey, (uintptr_t)addr, size);
}

/* Where the bytes have come to; the other process can be looked into, stopped or not. */
static int check(FIXTURE_DATA(stopped) *self, const struct rc_op *op)
{
	struct lab *lab = &self->lab;
	char there[lab->page_size];
	struct iovec to = { there, sizeof(there) };
	struct iovec from = { (void *)op->raddr, sizeof(there) };
	size_t at;

	if (op->opcode == IBV_WR_RDMA_READ)
		return mem_check(lab, self->buf, "read");
	if (process_vm_readv(self->pid, &to, 1, &from, 1, 0) !=
	    (ssize_t)sizeof(there))
		return fail(&lab->failure, errno, "cannot look at its memory");
	if (!bytes_equal(self->buf->image, there, sizeof(there), &at))
		return fail(&lab->failure, 0, "byte %zu was not written", at);
	return 0;
}

static int access_page(FIXTURE_DATA(stopped) *self, enum kind kind,
		       bool is_write)
{
	struct rc_op op = op_of(self, kind, is_write);
	struct rc_end end = peer_end(&self->lab, self->qp);
	struct ibv_wc wc;

	return lab_run_status(&self->lab, &end, &op, IBV_WC_SUCCESS, &wc) ?:
	       check(self, &op);
}

TEST_F_TIMEOUT(stopped, is_no_matter, 120)
{
	struct lab *lab = &self->lab;
	int i;

	DO(lab, stop(self, variant->way));
	for (i = 2 * ABSENT; i < 2 * OWN; i++) {
		ASSERT_EQ(0, access_page(self, i / 2, i % 2))
			TH_LOG("%s of kind %d: %s", i % 2 ? "WRITE" : "READ",
			       i / 2, lab->failure.text);
	}
	ASSERT_TRUE(is_stopped(self, variant->way));
}

/* The access waits for as long as the handler does nothing. */
static int waits_and_ends(FIXTURE_DATA(stopped) *self, enum way way,
			  bool is_write)
{
	struct rc_end end = peer_end(&self->lab, self->qp);
	struct rc_op op = op_of(self, OWN, is_write);
	struct failure *failure = &self->lab.failure;
	struct failure none = {};
	struct ibv_wc wc;
	int err;

	err = stop(self, way) ?: rc_post(&end, &op, failure);
	if (err)
		return err;
	if (rc_wait(&end.send, &wc, now_ns() + A_WHILE, &none) != -ETIMEDOUT)
		return fail(failure, 0, "the access did not wait");
	if (!is_stopped(self, way))
		return fail(failure, 0, "it was not stopped");
	err = go_on(self, way) ?:
	      rc_wait(&end.send, &wc, now_ns() + PATIENCE, failure);
	if (err)
		return err;
	if (wc.status != IBV_WC_SUCCESS)
		return fail(failure, 0, "completion: %s",
			    ibv_wc_status_str(wc.status));
	return check(self, &op);
}

TEST_F_TIMEOUT(stopped, handler_goes_on_later, 120)
{
	DO(&self->lab, waits_and_ends(self, variant->way, false));
	DO(&self->lab, waits_and_ends(self, variant->way, true));
}

TEST_HARNESS_MAIN
