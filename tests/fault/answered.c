// SPDX-License-Identifier: GPL-2.0
/*
 * Who supplied a page may take it away again when the access that wanted it is over,
 * and is not asked for it once more: nobody wants it.
 */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "uffd.h"
#include "waiting.h"

/* What the access wants; and others, which keep the driver busy meanwhile. */
#define PAGES	2
#define FIRST	32	/* of the others: not looked at together with ours */
#define OTHERS	480
#define ROUNDS	10

/* A message that is not to come would be there by then. */
#define LATE	20000	/* us */

FIXTURE(answered)
{
	struct lab lab;
	struct waiting waiting;
	struct rc_pair busy;
};

FIXTURE_SETUP(answered)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	DO(lab, make_ready(lab, &self->waiting, FIRST + OTHERS));
	DO(lab, rc_pair_open(&self->busy, &lab->dev, lab->pd,
			     &rc_params_default, &lab->failure));
}

FIXTURE_TEARDOWN(answered)
{
	rc_pair_close(&self->busy);
	close_pair(&self->waiting);
	lab_close(&self->lab);
}

/*
 * All are there before anybody is woken; our first page's waiter goes first, and
 * the last page's last.
 */
static int supply(struct lab *lab, struct mem *mem)
{
	int uffd = page_source_uffd(mem->source);
	size_t page = lab->page_size;
	struct uffdio_copy copy = {
		.dst = (uintptr_t)mem->addr,
		.src = (uintptr_t)mem->image,
		.len = mem->len,
		.mode = UFFDIO_COPY_MODE_DONTWAKE,
	};

	if (ioctl(uffd, UFFDIO_COPY, &copy))
		return fail(&lab->failure, errno, "UFFDIO_COPY");
	return uffd_wake(uffd, mem->addr, page) ?:
	       uffd_wake(uffd, mem->addr + FIRST * page, OTHERS * page) ?:
	       uffd_wake(uffd, mem->addr + page, (PAGES - 1) * page);
}

TEST_F_TIMEOUT(answered, not_asked_again, 120)
{
	struct rc_pair *pair = &self->waiting.pair, *busy = &self->busy;
	struct mem *pinned = self->waiting.pinned;
	struct mem *absent = self->waiting.absent;
	struct lab *lab = &self->lab;
	size_t page = lab->page_size;
	struct rc_op op = mem_op(IBV_WR_RDMA_READ, pinned, 0, absent, 0,
				 PAGES * page);
	struct rc_op others = mem_op(IBV_WR_RDMA_READ, pinned, FIRST * page,
				     absent, FIRST * page, OTHERS * page);
	unsigned int asked;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		asked = mem_messages(absent);
		DO(lab, rc_post(&pair->end[0], &op, &lab->failure));
		DO(lab, rc_post(&busy->end[0], &others, &lab->failure));
		DO(lab, wait_asked(lab, absent, asked + PAGES + OTHERS));
		DO(lab, supply(lab, absent));
		DO(lab, ends_with(lab, pair, IBV_WC_SUCCESS));
		ASSERT_EQ(0, madvise(absent->addr, PAGES * page, MADV_DONTNEED));
		DO(lab, ends_with(lab, busy, IBV_WC_SUCCESS));
		usleep(LATE);
		ASSERT_EQ(asked + PAGES + OTHERS, mem_messages(absent))
			TH_LOG("round %d", i);
		mem_expect(pinned, 0, absent->image, PAGES * page);
		mem_expect(pinned, FIRST * page, absent->image + FIRST * page,
			   OTHERS * page);
		DO(lab, mem_check(lab, pinned, "local"));
		DO(lab, mem_drop(lab, absent, 0, FIRST + OTHERS));
	}
}

TEST_HARNESS_MAIN
