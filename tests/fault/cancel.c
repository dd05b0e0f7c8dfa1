// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses that wait for pages which nobody supplies, and everything that ends
 * them: each at once.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"
#include "uffd.h"
#include "uverbs.h"
#include "waiting.h"

FIXTURE(cancel)
{
	struct lab lab;
	struct waiting w;
};

FIXTURE_VARIANT(cancel)
{
	enum side side;
	int pages;
	enum ibv_wr_opcode opcode;
};

/* The requester waits, the responder, the completer. */
FIXTURE_VARIANT_ADD(cancel, request_1)
{
	.side = LOCAL, .pages = 1, .opcode = IBV_WR_RDMA_WRITE,
};

FIXTURE_VARIANT_ADD(cancel, write_1)
{
	.side = REMOTE, .pages = 1, .opcode = IBV_WR_RDMA_WRITE,
};

FIXTURE_VARIANT_ADD(cancel, read_1)
{
	.side = REMOTE, .pages = 1, .opcode = IBV_WR_RDMA_READ,
};

FIXTURE_VARIANT_ADD(cancel, response_1)
{
	.side = LOCAL, .pages = 1, .opcode = IBV_WR_RDMA_READ,
};

FIXTURE_VARIANT_ADD(cancel, request_200)
{
	.side = LOCAL, .pages = MANY, .opcode = IBV_WR_RDMA_WRITE,
};

FIXTURE_VARIANT_ADD(cancel, write_200)
{
	.side = REMOTE, .pages = MANY, .opcode = IBV_WR_RDMA_WRITE,
};

FIXTURE_VARIANT_ADD(cancel, read_200)
{
	.side = REMOTE, .pages = MANY, .opcode = IBV_WR_RDMA_READ,
};

FIXTURE_VARIANT_ADD(cancel, response_200)
{
	.side = LOCAL, .pages = MANY, .opcode = IBV_WR_RDMA_READ,
};

FIXTURE_SETUP(cancel)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	DO(lab, set_out(lab, &self->w, variant->side, variant->pages,
			variant->opcode));
}

FIXTURE_TEARDOWN(cancel)
{
	uint64_t begun = now_ns();

	close_pair(&self->w);
	EXPECT_LT(now_ns() - begun, AT_ONCE);
	lab_close(&self->lab);
}

/* --- the queue pair that waits, and its peer */

TEST_F(cancel, destroy_requester)
{
	AT_ONCE_DO(ibv_destroy_qp(self->w.pair.end[0].qp));
	self->w.pair.end[0].qp = NULL;
}

TEST_F(cancel, destroy_responder)
{
	AT_ONCE_DO(ibv_destroy_qp(self->w.pair.end[1].qp));
	self->w.pair.end[1].qp = NULL;
}

TEST_F(cancel, error)
{
	struct lab *lab = &self->lab;

	AT_ONCE_DO(to_state(self->w.pair.end[1].qp, IBV_QPS_ERR));
	AT_ONCE_DO(to_state(self->w.pair.end[0].qp, IBV_QPS_ERR));
	DO(lab, ends_with(lab, &self->w.pair, IBV_WC_WR_FLUSH_ERR));
}

TEST_F(cancel, reset)
{
	struct lab *lab = &self->lab;
	struct rc_op op;

	AT_ONCE_DO(to_state(self->w.pair.end[0].qp, IBV_QPS_RESET));
	AT_ONCE_DO(to_state(self->w.pair.end[1].qp, IBV_QPS_RESET));

	/* Nothing of it is left. */
	DO(lab, rc_pair_reset(&self->w.pair, &rc_params_default, &lab->failure));
	op = mem_op(IBV_WR_RDMA_WRITE, self->w.pinned, 0, self->w.pinned, 0, 64);
	DO(lab, rc_post(&self->w.pair.end[0], &op, &lab->failure));
	DO(lab, ends_with(lab, &self->w.pair, IBV_WC_SUCCESS));
}

/* --- the memory region */

TEST_F(cancel, dereg)
{
	struct lab *lab = &self->lab;

	AT_ONCE_DO(ibv_dereg_mr(self->w.absent->mr));
	self->w.absent->mr = NULL;
	DO(lab, ends_with(lab, &self->w.pair,
			  variant->side == REMOTE ? IBV_WC_REM_ACCESS_ERR :
						    IBV_WC_LOC_PROT_ERR));
}

TEST_F(cancel, rereg)
{
	/* Rights that the access does not need are what changes. */
	AT_ONCE_DO(uverbs_rereg_mr(self->w.absent->mr, IBV_REREG_MR_CHANGE_ACCESS,
				   NULL, NULL, 0,
				   ACCESS_ALL | IBV_ACCESS_ON_DEMAND |
				   IBV_ACCESS_MW_BIND));
}

