/* SPDX-License-Identifier: GPL-2.0 */
#ifndef ODP_FIXTURE_H
#define ODP_FIXTURE_H

/*
 * A pinned buffer here, a region with on-demand paging on the other side.
 */

#include "kselftest_harness.h"
#include "lab.h"

#define PAGES	16

FIXTURE(odp)
{
	struct lab lab;
	struct mem *local, *remote;
	size_t page_size, len;
};

FIXTURE_VARIANT(odp)
{
	enum mem_kind remote;
};

FIXTURE_VARIANT_ADD(odp, resident)
{
	.remote = MEM_RESIDENT,
};

FIXTURE_VARIANT_ADD(odp, uffd)
{
	.remote = MEM_UFFD,
};

FIXTURE_VARIANT_ADD(odp, uffd_shmem)
{
	.remote = MEM_UFFD_SHMEM,
};

FIXTURE_SETUP(odp)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->page_size = lab->page_size;
	self->len = PAGES * lab->page_size;
	self->local = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_new(lab, variant->remote, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
}

FIXTURE_TEARDOWN(odp)
{
	lab_close(&self->lab);
}

#define CHECK_BYTES() do { \
	DO(&self->lab, mem_check(&self->lab, self->local, "local")); \
	DO(&self->lab, mem_check(&self->lab, self->remote, "remote")); \
} while (0)

#endif
