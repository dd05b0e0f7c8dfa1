// SPDX-License-Identifier: GPL-2.0
/*
 * RDMA READ and WRITE between all kinds of memory. Whatever moved, all of both
 * regions is compared, and how often each page was asked for.
 */
#include "rc_fixture.h"

/* lab_read() or lab_write() */
typedef int (*move_fn)(struct lab *lab, struct mem *local, size_t loff,
		       struct mem *remote, size_t roff, size_t len);

typedef int (*body_fn)(struct lab *lab, struct mem *local, struct mem *remote,
		       move_fn move);

/* Offsets and lengths, all within four pages of either side. */
static const struct {
	size_t loff, roff, len;
} ranges[] = {
	{ 0, 0, 1 },
	{ 1, 0, 1 },
	{ 0, 1, 1 },
	{ 4095, 4095, 1 },
	{ 4095, 0, 2 },
	{ 0, 4095, 2 },
	{ 4095, 4095, 2 },
	{ 100, 200, 3000 },
	{ 200, 100, 4096 },
	{ 0, 2048, 4096 },
	{ 2048, 0, 4096 },
	{ 1, 1, 4095 },
	{ 1, 1, 8191 },
	{ 4000, 96, 8192 },
	{ 3, 4093, 8192 },
	{ 17, 4079, 12301 },
	{ 4095, 1, 12288 },
	{ 5, 7, 16377 },
};

#define RANGE_PAGES	4
#define PAGES		16
#define MANY_PAGES	256

static int check(struct lab *lab, struct mem *local, struct mem *remote)
{
	return mem_check(lab, local, "local") ?:
	       mem_check(lab, remote, "remote");
}

static int check_messages(struct lab *lab, struct mem *local,
			  struct mem *remote, size_t offset, size_t len)
{
	return mem_check_messages(lab, local, "local", offset, len, 1) ?:
	       mem_check_messages(lab, remote, "remote", offset, len, 1);
}

/* Every other page, so that the ones between show what strays. */
static int page_by_page(struct lab *lab, struct mem *local, struct mem *remote,
			move_fn move)
{
	size_t size = lab->page_size;
	size_t i;
	int err;

	for (i = 0; i < PAGES / 2; i++) {
		err = move(lab, local, i * size, remote, i * size, size) ?:
		      check_messages(lab, local, remote, 0, (i + 1) * size);
		if (err)
			return err;
	}
	return check(lab, local, remote);
}

static int one_request(struct lab *lab, struct mem *local, struct mem *remote,
		       move_fn move)
{
	return move(lab, local, 0, remote, 0, remote->len) ?:
	       check_messages(lab, local, remote, 0, remote->len) ?:
	       check(lab, local, remote);
}

static int unaligned(struct lab *lab, struct mem *local, struct mem *remote,
		     move_fn move)
{
	size_t i, base;
	int err;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		base = i * RANGE_PAGES * lab->page_size;
		err = move(lab, local, base + ranges[i].loff,
			   remote, base + ranges[i].roff, ranges[i].len);
		if (err)
			return err;
	}
	return check(lab, local, remote);
}

/* What was supplied once is not asked for again, by either direction. */
static int again(struct lab *lab, struct mem *local, struct mem *remote,
		 move_fn move)
{
	size_t len = PAGES / 2 * lab->page_size;
	int i, err;

	for (i = 0; i < 3; i++) {
		err = move(lab, local, 0, remote, 0, len) ?:
		      check_messages(lab, local, remote, 0, len);
		if (err)
			return err;
	}
	return lab_write(lab, local, 0, remote, 0, len) ?:
	       lab_read(lab, local, 0, remote, 0, len) ?:
	       check_messages(lab, local, remote, 0, len) ?:
	       check(lab, local, remote);
}

/* Pages that the CPU brought in before are simply there. */
static int touched_before(struct lab *lab, struct mem *local,
			  struct mem *remote, move_fn move)
{
	size_t len = PAGES / 2 * lab->page_size;
	size_t i;

	for (i = 0; i < len; i += lab->page_size) {
		*(volatile char *)(local->addr + i);
		*(volatile char *)(remote->addr + i);
	}
	return check_messages(lab, local, remote, 0, len) ?:
	       move(lab, local, 0, remote, 0, len) ?:
	       check_messages(lab, local, remote, 0, len) ?:
	       check(lab, local, remote);
}

static int run(struct lab *lab, enum mem_kind local_kind,
	       enum mem_kind remote_kind, size_t pages, move_fn move,
	       body_fn body)
{
	struct mem *local, *remote;

	local = mem_new(lab, local_kind, pages, ACCESS_ALL);
	remote = mem_new(lab, remote_kind, pages, ACCESS_ALL);
	if (!local || !remote)
		return -1;
	return body(lab, local, remote, move);
}

#define TEST_BOTH(name, pages) \
	TEST_F(rc, read_##name) \
	{ \
		DO(&self->lab, run(&self->lab, variant->local, \
				   variant->remote, pages, lab_read, name)); \
	} \
	TEST_F(rc, write_##name) \
	{ \
		DO(&self->lab, run(&self->lab, variant->local, \
				   variant->remote, pages, lab_write, name)); \
	}

TEST_BOTH(page_by_page, PAGES)
TEST_BOTH(one_request, MANY_PAGES)
TEST_BOTH(unaligned, RANGE_PAGES * ARRAY_SIZE(ranges))
TEST_BOTH(again, PAGES)
TEST_BOTH(touched_before, PAGES)

TEST_HARNESS_MAIN
