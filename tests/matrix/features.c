// SPDX-License-Identifier: GPL-2.0
/* The features of userfaultfd, each while the network uses the memory. */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "matrix.h"
#include "uffd.h"

enum feature {
	THREAD_ID,
	SIGBUS_ONLY,
	USER_MODE_ONLY,
	EVENT_REMOVE,
	EVENT_UNMAP,
	EVENT_REMAP,
	EVENT_FORK,
	NR_FEATURES,
};

static const struct {
	const char *name;
	uint64_t flag;
} features[] = {
	[THREAD_ID] = { "thread-id", UFFD_FEATURE_THREAD_ID },
	[SIGBUS_ONLY] = { "sigbus", UFFD_FEATURE_SIGBUS },
	[USER_MODE_ONLY] = { "user-mode-only", 0 },
	[EVENT_REMOVE] = { "event-remove", UFFD_FEATURE_EVENT_REMOVE },
	[EVENT_UNMAP] = { "event-unmap", UFFD_FEATURE_EVENT_UNMAP },
	[EVENT_REMAP] = { "event-remap", UFFD_FEATURE_EVENT_REMAP },
	[EVENT_FORK] = { "event-fork", UFFD_FEATURE_EVENT_FORK },
};

/* Where the steps below take place: pages of the region under test. */
#define FIRST_PAGE	3
#define SECOND_PAGE	9
#define THIRD_PAGE	6

/* One operation between page @page of either side, give or take a bit. */
static struct op make(struct cell *cell, struct stage *stage, size_t page,
		      size_t pages, bool denied)
{
	size_t size = stage->main[LOCAL].page_size;
	size_t off = page * size + draw(cell, 1000);
	size_t len = pages * size - 1000 - draw(cell, 1000);
	struct op op = {
		.len = len,
		.locals = 1,
		.remotes = 1,
		.local_denied = denied && cell->side == LOCAL,
		.remote_denied = denied && cell->side == REMOTE,
	};

	op.local[0] = (struct piece){ &stage->main[LOCAL], off, len };
	op.remote[0] = (struct piece){ &stage->main[REMOTE], off, len };
	return op;
}

static struct region *tested(struct cell *cell, struct stage *stage)
{
	return &stage->main[cell->side];
}

/* Run one on pages that are absent, if the mode is such. */
static int works(struct cell *cell, struct stage *stage, size_t page,
		 size_t pages)
{
	struct op op = make(cell, stage, page, pages, false);

	return ops_run(cell, &stage->conn, &op, 1) ?: ops_check(&op, 1, false);
}

static int reconnect(struct cell *cell, struct stage *stage)
{
	conn_close(&stage->conn);
	return conn_open(cell, &stage->conn, stage->mtu, 4);
}

static void expect_no_messages(struct region *region)
{
	memset(region->handler->noted, 0,
	       region->pages * sizeof(*region->handler->noted));
}

/* Run one that is refused, without a message, and have a connection again. */
static int denied(struct cell *cell, struct stage *stage, size_t page,
		  size_t pages)
{
	struct region *region = tested(cell, stage);
	struct op op = make(cell, stage, page, pages, true);
	int err;

	handler_lock();
	memset(region->handler->messages, 0,
	       region->pages * sizeof(unsigned int));
	handler_unlock();
	err = ops_run(cell, &stage->conn, &op, 1);
	if (err)
		return err;
	expect_no_messages(region);
	return region_check_faults(region, "denied") ?:
	       reconnect(cell, stage);
}

static int check_event(struct region *region, int event, const char *name,
		       const char *from, const char *to)
{
	struct handler *handler = region->handler;
	unsigned int n = handler_events(handler, event);
	int err = 0;

	handler_lock();
	if (handler->error)
		err = fail(region->cell->failure, -handler->error,
			   "cannot resolve a fault");
	else if (n != 1)
		err = fail(region->cell->failure, 0, "%u messages of %s", n,
			   name);
	else if (handler->from != (uintptr_t)from ||
		 handler->to != (uintptr_t)to)
		err = fail(region->cell->failure, 0,
			   "%s for %#llx and %#llx, not %p and %p", name,
			   (unsigned long long)handler->from,
			   (unsigned long long)handler->to, from, to);
	handler_unlock();
	return err;
}

static int thread_id(struct cell *cell, struct stage *stage)
{
	struct region *region = tested(cell, stage);
	uint32_t id;
	int err;

	handler_lock();
	region->handler->thread_id = ~0U;
	handler_unlock();
	err = works(cell, stage, FIRST_PAGE, 2);
	if (err)
		return err;
	handler_lock();
	id = region->handler->thread_id;
	handler_unlock();
	if (id)
		return fail(cell->failure, 0,
			    "the message names thread %u, and none waits", id);
	return 0;
}

/* By hand what no handler is asked for. */
static int supply(struct region *region, size_t page, size_t pages)
{
	int err = 0;

	for (; !err && pages--; page++)
		err = handler_resolve(region, region->handler->uffd, page);
	return err ? fail(region->cell->failure, -err, "UFFDIO_COPY") : 0;
}

