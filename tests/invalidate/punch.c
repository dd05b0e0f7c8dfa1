// SPDX-License-Identifier: GPL-2.0
/*
 * Holes in the file below a mapping, and a file that becomes shorter: memfd,
 * hugetlb and ext4.
 */
#include "area.h"

#define FILE_PATH	"/tmp/area"

AREA_VARIANTS(shmem, BACK_SHMEM, AREA_LEN);
AREA_VARIANTS(hugetlb, BACK_HUGETLB, 2 * HUGE_SIZE);
AREA_VARIANTS(ext4, BACK_FILE, AREA_LEN);

static int map(struct area *a, enum area_backing backing, enum area_side side, size_t len)
{
	if (backing == BACK_FILE)
		return area_map_file(a, side, len, FILE_PATH);
	return area_map(a, backing, side, len);
}

FIXTURE_SETUP(area)
{
	struct area *a = &self->area;

	DO(&a->lab, map(a, variant->backing, variant->side, variant->len));
	DO(&a->lab, area_register(a, ACCESS_ALL));
}

FIXTURE_TEARDOWN(area)
{
	area_close(&self->area);
}

static int make_hole(struct area *a, size_t at, size_t len)
{
	if (fallocate(a->odp.memfd, FALLOC_FL_PUNCH_HOLE |
		      FALLOC_FL_KEEP_SIZE, at, len))
		return fail(&a->lab.failure, errno, "cannot punch a hole");
	memset(a->odp.image + at, 0, len);
	return 0;
}

static int hole_in_all(struct area *a)
{
	return make_hole(a, 0, a->odp.len);
}

static int hole_in_half(struct area *a)
{
	return make_hole(a, a->odp.len / 2, a->odp.len / 2);
}

/* Part of a page or hugetlb page is not a hole, it is zeroed in place. */
static int hole_within(struct area *a)
{
	size_t size = a->lab.page_size;

	if (area_is_huge(a))
		return make_hole(a, size, 2 * size);
	return make_hole(a, size / 2, 2 * size);
}

static int resize(struct area *a, size_t len)
{
	if (ftruncate(a->odp.memfd, len))
		return fail(&a->lab.failure, errno, "ftruncate()");
	return 0;
}

/*
 * Half of the file goes: what is beyond its end is refused, by either way, what
 * is before is as it was; then it grows again and there are zeros.
 */
static int shorter_and_longer(struct area *a)
{
	size_t half = a->odp.len / 2, size = a->lab.page_size;

	memset(a->odp.image + half, 0, half);
	return resize(a, half) ?:
	       area_refused(a, PULL, half, size) ?:
	       area_refused(a, PUSH, a->odp.len - size, size) ?:
	       area_pull(a, half - 4 * size, 4 * size) ?:
	       area_push(a, half - 4 * size, 4 * size) ?:
	       resize(a, a->odp.len);
}

static int empty_and_longer(struct area *a)
{
	memset(a->odp.image, 0, a->odp.len);
	return resize(a, 0) ?: resize(a, a->odp.len);
}

TEST_EVENT(hole_in_all)
TEST_EVENT(hole_in_half)
TEST_EVENT(hole_within)
TEST_EVENT(shorter_and_longer)
TEST_EVENT(empty_and_longer)

TEST_HARNESS_MAIN
