// SPDX-License-Identifier: GPL-2.0
/*
 * Compaction: it moves pages from the low end of memory into free ones at the
 * high end. So the area is made of the lowest pages to be had, and pagemap
 * tells that they have moved.
 */
#include "area.h"

#define POOL_PAGES	(64UL << 8)	/* 64 MiB */
#define TRIES		20

/* ZONE_DMA, 16 MiB, is a small world of its own. */
#define DMA_PAGES	(16UL << 8)

AREA_VARIANTS(anon, BACK_ANON, AREA_LEN);
AREA_SETUP(true)

struct place {
	uint64_t pfn;
	char *page;
};

static int by_pfn(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

/* Put the lowest pages of a pool into the area, and of the rest free half. */
static int lie_low(struct area *a)
{
	size_t i, first = 0, size = a->lab.page_size, len = POOL_PAGES * size;
	static struct place places[POOL_PAGES];
	static uint64_t entries[POOL_PAGES];
	static char *pool;
	int err, fd;

	/* What is freed shall be free, and not on the list of a CPU. */
	err = set_knob("/proc/sys/vm/percpu_pagelist_high_fraction", "1000000",
		       &a->lab.failure);
	if (err)
		return err;
	if (pool)
		munmap(pool, len);
	pool = mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pool == MAP_FAILED || madvise(pool, len, MADV_NOHUGEPAGE))
		return fail(&a->lab.failure, errno, "no memory");
	for (i = 0; i < POOL_PAGES; i++)
		pool[i * size] = 1;
	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pread(fd, entries, sizeof(entries),
		  (uintptr_t)pool / size * sizeof(entries[0])) !=
	    sizeof(entries))
		return fail(&a->lab.failure, errno, "cannot read pagemap");
	close(fd);
	for (i = 0; i < POOL_PAGES; i++) {
		places[i].page = pool + i * size;
		places[i].pfn = PM_PFN(entries[i]);
	}
	qsort(places, POOL_PAGES, sizeof(places[0]), by_pfn);
	while (first + a->odp.pages < POOL_PAGES && places[first].pfn < DMA_PAGES)
		first++;
	for (i = 0; i < a->odp.pages; i++)
		if (mremap(places[first + i].page, size, size, MREMAP_FIXED |
			   MREMAP_MAYMOVE, a->odp.addr + i * size) ==
		    MAP_FAILED)
			return fail(&a->lab.failure, errno, "mremap()");
	for (i += first; i < POOL_PAGES; i += 2)
		if (madvise(places[i].page, size, MADV_DONTNEED))
			return fail(&a->lab.failure, errno, "MADV_DONTNEED");
	area_tell(a);
	return 0;
}

static size_t moved(struct area *a, const uint64_t *before)
{
	size_t i, n = 0;

	for (i = 0; i < a->odp.pages; i++)
		n += pfn_of(a->odp.addr + i * a->lab.page_size) != before[i];
	return n;
}

static int compacted(struct area *a)
{
	uint64_t before[AREA_PAGES];
	int err = 0, tries;
	size_t i;

	for (i = 0; i < a->odp.pages; i++)
		before[i] = pfn_of(a->odp.addr + i * a->lab.page_size);
	for (tries = 0; !err && tries < TRIES && !moved(a, before); tries++)
		err = set_knob("/proc/sys/vm/compact_memory", "1",
			       &a->lab.failure);
	if (!err && !moved(a, before))
		err = fail(&a->lab.failure, 0, "no page has moved");
	return err;
}

TEST_F_TIMEOUT(area, compacted, 400)
{
	DO(&self->area.lab, area_happens_to(&self->area, lie_low, compacted));
}

TEST_HARNESS_MAIN
