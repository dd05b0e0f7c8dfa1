// SPDX-License-Identifier: GPL-2.0
/*
 * Faults resolved with UFFDIO_ZEROPAGE: a page that all share is read, and
 * never written through.
 */
#include "kselftest_harness.h"
#include "lab.h"

#define PAGES	8

FIXTURE(zeropage)
{
	struct lab lab;
	struct mem *local, *remote;
	char *bystander;	/* maps the shared zero page as well */
	size_t len;
};

FIXTURE_SETUP(zeropage)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->local = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_new(lab, MEM_UFFD_ZERO, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
	self->len = PAGES * lab->page_size;
	self->bystander = mmap(NULL, self->len, PROT_READ,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->bystander);
}

FIXTURE_TEARDOWN(zeropage)
{
	lab_close(&self->lab);
	munmap(self->bystander, self->len);
}

static void check(struct __test_metadata *_metadata,
		  FIXTURE_DATA(zeropage) *self)
{
	struct lab *lab = &self->lab;
	size_t i;

	DO(lab, mem_check_messages(lab, self->remote, "remote", 0,
				   self->len, 1));
	DO(lab, mem_check(lab, self->local, "local"));
	DO(lab, mem_check(lab, self->remote, "remote"));
	for (i = 0; i < self->len; i++)
		ASSERT_EQ(0, self->bystander[i]);
}

TEST_F(zeropage, read)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len));
	check(_metadata, self);
}

TEST_F(zeropage, write)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_write(lab, self->local, 50, self->remote, 50,
			  self->len - 100));
	check(_metadata, self);
}

TEST_F(zeropage, write_after_read)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len));
	memset(self->local->addr, 0x77, self->len);
	memset(self->local->image, 0x77, self->len);
	DO(lab, lab_write(lab, self->local, 50, self->remote, 50,
			  self->len - 100));
	check(_metadata, self);
}

TEST_HARNESS_MAIN
