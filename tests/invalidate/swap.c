// SPDX-License-Identifier: GPL-2.0
/*
 * Swap: what the device has written goes out and comes in again, as often as it
 * likes; pagemap tells that it was out.
 */
#include "area.h"

AREA_VARIANTS(anon, BACK_ANON, AREA_LEN);
AREA_VARIANTS(shmem, BACK_SHMEM, AREA_LEN);
AREA_VARIANTS(thp, BACK_THP, HUGE_SIZE);

FIXTURE_SETUP(area)
{
	struct area *a = &self->area;

	DO(&a->lab, area_open(a, variant->backing, variant->side,
			      variant->len));
	DO(&a->lab, swap_on(&a->lab.failure));
	area_tell(a);
}

FIXTURE_TEARDOWN(area)
{
	area_close(&self->area);
	swap_off();
}

static int out(struct area *a)
{
	return page_out(a->odp.addr, a->odp.len, &a->lab.failure);
}

/* In again, and written, by the CPU. */
static int out_and_told(struct area *a)
{
	int err = out(a);

	area_tell_part(a, 0, AREA_LEN / 2);
	return err;
}

static int out_and_read(struct area *a)
{
	return out(a) ?: area_check(a);
}

TEST_EVENT(out)
TEST_EVENT(out_and_told)
TEST_EVENT(out_and_read)

/*
 * A read brings a page in clean, with a copy on the disk; a write after that has
 * to make the copy worthless.
 */
TEST_F_TIMEOUT(area, read_in_then_written, 120)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;
	int i;

	for (i = 0; i < 3; i++) {
		DO(lab, out(a));
		DO(lab, area_move(a, PULL));
		DO(lab, area_move(a, PUSH));
		DO(lab, out(a));
		DO(lab, area_check(a));
	}
}

TEST_HARNESS_MAIN
