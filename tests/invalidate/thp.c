// SPDX-License-Identifier: GPL-2.0
/*
 * Transparent huge pages that are split, in the page table or altogether, and
 * small pages that are collapsed into one. That it happened is seen in pagemap.
 */
#include "area.h"

AREA_VARIANTS(anon, BACK_ANON_2M, 2 * HUGE_SIZE);
AREA_VARIANTS(shmem, BACK_SHMEM_2M, 2 * HUGE_SIZE);
AREA_SETUP(false)

#define SPLIT_FILE	"/sys/kernel/debug/split_huge_pages"

static int want_huge(struct area *a, bool want)
{
	size_t at;

	for (at = 0; at < a->odp.len; at += HUGE_SIZE)
		if (is_huge(a->odp.addr + at) != want)
			return fail(&a->lab.failure, 0,
				    "no huge page was %s at %zu",
				    want ? "made" : "split", at);
	return 0;
}

/* What may stand in the way of it for a moment has its time to go. */
static int collapse(struct area *a)
{
	int i;

	for (i = 0; i < 100; i++) {
		if (!madvise(a->odp.addr, a->odp.len, MADV_COLLAPSE))
			return want_huge(a, true);
		if (errno != EAGAIN && errno != EBUSY)
			break;
		usleep(10000);
	}
	return fail(&a->lab.failure, errno, "MADV_COLLAPSE");
}

/*
 * Small pages, all of them in use. There is no MADV_HUGEPAGE in this file: it
 * would call khugepaged, and that comes when it likes.
 */
static int make_small(struct area *a)
{
	size_t at;

	if (madvise(a->odp.addr, a->odp.len, area_is_anon(a) ?
		    MADV_DONTNEED : MADV_REMOVE))
		return fail(&a->lab.failure, errno, "cannot drop the pages");
	memset(a->odp.image, 0, a->odp.len);
	for (at = 0; at < a->odp.len; at += a->lab.page_size) {
		a->odp.image[at] = 1 + at / a->lab.page_size;
		a->odp.addr[at] = a->odp.image[at];
	}
	return want_huge(a, false);
}

static int make_huge(struct area *a)
{
	return make_small(a) ?: collapse(a);
}

static int collapsed(struct area *a)
{
	uint64_t before = pfn_of(a->odp.addr + 5 * a->lab.page_size);
	int err = collapse(a);

	if (!err && before == pfn_of(a->odp.addr + 5 * a->lab.page_size))
		return fail(&a->lab.failure, 0, "the page has not moved");
	return err;
}

/* The table only: the huge page stays whole, its entry is cut up. */
static int entry_split(struct area *a)
{
	size_t at, size = a->lab.page_size;

	for (at = size; at < a->odp.len; at += HUGE_SIZE)
		if (mprotect(a->odp.addr + at, size, PROT_READ) ||
		    mprotect(a->odp.addr + at, size, PROT_READ | PROT_WRITE))
			return fail(&a->lab.failure, errno, "mprotect()");
	return want_huge(a, false);
}

static int dropped_in_part(struct area *a)
{
	size_t at, len = 3 * a->lab.page_size;

	for (at = a->lab.page_size; at < a->odp.len; at += HUGE_SIZE) {
		if (madvise(a->odp.addr + at, len,
			    area_is_anon(a) ? MADV_DONTNEED : MADV_REMOVE))
			return fail(&a->lab.failure, errno, "cannot drop");
		memset(a->odp.image + at, 0, len);
	}
	return want_huge(a, false);
}

/* The kernel's own test interface: every huge page in the range. */
static int page_split(struct area *a)
{
	char command[80];

	snprintf(command, sizeof(command), "%d,0x%lx,0x%lx,0", getpid(),
		 (long)a->odp.addr, (long)a->odp.addr + a->odp.len);
	return set_knob(SPLIT_FILE, command, &a->lab.failure) ?:
	       want_huge(a, false);
}

#define TEST_THP(name, prepare) \
	TEST_F_TIMEOUT(area, name, 120) \
	{ \
		DO(&self->area.lab, area_happens_to(&self->area, prepare, \
						    name)); \
	}

TEST_THP(collapsed, make_small)
TEST_THP(entry_split, make_huge)
TEST_THP(dropped_in_part, make_huge)
TEST_THP(page_split, make_huge)

TEST_HARNESS_MAIN
