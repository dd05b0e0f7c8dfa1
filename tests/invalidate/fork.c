// SPDX-License-Identifier: GPL-2.0
/*
 * fork(): pages that parent and child share until one of them writes. The device
 * is on the parent's side: it writes what is the parent's alone, and never sees
 * what the child has written.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "area.h"

AREA_VARIANTS(anon, BACK_ANON, AREA_LEN);
AREA_VARIANTS(private, BACK_PRIVATE, AREA_LEN);
AREA_VARIANTS(thp, BACK_THP, HUGE_SIZE);
AREA_VARIANTS(hugetlb, BACK_HUGETLB, HUGE_SIZE);

FIXTURE_SETUP(area)
{
	struct area *a = &self->area;

	DO(&a->lab, area_map(a, variant->backing, variant->side,
			     variant->len));
	/* Shared hugetlb memory is not copied; private is. */
	if (variant->backing == BACK_HUGETLB) {
		ASSERT_EQ(a->odp.addr,
			  mmap(a->odp.addr, a->odp.len, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_FIXED, a->odp.memfd, 0));
	}
	DO(&a->lab, area_register(a, ACCESS_ALL));
}

FIXTURE_TEARDOWN(area)
{
	area_close(&self->area);
}

/* A process that does what it is told, a byte a time. */
struct child {
	pid_t pid;
	int in, out;
};

enum order {
	COMPARE = 'c',	/* is the area as it was at the fork? */
	WRITE = 'w',	/* write all of it */
	END = 'e',
};

static void obey(struct area *a, int in, int out)
{
	char *before = malloc(a->odp.len);
	char order, answer;

	memcpy(before, a->odp.image, a->odp.len);
	while (read(in, &order, 1) == 1 && order != END) {
		answer = 'y';
		if (order == WRITE) {
			memset(a->odp.addr, 'c', a->odp.len);
			memset(before, 'c', a->odp.len);
		} else if (memcmp(a->odp.addr, before, a->odp.len)) {
			answer = 'n';
		}
		if (write(out, &answer, 1) != 1)
			break;
	}
	_exit(0);
}

static int child_start(struct area *a, struct child *child)
{
	int to[2], from[2];

	if (pipe(to) || pipe(from))
		return fail(&a->lab.failure, errno, "pipe()");
	child->pid = fork();
	if (child->pid < 0)
		return fail(&a->lab.failure, errno, "fork()");
	if (!child->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(to[1]);
		obey(a, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	child->in = from[0];
	child->out = to[1];
	return 0;
}

static int child_tell(struct area *a, struct child *child, enum order order)
{
	char byte = order, answer;

	if (write(child->out, &byte, 1) != 1 ||
	    read(child->in, &answer, 1) != 1)
		return fail(&a->lab.failure, 0, "the child is gone");
	if (answer != 'y')
		return fail(&a->lab.failure, 0,
			    "the child sees what was written after the fork");
	return 0;
}

static int child_end(struct area *a, struct child *child)
{
	char byte = END;
	ssize_t n = write(child->out, &byte, 1);

	close(child->out);
	close(child->in);
	if (n != 1 || waitpid(child->pid, NULL, 0) != child->pid)
		return fail(&a->lab.failure, 0, "the child did not end");
	return 0;
}

/* The device writes first: the copy that it makes is the parent's. */
static int device_writes(struct area *a)
{
	struct child child;

	return child_start(a, &child) ?:
	       area_move(a, PUSH) ?:
	       area_check(a) ?:
	       child_tell(a, &child, COMPARE) ?:
	       area_move(a, PULL) ?:
	       child_end(a, &child);
}

/* The device reads what is shared, and then writes it. */
static int device_reads_and_writes(struct area *a)
{
	struct child child;

	return child_start(a, &child) ?:
	       area_move(a, PULL) ?:
	       area_move(a, PUSH) ?:
	       area_check(a) ?:
	       child_tell(a, &child, COMPARE) ?:
	       child_end(a, &child);
}

/* The child writes: the parent keeps what it had, for the device too. */
static int child_writes(struct area *a)
{
	struct child child;

	return child_start(a, &child) ?:
	       child_tell(a, &child, WRITE) ?:
	       area_move(a, PULL) ?:
	       area_move(a, PUSH) ?:
	       area_check(a) ?:
	       child_tell(a, &child, COMPARE) ?:
	       child_end(a, &child);
}

/* The parent writes with the CPU what the device has seen shared. */
static int parent_writes(struct area *a)
{
	struct child child;
	int err;

	err = child_start(a, &child) ?: area_move(a, PULL);
	if (err)
		return err;
	area_tell_part(a, 0, a->lab.page_size);
	return area_move(a, PULL) ?:
	       child_tell(a, &child, COMPARE) ?:
	       area_move(a, PUSH) ?:
	       area_check(a) ?:
	       child_tell(a, &child, COMPARE) ?:
	       child_end(a, &child);
}

/* Shared memory stays shared, whoever writes. */
static int shared(struct area *a)
{
	struct child child;
	int err;

	err = child_start(a, &child) ?: child_tell(a, &child, WRITE);
	memset(a->odp.image, 'c', a->odp.len);
	return err ?: area_move(a, PULL) ?: child_end(a, &child);
}

TEST_EVENT(device_writes)
TEST_EVENT(device_reads_and_writes)
TEST_EVENT(child_writes)
TEST_EVENT(parent_writes)

TEST(shared_memory)
{
	struct area area;
	int side;

	for (side = SIDE_REMOTE; side <= SIDE_LOCAL; side++) {
		DO(&area.lab, area_open(&area, BACK_SHMEM, side, AREA_LEN));
		DO(&area.lab, area_happens(&area, shared));
		area_close(&area);
	}
}

TEST_HARNESS_MAIN
