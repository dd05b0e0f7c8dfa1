// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses that wait for pages which nobody supplies, in a process that is not
 * one thread with an address space of its own: what ends with which of those that
 * share it.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"
#include "rawq.h"
#include "waiting.h"

/* In which it shows that an access was not ended. */
#define A_WHILE		(NSEC_PER_SEC / 5)

#define STACK		65536

FIXTURE(sharers)
{
	char objects[1024];
	long long free;
	int ready[2], go[2];
	pid_t owner;
	struct message {
		int err;
		pid_t sharer;
		char *bulk;
	} said;
};

FIXTURE_VARIANT(sharers)
{
	enum side side;
	int pages;
	enum ibv_wr_opcode opcode;
};

FIXTURE_VARIANT_ADD(sharers, response_1)
{
	.side = LOCAL, .pages = 1, .opcode = IBV_WR_RDMA_READ,
};

FIXTURE_VARIANT_ADD(sharers, write_200)
{
	.side = REMOTE, .pages = MANY, .opcode = IBV_WR_RDMA_WRITE,
};

FIXTURE_SETUP(sharers)
{
	/* Whoever outlives its parent becomes a child of ours. */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	ASSERT_EQ(0, pipe2(self->ready, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(self->go, O_CLOEXEC));
	ASSERT_EQ(0, rdma_objects(self->objects, sizeof(self->objects)));
}

FIXTURE_TEARDOWN(sharers)
{
}

/* --- the process that registers the memory, and what it shares */

/* What a sharer holds: beside the memory the queues in it, and the files, too. */
enum share { MEMORY, QUEUES, FILES };

/* All that happens in it; the processes that tests fork have one each. */
static struct owner {
	FIXTURE_DATA(sharers) *self;
	const FIXTURE_VARIANT(sharers) *variant;
	struct message message;
	struct lab lab;
	struct waiting w;
	enum share share;
	_Atomic bool sharing;
} owner;

static void *owner_sets_out(void *unused)
{
	const FIXTURE_VARIANT(sharers) *variant = owner.variant;
	struct message *message = &owner.message;

	message->bulk = map_bulk();
	message->err = lab_open(&owner.lab) ?:
		       set_out(&owner.lab, &owner.w, variant->side,
			       variant->pages, variant->opcode);
	return unused;
}

/* The access is not over yet, and comes to its end as if nothing had been. */
static int owner_goes_on(void)
{
	struct lab *lab = &owner.lab;
	struct rc_pair *pair = &owner.w.pair;
	struct failure none = { 0 };
	struct ibv_wc wc;
	int err;

	err = rc_wait(&pair->end[0].send, &wc, now_ns() + A_WHILE, &none);
	if (err != -ETIMEDOUT)
		return fail(&lab->failure, 0, "the access was ended: %s",
			    err ? none.text : ibv_wc_status_str(wc.status));
	page_source_stop(owner.w.absent->source);
	owner.w.absent->source = NULL;
	return ends_with(lab, pair, IBV_WC_SUCCESS);
}

static void owner_says(void)
{
	if (owner.message.err)
		fprintf(stderr, "# %s\n", owner.lab.failure.text);
	(void)!write(owner.self->ready[1], &owner.message,
		     sizeof(owner.message));
}

/* The other one says when. */
static void owner_waits(void)
{
	char byte;

	(void)!read(owner.self->go[0], &byte, 1);
}

static int owner_ends(int err)
{
	if (err)
		fprintf(stderr, "# %s\n", owner.lab.failure.text);
	return err ? 1 : 0;
}

/*
 * It has the address space of its parent, and of the files none but the
 * userfaultfd; even errno is that of its parent.
 */
static int share(void *arg)
{
	unsigned int uffd = page_source_uffd(owner.w.absent->source);

	if (owner.share != FILES) {
		syscall(SYS_close_range, 0, uffd - 1, 0);
		syscall(SYS_close_range, uffd + 1, ~0U, 0);
	}
	owner.sharing = true;
	for (;;)
		syscall(SYS_pause);
	return arg ? 1 : 0;
}

/* What is posted stays so: only its owner loses sight of it. */
static int unmap_queues(void)
{
	struct rawq_mappings queues;
	int i, err = rawq_mappings(&queues);

	for (i = 0; !err && i < queues.n; i++)
		if (munmap((void *)queues.of[i].start,
			   queues.of[i].end - queues.of[i].start))
			err = -errno;
	return err ? fail(&owner.lab.failure, -err, "cannot unmap queues") : 0;
}

static void owner_gets_sharer(enum share what)
{
	struct message *message = &owner.message;
	char *stack = malloc(STACK);

	if (message->err)
		return;
	owner.share = what;
	message->sharer = clone(share, stack + STACK, CLONE_VM | SIGCHLD, NULL);
	if (message->sharer < 0)
		message->err = fail(&owner.lab.failure, errno, "clone");
	while (!message->err && !owner.sharing)
		usleep(1000);
	if (!message->err && what == MEMORY)
		message->err = unmap_queues();
}

static void start_thread(void *(*run)(void *))
{
	pthread_t thread;

	if (!owner.message.err && pthread_create(&thread, NULL, run, NULL))
		owner.message.err = fail(&owner.lab.failure, 0, "no thread");
}

/* --- what the tests do with it */

/* Returns when the owner has said that its access waits. */
static void fork_owner(struct __test_metadata *_metadata,
		       FIXTURE_DATA(sharers) *self,
		       const FIXTURE_VARIANT(sharers) *variant,
		       void (*be)(void))
{
	self->owner = fork();
	ASSERT_LE(0, self->owner);
	if (!self->owner) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		owner.self = self;
		owner.variant = variant;
		close(self->go[1]);
		be();
		_exit(1);
	}
	ASSERT_EQ(sizeof(self->said), read(self->ready[0], &self->said,
					   sizeof(self->said)));
	ASSERT_EQ(0, self->said.err);
	self->free = free_memory();
}

