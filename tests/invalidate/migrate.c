// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that move: between NUMA nodes, by compaction, by soft offlining. Nothing
 * in the area changes but where it is, which pagemap tells.
 */
#include <sys/syscall.h>

#include "area.h"

AREA_VARIANTS(anon, BACK_ANON, AREA_LEN);
AREA_VARIANTS(shmem, BACK_SHMEM, AREA_LEN);
AREA_VARIANTS(hugetlb, BACK_HUGETLB, HUGE_SIZE);
AREA_VARIANTS(thp, BACK_THP, HUGE_SIZE);
AREA_SETUP(true)

/* The pages that the tests look at: all, or one of each huge page. */
static size_t step(const struct area *a)
{
	return area_is_huge(a) ? HUGE_SIZE : a->lab.page_size;
}

static size_t count(const struct area *a)
{
	return a->odp.len / step(a);
}

static int all_moved(struct area *a, const uint64_t *before)
{
	size_t i;

	for (i = 0; i < count(a); i++)
		if (pfn_of(a->odp.addr + i * step(a)) == before[i])
			return fail(&a->lab.failure, 0, "page %zu has not moved",
				    i);
	return 0;
}

static void where(struct area *a, uint64_t *pfns)
{
	size_t i;

	for (i = 0; i < count(a); i++)
		pfns[i] = pfn_of(a->odp.addr + i * step(a));
}

/* One more try for what is in flight, as in page_out(). */
static int soft_offline(struct area *a, size_t i)
{
	int tries;

	for (tries = 0; tries < 200; tries++) {
		if (!madvise(a->odp.addr + i * step(a), a->lab.page_size,
			     MADV_SOFT_OFFLINE))
			return 0;
		if (errno != EBUSY && errno != EAGAIN)
			break;
		usleep(10000);
	}
	return fail(&a->lab.failure, errno, "MADV_SOFT_OFFLINE, page %zu", i);
}

/* Each page is taken away from under its content. */
static int soft_offlined(struct area *a)
{
	uint64_t before[AREA_PAGES];
	size_t i;
	int err;

	where(a, before);
	for (i = 0; i < count(a); i++) {
		err = soft_offline(a, i);
		if (err)
			return err;
	}
	return all_moved(a, before);
}

static int move_to(struct area *a, int node)
{
	void *pages[AREA_PAGES];
	int nodes[AREA_PAGES], status[AREA_PAGES];
	size_t i;

	for (i = 0; i < count(a); i++) {
		pages[i] = a->odp.addr + i * step(a);
		nodes[i] = node;
		status[i] = -EIO;
	}
	if (syscall(SYS_move_pages, 0, count(a), pages, nodes, status, 0) < 0)
		return fail(&a->lab.failure, errno,
			    "cannot move pages to node %d (vm/run --nodes 2)",
			    node);
	for (i = 0; i < count(a); i++)
		if (status[i] != node)
			return fail(&a->lab.failure, 0,
				    "page %zu is not on node %d: %d", i, node,
				    status[i]);
	return 0;
}

static int to_other_nodes(struct area *a)
{
	uint64_t before[AREA_PAGES];
	int err;

	err = move_to(a, 0);
	if (err)
		return err;
	where(a, before);
	return move_to(a, 1) ?: all_moved(a, before) ?: move_to(a, 0);
}

static int to_one_node(struct area *a)
{
	int status, node;
	void *page = a->odp.addr;

	if (syscall(SYS_move_pages, 0, 1, &page, NULL, &status, 0) < 0)
		return fail(&a->lab.failure, errno, "move_pages()");
	node = !status;
	return move_to(a, node);
}

TEST_EVENT(soft_offlined)
TEST_EVENT(to_other_nodes)
TEST_EVENT(to_one_node)

TEST_HARNESS_MAIN
