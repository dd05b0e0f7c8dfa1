// SPDX-License-Identifier: GPL-2.0
/*
 * Same-page merging: pages of an area become one read-only page that others map
 * too. The device reads that, and has a page of its own again before it writes.
 */
#include "area.h"

AREA_VARIANTS(anon, BACK_ANON, AREA_LEN);

FIXTURE_SETUP(area)
{
	struct area *a = &self->area;
	struct failure *failure = &a->lab.failure;

	DO(&a->lab, area_open(a, variant->backing, variant->side,
			      variant->len));
	DO(&a->lab, set_knob(KSM("pages_to_scan"), "10000", failure));
	DO(&a->lab, set_knob(KSM("sleep_millisecs"), "1", failure));
	DO(&a->lab, set_knob(KSM("smart_scan"), "0", failure));
}

FIXTURE_TEARDOWN(area)
{
	struct failure ignored = {};

	set_knob(KSM("run"), "2", &ignored);
	area_close(&self->area);
}

/* The second half of the area, merged with the first page by page. */
static bool merged(struct area *a)
{
	size_t half = a->odp.len / 2, at;

	for (at = 0; at < half; at += a->lab.page_size)
		if (!pfn_of(a->odp.addr + at) ||
		    pfn_of(a->odp.addr + at) != pfn_of(a->odp.addr + half + at))
			return false;
	return true;
}

static int merge(struct area *a)
{
	struct failure *failure = &a->lab.failure;
	size_t half = a->odp.len / 2;
	uint64_t end;
	int err;

	/* Through the device: both halves are in its table, to be written. */
	err = area_push(a, 0, a->odp.len);
	if (err)
		return err;
	memcpy(a->odp.addr + half, a->odp.addr, half);
	mem_expect(&a->odp, half, a->odp.image, half);
	if (madvise(a->odp.addr, a->odp.len, MADV_MERGEABLE))
		return fail(failure, errno, "MADV_MERGEABLE");
	err = set_knob(KSM("run"), "1", failure);
	if (err)
		return err;
	for (end = now_ns() + PATIENCE; !merged(a); usleep(1000))
		if (now_ns() > end)
			return fail(failure, 0, "nothing was merged");
	return set_knob(KSM("run"), "0", failure);
}

/* One half is written, the other must not be. */
static int write_half(struct area *a)
{
	size_t half = a->odp.len / 2;

	return area_push_check(a, 0, half) ?:
	       (merged(a) ? fail(&a->lab.failure, 0, "they are one page yet") :
		0) ?:
	       area_pull(a, half, half);
}

TEST_F_TIMEOUT(area, write, 120)
{
	struct area *a = &self->area;

	DO(&a->lab, merge(a));
	DO(&a->lab, write_half(a));
}

TEST_F_TIMEOUT(area, read_and_write, 120)
{
	struct area *a = &self->area;

	DO(&a->lab, merge(a));
	DO(&a->lab, area_pull(a, 0, a->odp.len));
	DO(&a->lab, write_half(a));
	/* The halves differ now: they are made the same and merged again. */
	DO(&a->lab, merge(a));
	DO(&a->lab, area_pull(a, 0, a->odp.len));
	DO(&a->lab, write_half(a));
}

/* The pages become private again under the device's read-only entries. */
TEST_F_TIMEOUT(area, unmerged, 120)
{
	struct area *a = &self->area;

	DO(&a->lab, merge(a));
	DO(&a->lab, area_pull(a, 0, a->odp.len));
	ASSERT_EQ(0, madvise(a->odp.addr, a->odp.len, MADV_UNMERGEABLE));
	ASSERT_FALSE(merged(a));
	area_tell(a);
	DO(&a->lab, area_pull(a, 0, a->odp.len));
	DO(&a->lab, area_push_check(a, 0, a->odp.len));
}

TEST_HARNESS_MAIN
