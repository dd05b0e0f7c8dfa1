/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RC_FIXTURE_H
#define RC_FIXTURE_H

/*
 * A connection, and what the memory is like on either side of it: each test
 * of the fixture runs once for each combination, the first two of which are
 * controls without userfaultfd.
 */

#include "kselftest_harness.h"
#include "lab.h"

FIXTURE(rc)
{
	struct lab lab;
};

FIXTURE_VARIANT(rc)
{
	enum mem_kind local, remote;
};

FIXTURE_VARIANT_ADD(rc, pinned)
{
	.local = MEM_PINNED,
	.remote = MEM_PINNED,
};

FIXTURE_VARIANT_ADD(rc, resident)
{
	.local = MEM_RESIDENT,
	.remote = MEM_RESIDENT,
};

FIXTURE_VARIANT_ADD(rc, uffd_remote)
{
	.local = MEM_PINNED,
	.remote = MEM_UFFD,
};

FIXTURE_VARIANT_ADD(rc, uffd_local)
{
	.local = MEM_UFFD,
	.remote = MEM_PINNED,
};

FIXTURE_VARIANT_ADD(rc, uffd_both)
{
	.local = MEM_UFFD,
	.remote = MEM_UFFD,
};

FIXTURE_VARIANT_ADD(rc, uffd_shmem_both)
{
	.local = MEM_UFFD_SHMEM,
	.remote = MEM_UFFD_SHMEM,
};

FIXTURE_SETUP(rc)
{
	DO(&self->lab, lab_open(&self->lab));
}

FIXTURE_TEARDOWN(rc)
{
	lab_close(&self->lab);
}

/* A region of either side, or the end of the test. */
#define NEW_MEM(mem, kind, pages) do { \
	mem = mem_new(&self->lab, kind, pages, ACCESS_ALL); \
	ASSERT_NE(NULL, mem) TH_LOG("%s", self->lab.failure.text); \
} while (0)

#endif