TEST_F(cancel, munmap)
{
	struct lab *lab = &self->lab;

	AT_ONCE_DO(munmap(self->w.absent->addr, self->w.absent->len));
	self->w.absent->addr = MAP_FAILED;
	DO(lab, ends_with(lab, &self->w.pair,
			  variant->side == REMOTE ? IBV_WC_REM_ACCESS_ERR :
						    IBV_WC_LOC_PROT_ERR));
}

TEST_F(cancel, mremap)
{
	struct lab *lab = &self->lab;
	uint64_t begun = now_ns();
	void *addr;

	addr = mremap(self->w.absent->addr, self->w.absent->len, self->w.absent->len,
		      MREMAP_MAYMOVE | MREMAP_FIXED,
		      mmap(NULL, self->w.absent->len, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_LT(now_ns() - begun, AT_ONCE);
	self->w.absent->addr = addr;
	DO(lab, ends_with(lab, &self->w.pair,
			  variant->side == REMOTE ? IBV_WC_REM_ACCESS_ERR :
						    IBV_WC_LOC_PROT_ERR));
}

TEST_F(cancel, unregister)
{
	struct lab *lab = &self->lab;

	AT_ONCE_DO(uffd_unregister(page_source_uffd(self->w.absent->source),
				   self->w.absent->addr, self->w.absent->len));
	DO(lab, ends_with(lab, &self->w.pair, IBV_WC_SUCCESS));
}

/* The page source gives up: it closes its userfaultfd. */
TEST_F(cancel, close)
{
	struct lab *lab = &self->lab;

	page_source_stop(self->w.absent->source);
	self->w.absent->source = NULL;
	DO(lab, ends_with(lab, &self->w.pair, IBV_WC_SUCCESS));
}

/* The handler is asked again for what was thrown away before it was there. */
TEST_F(cancel, dontneed)
{
	struct lab *lab = &self->lab;
	unsigned int asked = mem_messages(self->w.absent);
	uint64_t deadline = now_ns() + AT_ONCE;

	AT_ONCE_DO(madvise(self->w.absent->addr, self->w.absent->len,
			   MADV_DONTNEED));
	while (mem_messages(self->w.absent) == asked && now_ns() < deadline)
		usleep(1000);
	ASSERT_LT(asked, mem_messages(self->w.absent));
	page_source_stop(self->w.absent->source);
	self->w.absent->source = NULL;
	DO(lab, ends_with(lab, &self->w.pair, IBV_WC_SUCCESS));
}

/* --- the process */

enum end { EXIT, EXEC, KILL };

/*
 * A process that has accesses waiting, and a lot of memory. What it was ready for
 * is written to @ready; then it waits for its end.
 */
static void victim(int ready, int go, const FIXTURE_VARIANT(cancel) *variant,
		   enum end end, bool held)
{
	struct waiting w;
	struct lab lab;
	char *bulk, byte;
	int err;

	bulk = map_bulk();
	err = bulk == MAP_FAILED ? -ENOMEM : lab_open(&lab);
	if (!err)
		err = set_out(&lab, &w, variant->side, variant->pages,
			      variant->opcode);
	if (!err) {
		/* Another process has the userfaultfd, and does nothing. */
		if (held && !fork()) {
			prctl(PR_SET_PDEATHSIG, 0);
			munmap(bulk, BULK);
			byte = getpid() ? 2 : 0;
			(void)!write(ready, &byte, 1);
			(void)!read(go, &byte, 1);
			_exit(0);
		}
	}
	byte = !err;
	if (err)
		fprintf(stderr, "# %s\n", lab.failure.text);
	if (!held || err)
		(void)!write(ready, &byte, 1);
	switch (end) {
	case EXIT:
		usleep(200000);
		_exit(0);
	case EXEC:
		usleep(200000);
		execl("/bin/true", "true", NULL);
		_exit(1);
	case KILL:
		pause();
	}
}

static void process_ends(struct __test_metadata *_metadata,
			 const FIXTURE_VARIANT(cancel) *variant, enum end end,
			 bool held)
{
	int ready[2], go[2], status;
	long long before;
	uint64_t begun;
	char byte = 0;
	pid_t pid;

	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(go[1]);
		victim(ready[1], go[0], variant, end, held);
		_exit(1);
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	ASSERT_NE(0, byte);
	before = free_memory();
	begun = now_ns();
	if (end == KILL)
		ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_LT(now_ns() - begun, AT_ONCE + NSEC_PER_SEC / 5)
		TH_LOG("%lu ms", (now_ns() - begun) / NSEC_PER_MSEC);

	EXPECT_TRUE(bulk_is_free(before, begun));
	close(go[1]);
}

TEST_F(cancel, exit)
{
	process_ends(_metadata, variant, EXIT, false);
}

TEST_F(cancel, exec)
{
	process_ends(_metadata, variant, EXEC, false);
}

TEST_F(cancel, kill)
{
	process_ends(_metadata, variant, KILL, false);
}

TEST_F(cancel, kill_uffd_held)
{
	process_ends(_metadata, variant, KILL, true);
}

TEST_HARNESS_MAIN
