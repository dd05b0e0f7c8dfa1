// SPDX-License-Identifier: GPL-2.0
/*
 * IBV_ACCESS_HUGETLB says that an area is made of huge pages, hugetlb or
 * transparent ones. Every byte of it is where it is without the flag, and
 * goes when its page goes.
 */
#include "area.h"

#define LEN	(2 * HUGE_SIZE)
#define ODD	(HUGE_SIZE / 2 + 12345)	/* where some of it begins */

AREA_VARIANTS(hugetlb, BACK_HUGETLB, LEN);
AREA_VARIANTS(thp, BACK_THP, LEN);

FIXTURE_SETUP(area)
{
	struct area *a = &self->area;

	DO(&a->lab, area_map(a, variant->backing, variant->side,
			     variant->len));
}

FIXTURE_TEARDOWN(area)
{
	area_close(&self->area);
}

static int register_huge(struct area *a, size_t from, size_t len,
			 uint64_t iova)
{
	a->odp.mr = ibv_reg_mr_iova(a->lab.pd, a->odp.addr + from, len,
				    iova + from, ACCESS_ALL |
				    IBV_ACCESS_ON_DEMAND | IBV_ACCESS_HUGETLB);
	if (!a->odp.mr)
		return fail(&a->lab.failure, errno,
			    "cannot register with IBV_ACCESS_HUGETLB");
	a->odp.iova = iova;
	return 0;
}

/* Bytes about the borders of pages of either size, in both directions. */
static int transfer(struct area *a, size_t first, size_t end)
{
	static const struct {
		size_t at, len;
	} ranges[] = {
		{ 0, 1 }, { 1, 4095 }, { 4095, 2 }, { 8191, 8193 },
		{ HUGE_SIZE - 1, 2 }, { HUGE_SIZE - 5000, 10000 },
		{ HUGE_SIZE + 4096, 70000 }, { LEN - 1, 1 },
		{ LEN - 4097, 4097 }, { ODD, 4097 }, { LEN - 66000, 65000 },
	};
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (ranges[i].at < first || ranges[i].at + ranges[i].len > end)
			continue;
		err = area_pull(a, ranges[i].at, ranges[i].len) ?:
		      area_push(a, ranges[i].at, ranges[i].len) ?:
		      area_pull(a, ranges[i].at, ranges[i].len);
		if (err)
			return err;
	}
	return area_check(a);
}

TEST_F_TIMEOUT(area, whole, 120)
{
	struct area *a = &self->area;

	DO(&a->lab, register_huge(a, 0, LEN, (uintptr_t)a->odp.addr));
	DO(&a->lab, transfer(a, 0, LEN));
	area_tell_part(a, HUGE_SIZE - 8192, 16384);
	DO(&a->lab, transfer(a, 0, LEN));
}

/* Neither its beginning nor its end is that of a huge page. */
TEST_F_TIMEOUT(area, part, 120)
{
	struct area *a = &self->area;

	DO(&a->lab, register_huge(a, ODD, LEN - ODD - 1000,
				  (uintptr_t)a->odp.addr));
	DO(&a->lab, transfer(a, ODD, LEN - 1000));
	DO(&a->lab, area_refused(a, PULL, ODD - 1, 2));
	DO(&a->lab, area_refused(a, PUSH, LEN - 1001, 2));
	DO(&a->lab, area_check(a));
}

/* The device addresses have another place in the huge page. */
TEST_F_TIMEOUT(area, iova, 120)
{
	static const uint64_t iovas[] = { 0, 0x123456000, 0x7ffffff000 };
	struct area *a = &self->area;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(iovas); i++) {
		DO(&a->lab, register_huge(a, 0, LEN, iovas[i]));
		DO(&a->lab, transfer(a, 0, LEN));
		ASSERT_EQ(0, ibv_dereg_mr(a->odp.mr));
		a->odp.mr = NULL;
	}
}

static int dropped(struct area *a)
{
	if (madvise(a->odp.addr + HUGE_SIZE, HUGE_SIZE,
		    a->odp.memfd < 0 ? MADV_DONTNEED : MADV_REMOVE))
		return fail(&a->lab.failure, errno, "cannot drop");
	memset(a->odp.image + HUGE_SIZE, 0, HUGE_SIZE);
	return 0;
}

TEST_F_TIMEOUT(area, dropped, 120)
{
	struct area *a = &self->area;

	DO(&a->lab, register_huge(a, 0, LEN, (uintptr_t)a->odp.addr));
	DO(&a->lab, area_happens(a, dropped));
}

/* A transparent huge page that is split under the registration. */
TEST_F_TIMEOUT(area, protected_in_part, 120)
{
	struct area *a = &self->area;
	size_t len = a->backing == BACK_THP ? a->lab.page_size : HUGE_SIZE;

	DO(&a->lab, register_huge(a, 0, LEN, (uintptr_t)a->odp.addr));
	DO(&a->lab, transfer(a, 0, LEN));
	ASSERT_EQ(0, mprotect(a->odp.addr, len, PROT_READ));
	DO(&a->lab, area_refused(a, PUSH, len - 1, 1));
	DO(&a->lab, area_pull(a, len - 1, 2));
	DO(&a->lab, area_push_check(a, len, 4097));
}

TEST_HARNESS_MAIN
