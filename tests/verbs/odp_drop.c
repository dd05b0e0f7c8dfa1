// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that are thrown away while the device has seen them (MADV_DONTNEED,
 * for shmem MADV_REMOVE): the next access finds what is there by then.
 */
#include "odp_fixture.h"

/* A kind without a page source has zeros in a page that was thrown away. */
static int drop(struct lab *lab, struct mem *mem, size_t first, size_t pages)
{
	int err = mem_drop(lab, mem, first, pages);

	if (!mem_is_uffd(mem))
		memset(mem->image + first * lab->page_size, 0,
		       pages * lab->page_size);
	return err;
}

TEST_F(odp, read_again)
{
	struct lab *lab = &self->lab;
	int i;

	for (i = 0; i < 3; i++) {
		DO(lab, lab_read(lab, self->local, 0, self->remote, 0,
				 self->len));
		DO(lab, mem_check_messages(lab, self->remote, "remote", 0,
					   self->len, i + 1));
		CHECK_BYTES();
		DO(lab, drop(lab, self->remote, 0, PAGES));
	}
}

TEST_F(odp, read_some_again)
{
	struct lab *lab = &self->lab;
	size_t size = self->page_size;
	unsigned int messages = mem_is_uffd(self->remote) ? PAGES : 0;

	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len));
	DO(lab, drop(lab, self->remote, 5, 3));
	DO(lab, lab_read(lab, self->local, 100, self->remote, 100,
			 self->len - 200));
	if (messages)
		messages += 3;
	ASSERT_EQ(messages, mem_messages(self->remote));
	DO(lab, lab_read(lab, self->local, 4 * size, self->remote, 4 * size,
			 5 * size));
	ASSERT_EQ(messages, mem_messages(self->remote));
	CHECK_BYTES();
}

TEST_F(odp, write_again)
{
	struct lab *lab = &self->lab;
	size_t size = self->page_size;

	DO(lab, lab_write(lab, self->local, 0, self->remote, 0, self->len));
	CHECK_BYTES();
	DO(lab, drop(lab, self->remote, 2, 6));
	/* Pages 2 and 7 keep bytes of the new pattern, 3 to 6 keep none. */
	DO(lab, lab_write(lab, self->local, 2 * size + 9, self->remote,
			  2 * size + 9, 6 * size - 20));
	CHECK_BYTES();
}

TEST_F(odp, write_after_read)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_read(lab, self->local, 0, self->remote, 0, self->len));
	DO(lab, drop(lab, self->remote, 0, PAGES));
	DO(lab, lab_write(lab, self->local, 1, self->remote, 1,
			  self->len - 2));
	CHECK_BYTES();
}

TEST_HARNESS_MAIN
