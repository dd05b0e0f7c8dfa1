// SPDX-License-Identifier: GPL-2.0
/*
 * Permissions that a mapping loses and gets back, and mappings that go away,
 * while the device has them in its table: an access ends in the error of its
 * side, moves nothing, and a new connection finds all else in order.
 */
#include "area.h"

AREA_VARIANTS(anon, BACK_ANON, AREA_LEN);
AREA_VARIANTS(shmem, BACK_SHMEM, AREA_LEN);
AREA_VARIANTS(private, BACK_PRIVATE, AREA_LEN);
AREA_VARIANTS(hugetlb, BACK_HUGETLB, 2 * HUGE_SIZE);
AREA_SETUP(false)

static int protect(struct area *a, int prot)
{
	if (mprotect(a->odp.addr, a->odp.len, prot))
		return fail(&a->lab.failure, errno, "mprotect()");
	return 0;
}

#define LAST_PAGE(a)	((a)->odp.len - (a)->lab.page_size)

static int read_only(struct area *a)
{
	size_t size = a->lab.page_size;

	return protect(a, PROT_READ) ?:
	       area_refused(a, PUSH, 0, size) ?:
	       area_move(a, PULL) ?:
	       area_refused(a, PUSH, LAST_PAGE(a), size) ?:
	       area_check(a) ?:
	       protect(a, PROT_READ | PROT_WRITE);
}

static int none(struct area *a)
{
	size_t size = a->lab.page_size;

	return protect(a, PROT_NONE) ?:
	       area_refused(a, PULL, 0, size) ?:
	       area_refused(a, PUSH, LAST_PAGE(a), size) ?:
	       protect(a, PROT_READ) ?:
	       area_move(a, PULL) ?:
	       area_refused(a, PUSH, 0, size) ?:
	       area_check(a) ?:
	       protect(a, PROT_READ | PROT_WRITE);
}

/* For a moment only, and told something new after it. */
static int none_and_back(struct area *a)
{
	int err = protect(a, PROT_NONE) ?: protect(a, PROT_READ | PROT_WRITE);

	area_tell_part(a, 0, a->lab.page_size);
	return err;
}

TEST_EVENT(read_only)
TEST_EVENT(none)
TEST_EVENT(none_and_back)

/*
 * A transfer that runs from what may be written into what may not: as much of it
 * as was written is the beginning, and nothing has changed behind the border.
 */
TEST_F(area, into_read_only)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;
	size_t border = a->odp.len / 2, size = lab->page_size;
	size_t from = border - 4 * size, done = from;

	DO(lab, area_push_check(a, from, 8 * size));
	ASSERT_EQ(0, mprotect(a->odp.addr + border, border, PROT_READ));
	DO(lab, area_refused(a, PUSH, from, 8 * size));
	while (done < border && a->odp.addr[done] == a->buf->image[done])
		done++;
	mem_expect(&a->odp, from, a->buf->image + from, done - from);
	DO(lab, area_check(a));
	DO(lab, area_push_check(a, from, 4 * size));
	DO(lab, area_pull(a, from, 8 * size));
}

/* Nothing is mapped, for either way, and then everything is again. */
TEST_F(area, unmapped)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;
	size_t size = lab->page_size;

	DO(lab, area_move(a, PUSH));
	ASSERT_EQ(0, munmap(a->odp.addr, a->odp.len));
	DO(lab, area_refused(a, PULL, 0, size));
	DO(lab, area_refused(a, PUSH, LAST_PAGE(a), size));
	ASSERT_EQ(a->odp.addr,
		  area_map_at(a, a->odp.addr, PROT_READ | PROT_WRITE));
	area_tell(a);
	DO(lab, area_move(a, PULL));
	DO(lab, area_move(a, PUSH));
	DO(lab, area_check(a));
}

TEST_HARNESS_MAIN
