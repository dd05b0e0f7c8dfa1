/* SPDX-License-Identifier: GPL-2.0 */
#ifndef UFFD_H
#define UFFD_H

#include <stddef.h>

#include "failure.h"

/*
 * Open a userfaultfd that also gets the faults of the kernel: an RDMA driver's
 * fault is one. Returns the descriptor (non-blocking) or a negative errno.
 */
int uffd_open(struct failure *failure);

/* Take over the absent pages of a range. */
int uffd_register(int uffd, void *base, size_t length,
		  struct failure *failure);

/* Leave them to the kernel again; whoever waits there goes on. */
int uffd_unregister(int uffd, void *base, size_t length);

/*
 * Put one page in place and wake who waits for it; 0 or a negative errno:
 * -EEXIST if it is there already, -ENOENT if the range is not mapped so any
 * more.
 */
int uffd_copy(int uffd, void *address, const void *content, size_t length);
int uffd_zeropage(int uffd, void *address, size_t length);

/* Let who waits for the range look again. */
int uffd_wake(int uffd, void *address, size_t length);

#endif
