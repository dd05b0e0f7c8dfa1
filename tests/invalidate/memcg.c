// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that the device faults in is charged to the memory cgroup of the process
 * that has registered it, as if the process had touched it.
 */
#include "area.h"
#include "memcg.h"

#define PART		0x80000UL	/* in one work request */
#define CHARGED		(16 * PART)

AREA_VARIANTS(anon, BACK_ANON, CHARGED);
AREA_VARIANTS(shmem, BACK_SHMEM, CHARGED);
AREA_VARIANTS(thp, BACK_THP, CHARGED);

FIXTURE_SETUP(area)
{
}

FIXTURE_TEARDOWN(area)
{
	struct failure failure = {};
	struct memcg root = { .path = CGROUP };

	area_close(&self->area);
	memcg_enter(&root, &failure);
}

/* What is charged comes in batches of a CPU, and page tables come with it. */
static bool about(long long have, long long want)
{
	return llabs(have - want) <= want / 16 + 2 * (long long)PART;
}

TEST_F_TIMEOUT(area, charged, 240)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;
	long long before, after;
	struct memcg cg;
	size_t at;

	/* The buffer on the other side is charged elsewhere. */
	DO(lab, area_open(a, variant->backing, variant->side, variant->len));
	DO(lab, memcg_make(&cg, "owner", &lab->failure));
	DO(lab, memcg_enter(&cg, &lab->failure));
	before = memcg_get(&cg, "memory.current");
	ASSERT_LE(0, before);
	for (at = 0; at < CHARGED; at += PART) {
		struct rc_op op = area_op(a, PUSH, at, PART);

		DO(lab, lab_run(lab, &op));
	}
	after = memcg_get(&cg, "memory.current");
	TH_LOG("%lld KiB for %lu KiB", (after - before) >> 10, CHARGED >> 10);
	ASSERT_TRUE(about(after - before, CHARGED));
	/* And given back when they go. */
	ASSERT_EQ(0, madvise(a->odp.addr, CHARGED,
			     area_is_anon(a) ? MADV_DONTNEED : MADV_REMOVE));
	after = memcg_get(&cg, "memory.current");
	ASSERT_TRUE(about(after - before, 0))
		TH_LOG("%lld KiB stay", (after - before) >> 10);
}

TEST_HARNESS_MAIN
