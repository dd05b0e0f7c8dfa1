/* SPDX-License-Identifier: GPL-2.0 */
#ifndef WP_H
#define WP_H

/* Write protection through userfaultfd. */

#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "failure.h"

static inline int wp_open(uint64_t features, struct failure *failure)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int uffd;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0)
		return fail(failure, errno, "cannot create a userfaultfd");
	if (!ioctl(uffd, UFFDIO_API, &api))
		return uffd;
	fail(failure, errno, "userfaultfd: no features %#lx", features);
	close(uffd);
	return -EIO;
}

static inline int wp_register(int uffd, void *addr, size_t len,
			      struct failure *failure)
{
	struct uffdio_register arg = {
		.range = { .start = (uintptr_t)addr, .len = len },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (ioctl(uffd, UFFDIO_REGISTER, &arg))
		return fail(failure, errno,
			    "userfaultfd: cannot register for write protection");
	return 0;
}

/* Protect a range, or unprotect it and wake who waits to write. */
static inline int wp_protect(int uffd, void *addr, size_t len, bool protect,
			     struct failure *failure)
{
	struct uffdio_writeprotect arg = {
		.range = { .start = (uintptr_t)addr, .len = len },
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	while (ioctl(uffd, UFFDIO_WRITEPROTECT, &arg))
		if (errno != EAGAIN)
			return fail(failure, errno, "UFFDIO_WRITEPROTECT");
	return 0;
}

#endif