/* SIGBUS and USER_MODE_ONLY: faults of the kernel are refused. */
static int refused(struct cell *cell, struct stage *stage)
{
	struct region *region = tested(cell, stage);
	volatile char *byte = region->map;
	struct op op;
	int err;

	err = supply(region, FIRST_PAGE, 2);
	if (err)
		return err;
	/* What is there is used, without asking. */
	op = make(cell, stage, FIRST_PAGE, 2, false);
	err = ops_run(cell, &stage->conn, &op, 1);
	if (err)
		return err;
	err = denied(cell, stage, SECOND_PAGE, 2) ?:
	      region_check_bytes(region, "tested", false) ?:
	      supply(region, SECOND_PAGE, 2);
	if (err)
		return err;
	op = make(cell, stage, SECOND_PAGE, 2, false);
	err = ops_run(cell, &stage->conn, &op, 1);
	if (err)
		return err;
	expect_no_messages(region);
	err = region_check_faults(region, "tested") ?:
	      region_check_bytes(&stage->main[LOCAL], "local", false) ?:
	      region_check_bytes(&stage->main[REMOTE], "remote", false);
	if (err || cell->feature != USER_MODE_ONLY)
		return err;
	/* A fault of user space is one that it serves. */
	(void)*byte;
	region_note(region, 0, 1, READS);
	return region_check_faults(region, "tested");
}

static int event_remove(struct cell *cell, struct stage *stage)
{
	struct region *region = tested(cell, stage);
	size_t size = region->page_size;
	char *from = region->map + (FIRST_PAGE + 1) * size;
	int err;

	err = works(cell, stage, FIRST_PAGE, 4) ?:
	      region_arm(region, (FIRST_PAGE + 1) * size, 2 * size) ?:
	      check_event(region, UFFD_EVENT_REMOVE, "EVENT_REMOVE", from,
			  from + 2 * size);
	/* Of the page on either end, too, but these are there. */
	return err ?: works(cell, stage, FIRST_PAGE + 1, 2);
}

static int event_unmap(struct cell *cell, struct stage *stage)
{
	struct region *region = tested(cell, stage);
	size_t size = region->page_size;
	char *hole = region->map + SECOND_PAGE * size;
	int err;

	err = works(cell, stage, SECOND_PAGE, 2);
	if (err)
		return err;
	if (munmap(hole, 2 * size))
		return fail(cell->failure, errno, "munmap");
	region->poisoned[SECOND_PAGE] = true;
	region->poisoned[SECOND_PAGE + 1] = true;
	err = check_event(region, UFFD_EVENT_UNMAP, "EVENT_UNMAP", hole,
			  hole + 2 * size) ?:
	      denied(cell, stage, SECOND_PAGE, 2);
	return err ?: works(cell, stage, FIRST_PAGE, 3);
}

static int event_remap(struct cell *cell, struct stage *stage)
{
	struct region *region = tested(cell, stage);
	char *old = region->map, *new;
	int err;

	err = works(cell, stage, FIRST_PAGE, 2);
	if (err)
		return err;
	new = mmap(NULL, region->len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	if (new == MAP_FAILED ||
	    mremap(old, region->len, region->len,
		   MREMAP_MAYMOVE | MREMAP_FIXED, new) != new)
		return fail(cell->failure, errno, "mremap");
	err = check_event(region, UFFD_EVENT_REMAP, "EVENT_REMAP", old, new);
	/* Where the memory region is, there is no memory now. */
	err = err ?: denied(cell, stage, FIRST_PAGE, 2);
	region->map = new;
	if (err)
		return err;
	if (ibv_dereg_mr(region->mr))
		return fail(cell->failure, errno, "deregistration");
	region->mr = NULL;
	return region_register(region) ?: works(cell, stage, SECOND_PAGE, 2);
}

/* --- EVENT_FORK */

/* The child: what it sees of pages that the network wrote since. */
static void child(struct region *region, const char *snapshot, int go)
{
	size_t size = region->page_size;
	size_t first = FIRST_PAGE * size, third = THIRD_PAGE * size;
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(go, &c, 1) != 1)
		_exit(3);
	/* There when it was forked; and absent, so that its handler is asked. */
	if (memcmp(region->map + first, snapshot + first, 2 * size))
		_exit(1);
	if (memcmp(region->map + third, snapshot + third, size))
		_exit(2);
	_exit(0);
}

/* Serve the one page that the child asks for. */
static int serve_child(struct cell *cell, struct region *region,
		       const char *snapshot)
{
	size_t off = THIRD_PAGE * region->page_size;
	uint64_t deadline = now_ns() + cell->worker->patience_ns;
	struct uffd_msg msg;
	ssize_t n;
	int err;

	for (;;) {
		n = read(region->handler->child_uffd, &msg, sizeof(msg));
		if (n == sizeof(msg))
			break;
		if (now_ns() > deadline)
			return fail(cell->failure, ETIMEDOUT,
				    "no fault of the child");
		usleep(1000);
	}
	if (msg.event != UFFD_EVENT_PAGEFAULT ||
	    (msg.arg.pagefault.address & ~(region->page_size - 1)) !=
	    (uintptr_t)region->map + off)
		return fail(cell->failure, 0,
			    "the child's handler is told event %#x of %#llx",
			    msg.event,
			    (unsigned long long)msg.arg.pagefault.address);
	err = uffd_copy(region->handler->child_uffd, region->map + off,
			snapshot + off, region->page_size);
	return err ? fail(cell->failure, -err, "UFFDIO_COPY for the child") : 0;
}

