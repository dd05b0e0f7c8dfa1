// SPDX-License-Identifier: GPL-2.0
/*
 * What the device writes is dirty: a page that the page table has as clean, as
 * after MADV_FREE or when a read brought it in, is not dropped once the device
 * has written to it.
 */
#include "area.h"

#define DROP_CACHES	"/proc/sys/vm/drop_caches"

AREA_VARIANT(remote, BACK_ANON, SIDE_REMOTE, AREA_LEN);
AREA_VARIANT(local, BACK_ANON, SIDE_LOCAL, AREA_LEN);

FIXTURE_SETUP(area)
{
	/* Each test maps what it needs. */
	self->area.side = variant->side;
	ASSERT_EQ(AREA_LEN, variant->len);
	ASSERT_EQ(BACK_ANON, variant->backing);
}

FIXTURE_TEARDOWN(area)
{
	area_close(&self->area);
	swap_off();
}

/* A page that is not on an LRU list is cleaned, but not marked for reclaim. */
static int lazy_free(struct area *a)
{
	drain_lru(a->odp.addr);
	if (madvise(a->odp.addr, a->odp.len, MADV_FREE))
		return fail(&a->lab.failure, errno, "MADV_FREE");
	return 0;
}

/* The device writes before the page is reclaimed. */
static int free_then_push(struct area *a)
{
	return lazy_free(a) ?: area_push(a, 0, a->odp.len);
}

/* Pages that are only lazily free need no swap to be dropped. */
static int reclaim(struct area *a)
{
	int i;

	for (i = 0; i < 3; i++) {
		drain_lru(a->odp.addr);
		if (madvise(a->odp.addr, a->odp.len, MADV_PAGEOUT))
			return fail(&a->lab.failure, errno, "MADV_PAGEOUT");
	}
	return 0;
}

/* The control: without a write they go, so the test can fail. */
TEST_F(area, madv_free_unwritten)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;

	DO(lab, area_open(a, BACK_ANON, variant->side, AREA_LEN));
	DO(lab, area_push_check(a, 0, AREA_LEN));
	DO(lab, lazy_free(a));
	DO(lab, area_pull(a, 0, AREA_LEN));
	DO(lab, reclaim(a));
	ASSERT_EQ(0, pagemap_count(a->odp.addr, AREA_LEN, PM_PRESENT));
	memset(a->odp.image, 0, AREA_LEN);
	DO(lab, area_pull(a, 0, AREA_LEN));
	DO(lab, area_push_check(a, 0, AREA_LEN));
}

/* The device knows the pages before, or it does not. */
TEST_F(area, madv_free)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;

	DO(lab, area_open(a, BACK_ANON, variant->side, AREA_LEN));
	area_tell(a);
	DO(lab, free_then_push(a));
	DO(lab, reclaim(a));
	DO(lab, area_check(a));
	DO(lab, free_then_push(a));
	DO(lab, reclaim(a));
	DO(lab, area_check(a));
	DO(lab, area_pull(a, 0, AREA_LEN));
}

/* It has read them first: they are in its table, and were writable there. */
TEST_F(area, madv_free_read)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;

	DO(lab, area_open(a, BACK_ANON, variant->side, AREA_LEN));
	area_tell(a);
	DO(lab, lazy_free(a));
	DO(lab, area_pull(a, 0, AREA_LEN));
	DO(lab, area_push(a, 0, AREA_LEN));
	DO(lab, reclaim(a));
	DO(lab, area_check(a));
}

/* With swap: the page that was written after MADV_FREE is swapped out. */
TEST_F(area, madv_free_swapped)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;

	DO(lab, area_open(a, BACK_ANON, variant->side, AREA_LEN));
	DO(lab, swap_on(&lab->failure));
	area_tell(a);
	DO(lab, free_then_push(a));
	DO(lab, page_out(a->odp.addr, AREA_LEN, &lab->failure));
	ASSERT_EQ(AREA_PAGES,
		  pagemap_count(a->odp.addr, AREA_LEN, PM_SWAPPED));
	DO(lab, area_check(a));
}

