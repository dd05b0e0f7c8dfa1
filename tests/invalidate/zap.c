// SPDX-License-Identifier: GPL-2.0
/*
 * Page table entries that go while the device has seen them: MADV_DONTNEED,
 * unmapping, another mapping in the place, mremap() away and back.
 */
#include "area.h"

AREA_VARIANTS(anon, BACK_ANON, AREA_LEN);
AREA_VARIANTS(shmem, BACK_SHMEM, AREA_LEN);
AREA_VARIANTS(private, BACK_PRIVATE, AREA_LEN);
AREA_VARIANTS(hugetlb, BACK_HUGETLB, 2 * HUGE_SIZE);
AREA_SETUP(false)

static bool is_shared(const struct area *a)
{
	return a->backing == BACK_SHMEM || a->backing == BACK_HUGETLB;
}

/* What was in memory of its own is gone; a shared page is still there. */
static void zero_private(struct area *a)
{
	if (!is_shared(a))
		memset(a->odp.image, 0, a->odp.len);
}

static int dontneed(struct area *a)
{
	if (madvise(a->odp.addr, a->odp.len, MADV_DONTNEED))
		return fail(&a->lab.failure, errno, "MADV_DONTNEED");
	zero_private(a);
	return 0;
}

/* Half of it, told something new; the other half must stay what it is. */
static int dontneed_half(struct area *a)
{
	size_t half = a->odp.len / 2;

	if (madvise(a->odp.addr + half, half, MADV_DONTNEED))
		return fail(&a->lab.failure, errno, "MADV_DONTNEED");
	if (!is_shared(a))
		memset(a->odp.image + half, 0, half);
	area_tell_part(a, half, a->lab.page_size);
	return 0;
}

static int unmapped_and_mapped(struct area *a)
{
	struct mem *odp = &a->odp;

	if (munmap(odp->addr, odp->len))
		return fail(&a->lab.failure, errno, "munmap()");
	if (area_map_at(a, odp->addr, PROT_READ | PROT_WRITE) != odp->addr)
		return fail(&a->lab.failure, errno, "cannot map it again");
	zero_private(a);
	return 0;
}

/* A mapping of another kind over it, with no moment without one. */
static int mapped_over(struct area *a)
{
	struct mem *odp = &a->odp;

	if (mmap(odp->addr, odp->len, PROT_READ | PROT_WRITE, MAP_FIXED |
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != odp->addr)
		return fail(&a->lab.failure, errno, "cannot map over it");
	area_tell(a);
	return 0;
}

static void *elsewhere(struct area *a)
{
	size_t len = a->odp.len + HUGE_SIZE;
	void *space = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	return (void *)(((uintptr_t)space + HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
}

static int move(struct area *a, void *from, void *to)
{
	if (mremap(from, a->odp.len, a->odp.len,
		   MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		return fail(&a->lab.failure, errno, "mremap()");
	return 0;
}

/* It is told something new where it is meanwhile. */
static int moved_away_and_back(struct area *a)
{
	struct mem *odp = &a->odp;
	void *away = elsewhere(a);
	int err;

	err = move(a, odp->addr, away);
	if (err)
		return err;
	pattern_fill(odp->image, AREA_LEN, ++a->lab.last_seed, 0);
	memcpy(away, odp->image, AREA_LEN);
	return move(a, away, odp->addr);
}

/* Nothing is there for a while, and that is what an access finds. */
static int moved_away_for_a_while(struct area *a)
{
	struct mem *odp = &a->odp;
	void *away = elsewhere(a);
	size_t size = a->lab.page_size;
	int err;

	err = move(a, odp->addr, away) ?:
	      area_refused(a, PULL, 0, size) ?:
	      area_refused(a, PUSH, odp->len - size, size);
	if (err)
		return err;
	if (memcmp(away, odp->image, odp->len))
		return fail(&a->lab.failure, 0, "it was written where it went");
	return move(a, away, odp->addr);
}

/* The pages go, and others come in their place. */
static int moved_away_and_replaced(struct area *a)
{
	struct mem *odp = &a->odp;
	void *away = elsewhere(a);
	int err;

	err = move(a, odp->addr, away);
	if (err)
		return err;
	if (area_map_at(a, odp->addr, PROT_READ | PROT_WRITE) != odp->addr)
		return fail(&a->lab.failure, errno, "cannot map it again");
	/* The image as it is now is what went away, and stays as it is there. */
	if (memcmp(away, odp->image, odp->len))
		return fail(&a->lab.failure, 0, "it changed as it was moved");
	munmap(away, odp->len);
	zero_private(a);
	return 0;
}

TEST_EVENT(dontneed)
TEST_EVENT(dontneed_half)
TEST_EVENT(unmapped_and_mapped)
TEST_EVENT(mapped_over)
TEST_EVENT(moved_away_and_back)
TEST_EVENT(moved_away_for_a_while)
TEST_EVENT(moved_away_and_replaced)

/* Two regions change places: each access follows its address. */
TEST_F(area, moved_over_another)
{
	struct area *a = &self->area;
	struct mem *odp = &a->odp;
	struct lab *lab = &a->lab;
	char *other = elsewhere(a);

	ASSERT_EQ(other, area_map_at(a, other, PROT_READ | PROT_WRITE));
	madvise(other, odp->len, MADV_NOHUGEPAGE);
	DO(lab, area_push_check(a, 0, odp->len));
	if (!is_shared(a)) {
		pattern_fill(odp->image, odp->len, ++lab->last_seed, 0);
		memcpy(other, odp->image, odp->len);
	}
	DO(lab, move(a, other, odp->addr));
	DO(lab, area_pull(a, 0, odp->len));
	DO(lab, area_push_check(a, 0, odp->len));
}

TEST_HARNESS_MAIN