#define START(be) fork_owner(_metadata, self, variant, be)

/* Its end; how that came about is its status. */
#define ENDS(pid, how) do { \
	ASSERT_EQ(pid, waitpid(pid, &status, 0)); \
	ASSERT_TRUE(how) TH_LOG("status %#x", status); \
} while (0)

#define ENDS_AT_ONCE(pid, begun, how) do { \
	ENDS(pid, how); \
	ASSERT_LT(now_ns() - (begun), AT_ONCE) \
		TH_LOG("%lu ms", (now_ns() - (begun)) / NSEC_PER_MSEC); \
} while (0)

/* Not how long the new program takes: it has none of the files. */
#define EXECS_AT_ONCE(pid, begun) do { \
	close(self->ready[1]); \
	ASSERT_EQ(0, read(self->ready[0], &self->said, 1)); \
	ASSERT_LT(now_ns() - (begun), AT_ONCE) \
		TH_LOG("%lu ms", (now_ns() - (begun)) / NSEC_PER_MSEC); \
	ENDS(pid, GOOD); \
} while (0)

#define KILLED	(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
#define GOOD	(WIFEXITED(status) && !WEXITSTATUS(status))

/* What all devices have. */
#define OBJECTS_ARE(before) do { \
	char now_[sizeof(self->objects)]; \
	ASSERT_EQ(0, rdma_objects(now_, sizeof(now_))); \
	ASSERT_STREQ(before, now_); \
} while (0)

#define OBJECTS_ARE_GONE()	OBJECTS_ARE(self->objects)

/* The memory of whoever shares it. */
static bool has_bulk(FIXTURE_DATA(sharers) *self, pid_t pid)
{
	char byte = 0;
	struct iovec to = { &byte, 1 };
	struct iovec from = { self->said.bulk + BULK - 1, 1 };

	return process_vm_readv(pid, &to, 1, &from, 1, 0) == 1 && byte == 1;
}

/* --- threads */

static void be_thread_that_exits(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, owner_sets_out, NULL) ||
	    pthread_join(thread, NULL))
		_exit(2);
	owner_says();
	owner_waits();
	_exit(owner_ends(owner_goes_on()));
}

/* Who has registered the memory, and posted, is gone; nobody else notices. */
TEST_F(sharers, thread_exits)
{
	int status;

	START(be_thread_that_exits);
	close(self->go[1]);
	ENDS(self->owner, GOOD);
	OBJECTS_ARE_GONE();
}

static void *go_on(void *unused)
{
	owner_waits();
	_exit(owner_ends(owner_goes_on()));
	return unused;
}

static void be_leader_that_exits(void)
{
	owner_sets_out(NULL);
	start_thread(go_on);
	owner_says();
	pthread_exit(NULL);
}

TEST_F(sharers, leader_exits)
{
	int status;

	START(be_leader_that_exits);
	/* A thread that has ended shows none of its memory. */
	while (has_bulk(self, self->owner))
		usleep(1000);
	close(self->go[1]);
	ENDS(self->owner, GOOD);
	OBJECTS_ARE_GONE();
}

static void *touch(void *unused)
{
	*(volatile char *)owner.w.absent->addr;
	_exit(3);
	return unused;
}

static void *wait_for_it(void *unused)
{
	struct failure none = { 0 };
	struct ibv_wc wc;

	rc_wait(&owner.w.pair.end[0].send, &wc, now_ns() + NEVER, &none);
	_exit(4);
	return unused;
}

static void *sleep_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* Threads that do each another thing; one of them is @run. */
static void be_threads(void *(*run)(void *))
{
	owner_sets_out(NULL);
	start_thread(touch);
	start_thread(wait_for_it);
	start_thread(sleep_for_ever);
	start_thread(run);
	owner_says();
	sleep_for_ever(NULL);
}

static void *exec_when_told(void *unused)
{
	owner_waits();
	execl("/bin/true", "true", NULL);
	_exit(5);
	return unused;
}

static void be_thread_that_execs(void)
{
	be_threads(exec_when_told);
}

