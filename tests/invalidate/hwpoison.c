// SPDX-License-Identifier: GPL-2.0
/*
 * Memory failure: a page that is lost is not read, not written, and takes nothing
 * else with it.
 */
#include <signal.h>

#include "area.h"

AREA_VARIANTS(anon, BACK_ANON, AREA_LEN);
AREA_VARIANTS(shmem, BACK_SHMEM, AREA_LEN);
AREA_VARIANTS(hugetlb, BACK_HUGETLB, 2 * HUGE_SIZE);
AREA_VARIANTS(thp, BACK_THP, 2 * HUGE_SIZE);
AREA_SETUP(true)

/* Who has the page mapped is told, so that it can do something about it. */
static void ignore(int signal)
{
	(void)signal;
}

/* What is lost: a page, of hugetlb the hugetlb page, the second of them. */
static void lose(struct __test_metadata *_metadata, struct area *a)
{
	size_t size = a->backing == BACK_HUGETLB ? HUGE_SIZE :
						   a->lab.page_size;
	size_t last = a->odp.len - a->lab.page_size;
	struct lab *lab = &a->lab;

	signal(SIGBUS, ignore);
	ASSERT_EQ(0, madvise(a->odp.addr + size, a->lab.page_size,
			     MADV_HWPOISON)) TH_LOG("%s", strerror(errno));
	DO(lab, area_refused(a, PULL, size, 8));
	DO(lab, area_refused(a, PUSH, size, 8));
	DO(lab, area_refused(a, PUSH, size + a->lab.page_size - 8, 8));
	/* All else is alive: what came before, and what comes after. */
	DO(lab, area_pull(a, 0, size));
	DO(lab, area_push(a, 0, size));
	DO(lab, area_pull(a, 0, size));
	if (last > 2 * size) {
		DO(lab, area_push(a, 2 * size, last - 2 * size));
		DO(lab, area_pull(a, 2 * size, last - 2 * size));
	}
	/* Something new in the place, and it can be used again. */
	ASSERT_EQ(0, munmap(a->odp.addr, a->odp.len));
	if (a->odp.memfd >= 0) {
		close(a->odp.memfd);
		DO(lab, area_new_file(a));
	}
	ASSERT_EQ(a->odp.addr,
		  area_map_at(a, a->odp.addr, PROT_READ | PROT_WRITE));
	area_tell(a);
	DO(lab, area_pull(a, size, a->lab.page_size));
	DO(lab, area_push_check(a, size, a->lab.page_size));
}

TEST_F_TIMEOUT(area, after_read, 120)
{
	DO(&self->area.lab, area_move(&self->area, PULL));
	lose(_metadata, &self->area);
}

TEST_F_TIMEOUT(area, after_write, 120)
{
	DO(&self->area.lab, area_move(&self->area, PUSH));
	lose(_metadata, &self->area);
}

TEST_HARNESS_MAIN
