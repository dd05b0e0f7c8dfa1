// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uffd.h"

/* The device file grants by its permissions what the system call may refuse. */
static int open_device(void)
{
	int device, uffd;

	device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -errno;
	uffd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0)
		uffd = -errno;
	close(device);
	return uffd;
}

int uffd_open(struct failure *failure)
{
	struct uffdio_api api = { .api = UFFD_API };
	int uffd, err;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0) {
		err = errno;
		uffd = open_device();
		if (uffd < 0 && err == EPERM)
			return fail(failure, err,
				    "no permission for userfaultfd: set vm.unprivileged_userfaultfd=1, or grant access to /dev/userfaultfd, or run with CAP_SYS_PTRACE (UFFD_USER_MODE_ONLY would not do: an RDMA fault comes from the kernel)");
		if (uffd < 0)
			return fail(failure, err,
				    "cannot create a userfaultfd");
	}
	if (ioctl(uffd, UFFDIO_API, &api)) {
		err = errno;
		close(uffd);
		return fail(failure, err, "userfaultfd: API handshake");
	}
	return uffd;
}

int uffd_register(int uffd, void *base, size_t length,
		  struct failure *failure)
{
	struct uffdio_register arg = {
		.range = { .start = (uintptr_t)base, .len = length },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (ioctl(uffd, UFFDIO_REGISTER, &arg))
		return fail(failure, errno,
			    "userfaultfd: cannot register the region");
	return 0;
}

int uffd_unregister(int uffd, void *base, size_t length)
{
	struct uffdio_range arg = {
		.start = (uintptr_t)base,
		.len = length,
	};

	return ioctl(uffd, UFFDIO_UNREGISTER, &arg) ? -errno : 0;
}

int uffd_copy(int uffd, void *address, const void *content, size_t length)
{
	struct uffdio_copy arg = {
		.dst = (uintptr_t)address,
		.src = (uintptr_t)content,
		.len = length,
	};

	/* EAGAIN: another thread is changing the address space right now. */
	while (ioctl(uffd, UFFDIO_COPY, &arg)) {
		if (errno != EAGAIN)
			return -errno;
		arg.copy = 0;
	}
	return 0;
}

int uffd_zeropage(int uffd, void *address, size_t length)
{
	struct uffdio_zeropage arg = {
		.range = { .start = (uintptr_t)address, .len = length },
	};

	while (ioctl(uffd, UFFDIO_ZEROPAGE, &arg)) {
		if (errno != EAGAIN)
			return -errno;
		arg.zeropage = 0;
	}
	return 0;
}

int uffd_wake(int uffd, void *address, size_t length)
{
	struct uffdio_range arg = {
		.start = (uintptr_t)address,
		.len = length,
	};

	return ioctl(uffd, UFFDIO_WAKE, &arg) ? -errno : 0;
}