static int after_fork(struct cell *cell, struct stage *stage,
		      const char *snapshot, int go)
{
	struct region *region = tested(cell, stage);
	struct uffd_msg msg;
	int err;

	if (handler_events(region->handler, UFFD_EVENT_FORK) != 1 ||
	    region->handler->child_uffd < 0)
		return fail(cell->failure, 0, "no message of EVENT_FORK");
	/* Shared with the child until one of them writes; and absent ones. */
	region_arm(region, 0, 0);
	err = works(cell, stage, SECOND_PAGE, 2);
	region_arm(region, 0, 0);
	if (!err) {
		struct op op = make(cell, stage, FIRST_PAGE, 2, false);

		err = ops_run(cell, &stage->conn, &op, 1);
		expect_no_messages(region);
		err = err ?: ops_check(&op, 1, false);
	}
	if (err)
		return err;
	if (read(region->handler->child_uffd, &msg, sizeof(msg)) >= 0)
		return fail(cell->failure, 0,
			    "the child's handler was asked for a page of the parent");
	if (write(go, "", 1) != 1)
		return fail(cell->failure, errno, "pipe");
	return serve_child(cell, region, snapshot);
}

static int event_fork(struct cell *cell, struct stage *stage)
{
	static const char *const results[] = {
		"", "the child sees what the network wrote for the parent",
		"the child's absent page is not what its handler supplied",
	};
	struct region *region = tested(cell, stage);
	int go[2], status, err;
	char *snapshot;
	pid_t pid;

	err = works(cell, stage, FIRST_PAGE, 2);
	if (err)
		return err;
	snapshot = malloc(region->len);
	if (!snapshot || pipe(go))
		return fail(cell->failure, errno, "cannot prepare a child");
	memcpy(snapshot, region->image, region->len);
	pid = fork();
	if (!pid)
		child(region, snapshot, go[0]);
	close(go[0]);
	if (pid < 0)
		return fail(cell->failure, errno, "fork");
	err = after_fork(cell, stage, snapshot, go[1]);
	if (err)
		kill(pid, SIGKILL);
	close(go[1]);
	if (waitpid(pid, &status, 0) != pid)
		err = fail(cell->failure, errno, "waitpid");
	free(snapshot);
	if (!err && status)
		err = fail(cell->failure, 0, "%s",
			   WIFEXITED(status) && WEXITSTATUS(status) < 3 ?
			   results[WEXITSTATUS(status)] : "the child died");
	return err;
}

/* --- */

typedef int (*feature_fn)(struct cell *cell, struct stage *stage);

static int run_feature(struct cell *cell)
{
	static const feature_fn runs[] = {
		[THREAD_ID] = thread_id,
		[SIGBUS_ONLY] = refused,
		[USER_MODE_ONLY] = refused,
		[EVENT_REMOVE] = event_remove,
		[EVENT_UNMAP] = event_unmap,
		[EVENT_REMAP] = event_remap,
		[EVENT_FORK] = event_fork,
	};
	struct stage stage = { 0 };
	struct region *region = tested(cell, &stage);
	int err;

	region->features = features[cell->feature].flag;
	region->user_mode_only = cell->feature == USER_MODE_ONLY;
	err = stage_open(cell, &stage) ?: runs[cell->feature](cell, &stage);
	/* The CPU's look at absent pages would be its last, too. */
	if (!err && cell->feature != SIGBUS_ONLY)
		err = region_check_bytes(&stage.main[LOCAL], "local", true) ?:
		      region_check_bytes(&stage.main[REMOTE], "remote", true);
	stage_close(&stage);
	return err;
}

int cells_add_features(struct cell_list *list)
{
	static const char *const names[] = { "send", "write", "read" };
	struct cell *cell;
	size_t i, f;
	enum side side;
	char row[32];

	for (i = 0; i < ARRAY_SIZE(names); i++)
		for (side = REMOTE; side <= LOCAL; side++)
			for (f = 0; f < NR_FEATURES; f++) {
				cell = cells_add(list);
				if (!cell)
					return -ENOMEM;
				snprintf(row, sizeof(row), "%s %s", names[i],
					 side_names[side]);
				*cell = (struct cell){
					.run = run_feature,
					.verb = verb_named(names[i]),
					.kind = {
						.mode = MISSING,
						.resolution = COPY,
					},
					.side = side,
					.feature = f,
					.ip = 4,
					.table = "features",
					.row = strdup(row),
					.column = features[f].name,
				};
				if (!cell->row)
					return -ENOMEM;
				snprintf(cell->name, sizeof(cell->name),
					 "%s/%s/%s", names[i],
					 features[f].name, side_names[side]);
			}
	return 0;
}
