// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "uapi.h"
#include "userfaultfd.h"

static int open_any(void)
{
	int flags = O_CLOEXEC | O_NONBLOCK;
	int uffd = syscall(SYS_userfaultfd, flags);
	int err = errno, device;

	if (uffd >= 0)
		return uffd;
	/* The device file grants by its permissions what the call may refuse. */
	device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device >= 0) {
		uffd = ioctl(device, USERFAULTFD_IOC_NEW, flags);
		err = errno;
		close(device);
	}
	if (uffd >= 0)
		return uffd;
	if (err == EPERM)
		return uffdmr_set_error(err,
					"no userfaultfd: set vm.unprivileged_userfaultfd=1, or grant access to /dev/userfaultfd, or run with CAP_SYS_PTRACE (UFFD_USER_MODE_ONLY would not do: an RDMA fault comes from the kernel)");
	return uffdmr_set_error(err, "userfaultfd");
}

static int agree(int uffd, uint64_t features, uint64_t *has)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	if (ioctl(uffd, UFFDIO_API, &api))
		return uffdmr_set_error(errno, "UFFDIO_API");
	*has = api.features;
	return 0;
}

/* What is asked for in vain closes the door: it is found out on one of its own. */
static int check_features(uint64_t features)
{
	uint64_t missing = 0, has = 0;
	int uffd = open_any(), err;

	if (uffd < 0)
		return -1;
	err = agree(uffd, 0, &has);
	close(uffd);
	if (err)
		return err;
	missing = features & ~has;
	if (missing & UFFD_FEATURE_POISON)
		return uffdmr_set_error(EOPNOTSUPP,
					"this kernel cannot poison pages (Linux 6.6 can)");
	if (missing & UFFD_FEATURE_WP_ASYNC)
		return uffdmr_set_error(EOPNOTSUPP,
					"this kernel cannot track dirty pages (Linux 6.7 can)");
	if (missing)
		return uffdmr_set_error(EOPNOTSUPP,
					"userfaultfd lacks features %#" PRIx64,
					missing);
	return 0;
}

int uffd_new(uint64_t features)
{
	uint64_t has;
	int uffd, err;

	if (check_features(features))
		return -1;
	uffd = open_any();
	if (uffd < 0)
		return -1;
	if (agree(uffd, features, &has)) {
		err = errno;
		close(uffd);
		errno = err;
		return -1;
	}
	return uffd;
}