TEST_F(sharers, thread_execs)
{
	uint64_t begun;
	int status;

	START(be_thread_that_execs);
	begun = now_ns();
	close(self->go[1]);
	EXECS_AT_ONCE(self->owner, begun);
	OBJECTS_ARE_GONE();
	ASSERT_TRUE(bulk_is_free(self->free, begun));
}

static void *exit_when_told(void *unused)
{
	owner_waits();
	_exit(0);
	return unused;
}

static void be_thread_that_exits_all(void)
{
	be_threads(exit_when_told);
}

TEST_F(sharers, thread_exits_all)
{
	uint64_t begun;
	int status;

	START(be_thread_that_exits_all);
	begun = now_ns();
	close(self->go[1]);
	ENDS_AT_ONCE(self->owner, begun, GOOD);
	OBJECTS_ARE_GONE();
	ASSERT_TRUE(bulk_is_free(self->free, begun));
}

static void be_threads_that_are_killed(void)
{
	be_threads(sleep_for_ever);
}

TEST_F(sharers, threads_are_killed)
{
	uint64_t begun;
	int status;

	START(be_threads_that_are_killed);
	begun = now_ns();
	ASSERT_EQ(0, kill(self->owner, SIGKILL));
	ENDS_AT_ONCE(self->owner, begun, KILLED);
	OBJECTS_ARE_GONE();
	ASSERT_TRUE(bulk_is_free(self->free, begun));
}

/* --- another process with the same address space */

static void be_with_sharer_of(enum share what)
{
	owner_sets_out(NULL);
	owner_gets_sharer(what);
	owner_says();
	owner_waits();
	execl("/bin/true", "true", NULL);
}

static void be_with_sharer_of_memory(void)
{
	be_with_sharer_of(MEMORY);
}

static void be_with_sharer_of_queues(void)
{
	be_with_sharer_of(QUEUES);
}

static void be_with_sharer_of_files(void)
{
	be_with_sharer_of(FILES);
}

/* The owner has ended, the address space has not; now it does. */
static void sharer_ends(struct __test_metadata *_metadata,
			FIXTURE_DATA(sharers) *self)
{
	pid_t sharer = self->said.sharer;
	uint64_t begun;
	int status;

	ASSERT_TRUE(has_bulk(self, sharer));
	begun = now_ns();
	ASSERT_EQ(0, kill(sharer, SIGKILL));
	ENDS_AT_ONCE(sharer, begun, KILLED);
	OBJECTS_ARE_GONE();
	ASSERT_TRUE(bulk_is_free(self->free, begun));
}

TEST_F(sharers, owner_is_killed)
{
	uint64_t begun;
	int status;

	START(be_with_sharer_of_memory);
	begun = now_ns();
	ASSERT_EQ(0, kill(self->owner, SIGKILL));
	ENDS_AT_ONCE(self->owner, begun, KILLED);
	OBJECTS_ARE_GONE();
	sharer_ends(_metadata, self);
}

TEST_F(sharers, owner_execs)
{
	uint64_t begun;
	int status;

	START(be_with_sharer_of_memory);
	begun = now_ns();
	close(self->go[1]);
	EXECS_AT_ONCE(self->owner, begun);
	OBJECTS_ARE_GONE();
	sharer_ends(_metadata, self);
}

/*
 * A file that somebody has open, or mapped, as queues are, is not closed: what
 * the owner had ends with the last who holds it, and nobody waits for that.
 */
static void last_holder(struct __test_metadata *_metadata,
			FIXTURE_DATA(sharers) *self,
			const FIXTURE_VARIANT(sharers) *variant,
			void (*be)(void))
{
	char before[sizeof(self->objects)];
	uint64_t begun;
	int status;

	START(be);
	ASSERT_EQ(0, rdma_objects(before, sizeof(before)));
	ASSERT_STRNE(self->objects, before);
	begun = now_ns();
	ASSERT_EQ(0, kill(self->owner, SIGKILL));
	ENDS_AT_ONCE(self->owner, begun, KILLED);
	OBJECTS_ARE(before);
	sharer_ends(_metadata, self);
}

TEST_F(sharers, last_with_queues_is_killed)
{
	last_holder(_metadata, self, variant, be_with_sharer_of_queues);
}

TEST_F(sharers, last_with_files_is_killed)
{
	last_holder(_metadata, self, variant, be_with_sharer_of_files);
}

static void be_survivor(void)
{
	owner_sets_out(NULL);
	owner_gets_sharer(QUEUES);
	owner_says();
	if (waitpid(owner.message.sharer, NULL, 0) != owner.message.sharer)
		_exit(6);
	_exit(owner_ends(owner_goes_on()));
}

TEST_F(sharers, sharer_is_killed)
{
	uint64_t begun;
	int status;

	START(be_survivor);
	begun = now_ns();
	ASSERT_EQ(0, kill(self->said.sharer, SIGKILL));
	ENDS(self->owner, GOOD);
	OBJECTS_ARE_GONE();
	ASSERT_TRUE(bulk_is_free(self->free, begun));
}

TEST_HARNESS_MAIN
