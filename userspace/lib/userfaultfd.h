/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
#ifndef UFFDMR_USERFAULTFD_H
#define UFFDMR_USERFAULTFD_H

#include <stdint.h>

/*
 * A userfaultfd with these features, which also gets the faults of the kernel: an
 * RDMA driver's is one. Returns it (non-blocking), or -1, errno and what
 * uffdmr_error() says.
 */
int uffd_new(uint64_t features);

#endif