TEST_F(area, madv_free_thp)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;
	size_t at, size = getpagesize();

	DO(lab, area_open(a, BACK_THP, variant->side, 2 * HUGE_SIZE));
	area_tell(a);
	ASSERT_TRUE(is_huge(a->odp.addr));
	DO(lab, lazy_free(a));
	DO(lab, area_push(a, 0, size));
	DO(lab, area_push(a, a->odp.len - size, size));
	DO(lab, reclaim(a));
	/* A page that was not written may be there or gone. */
	for (at = size; at < a->odp.len - size; at += size)
		if (!a->odp.addr[at] && !a->odp.addr[at + 1])
			memset(a->odp.image + at, 0, size);
	DO(lab, area_check(a));
}

/* A hole in shared memory that a read has filled with a clean page of zeros. */
TEST_F(area, shmem_hole_read)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;

	DO(lab, area_open(a, BACK_SHMEM, variant->side, AREA_LEN));
	DO(lab, swap_on(&lab->failure));
	DO(lab, area_pull(a, 0, AREA_LEN));
	DO(lab, area_push(a, 0, AREA_LEN));
	DO(lab, page_out(a->odp.addr, AREA_LEN, &lab->failure));
	DO(lab, area_check(a));
}

/* --- a file on a disk */

/* From the disk, and not from what is in memory of it. */
static int check_file(struct area *a)
{
	struct failure *failure = &a->lab.failure;
	char *copy = malloc(a->odp.len);
	size_t at;
	int err;

	/* No pages in use: the file system reads all of it again. */
	if (madvise(a->odp.addr, a->odp.len, MADV_DONTNEED))
		return fail(failure, errno, "MADV_DONTNEED");
	err = set_knob(DROP_CACHES, "3", failure);
	if (err)
		return err;
	if (pread(a->odp.memfd, copy, a->odp.len, 0) != (ssize_t)a->odp.len)
		err = fail(failure, errno, "cannot read the file");
	else if (!bytes_equal(a->odp.image, copy, a->odp.len, &at))
		err = fail(failure, 0, "byte %zu is %#x in the file, and not %#x",
			   at, (unsigned char)copy[at],
			   (unsigned char)a->odp.image[at]);
	free(copy);
	return err;
}

static int write_back(struct area *a, int flags)
{
	if (msync(a->odp.addr, a->odp.len, flags))
		return fail(&a->lab.failure, errno, "msync()");
	sync();
	return 0;
}

/* Read first or not, before and after writeback has cleaned the pages. */
TEST_F(area, ext4)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;

	DO(lab, area_map_file(a, variant->side, AREA_LEN, "/tmp/area"));
	DO(lab, area_register(a, ACCESS_ALL));
	DO(lab, area_push(a, 0, AREA_LEN));
	DO(lab, write_back(a, MS_SYNC));
	DO(lab, area_push(a, 0, AREA_LEN));
	DO(lab, write_back(a, MS_ASYNC));
	DO(lab, check_file(a));
	DO(lab, area_pull(a, 0, AREA_LEN));
	DO(lab, area_push(a, 0, AREA_LEN));
	DO(lab, write_back(a, MS_SYNC));
	DO(lab, check_file(a));
	DO(lab, area_pull(a, 0, AREA_LEN));
}

/* Reclaim writes back by itself what nobody has asked it to. */
TEST_F(area, ext4_reclaimed)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;
	int i;

	DO(lab, area_map_file(a, variant->side, AREA_LEN, "/tmp/area"));
	DO(lab, area_register(a, ACCESS_ALL));
	for (i = 0; i < 3; i++) {
		DO(lab, area_pull(a, 0, AREA_LEN));
		DO(lab, area_push(a, 0, AREA_LEN));
		DO(lab, reclaim(a));
		DO(lab, area_pull(a, 0, AREA_LEN));
		DO(lab, write_back(a, MS_SYNC));
		DO(lab, check_file(a));
	}
}

TEST_HARNESS_MAIN
