// SPDX-License-Identifier: GPL-2.0
/* The thread that reads a region's userfaultfd and resolves its faults. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "matrix.h"
#include "uffd.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void handler_lock(void)
{
	pthread_mutex_lock(&lock);
}

void handler_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

int uffd_protect(int uffd, void *addr, size_t len, bool protect)
{
	struct uffdio_writeprotect arg = {
		.range = { .start = (uintptr_t)addr, .len = len },
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	while (ioctl(uffd, UFFDIO_WRITEPROTECT, &arg))
		if (errno != EAGAIN)
			return -errno;
	return 0;
}

static int uffd_continue(int uffd, void *addr, size_t len)
{
	struct uffdio_continue arg = {
		.range = { .start = (uintptr_t)addr, .len = len },
	};

	while (ioctl(uffd, UFFDIO_CONTINUE, &arg))
		if (errno != EAGAIN)
			return -errno;
	return 0;
}

static int uffd_poison(int uffd, void *addr, size_t len)
{
	struct uffdio_poison arg = {
		.range = { .start = (uintptr_t)addr, .len = len },
	};

	while (ioctl(uffd, UFFDIO_POISON, &arg))
		if (errno != EAGAIN)
			return -errno;
	return 0;
}

static int uffd_move(int uffd, void *to, void *from, size_t len)
{
	struct uffdio_move arg = {
		.dst = (uintptr_t)to,
		.src = (uintptr_t)from,
		.len = len,
	};

	/* EBUSY: somebody holds the page for a moment. */
	while (ioctl(uffd, UFFDIO_MOVE, &arg))
		if (errno != EAGAIN && errno != EBUSY)
			return -errno;
	return 0;
}

int handler_resolve(struct region *region, int uffd, size_t page)
{
	struct handler *handler = region->handler;
	size_t size = region->page_size;
	char *addr = handler->base + page * size;
	char *bytes = region->supply + page * size;
	int err;

	if (region->poisoned[page])
		return uffd_poison(uffd, addr, size);
	switch (region->kind.mode) {
	case MINOR:
		err = uffd_continue(uffd, addr, size);
		break;
	case WP:
		return uffd_protect(uffd, addr, size, false);
	default:
		switch (region->kind.resolution) {
		case ZEROPAGE:
			err = uffd_zeropage(uffd, addr, size);
			break;
		case MOVE:
			memcpy(handler->staging, bytes, size);
			err = uffd_move(uffd, addr, handler->staging, size);
			break;
		default:
			err = uffd_copy(uffd, addr, bytes, size);
			break;
		}
		break;
	}
	/* There already, or no longer to be there: let it be looked at again. */
	if (err == -EEXIST || err == -ENOENT)
		err = uffd_wake(uffd, addr, size);
	return err;
}

/* Number and resolve. */
static int take_fault(struct handler *handler, const struct uffd_msg *msg)
{
	struct region *region = handler->region;
	uint64_t offset = msg->arg.pagefault.address - (uintptr_t)handler->base;
	size_t page = offset / region->page_size;

	if (offset >= region->len)
		return -ERANGE;
	handler_lock();
	handler->messages[page]++;
	handler->flags[page] |= msg->arg.pagefault.flags;
	handler->thread_id = msg->arg.pagefault.feat.ptid;
	handler_unlock();
	return handler_resolve(region, handler->uffd, page);
}

static int take(struct handler *handler, const struct uffd_msg *msg)
{
	int event = msg->event;

	if (event == UFFD_EVENT_PAGEFAULT)
		return take_fault(handler, msg);
	if (event >= (int)ARRAY_SIZE(handler->events))
		return -EPROTO;
	handler_lock();
	handler->events[event]++;
	switch (event) {
	case UFFD_EVENT_FORK:
		handler->child_uffd = msg->arg.fork.ufd;
		break;
	case UFFD_EVENT_REMAP:
		handler->from = msg->arg.remap.from;
		handler->to = msg->arg.remap.to;
		handler->length = msg->arg.remap.len;
		handler->base = (char *)(uintptr_t)msg->arg.remap.to;
		break;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		handler->from = msg->arg.remove.start;
		handler->to = msg->arg.remove.end;
		break;
	}
	handler_unlock();
	return 0;
}

/* Nobody may be left waiting for a handler that has failed. */
static void give_up(struct handler *handler, int error)
{
	struct uffdio_range all = {
		.start = (uintptr_t)handler->base,
		.len = handler->region->len,
	};

	handler_lock();
	if (!handler->error)
		handler->error = error;
	handler_unlock();
	ioctl(handler->uffd, UFFDIO_UNREGISTER, &all);
}

static void *run(void *arg)
{
	struct handler *handler = arg;
	struct pollfd fds[] = {
		{ .fd = handler->stop_fd, .events = POLLIN },
		{ .fd = handler->uffd, .events = POLLIN },
	};
	struct uffd_msg msg;
	ssize_t n;
	int err;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR) {
			give_up(handler, -errno);
			return NULL;
		}
		if (fds[0].revents)
			return NULL;
		n = read(handler->uffd, &msg, sizeof(msg));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		err = n == sizeof(msg) ? take(handler, &msg) : -errno ?: -EIO;
		if (err) {
			give_up(handler, err);
			return NULL;
		}
	}
}

unsigned int handler_events(struct handler *handler, int event)
{
	uint64_t deadline = now_ns() +
			    handler->region->cell->worker->patience_ns;
	unsigned int n;

	for (;;) {
		handler_lock();
		n = handler->events[event];
		handler_unlock();
		if (n || now_ns() > deadline)
			return n;
		usleep(500);
	}
}

static uint64_t features_of(const struct region *region)
{
	uint64_t features = region->features;

	switch (region->kind.mode) {
	case MISSING:
		if (region->kind.backing == SHMEM)
			features |= UFFD_FEATURE_MISSING_SHMEM;
		if (region->kind.backing == HUGETLB)
			features |= UFFD_FEATURE_MISSING_HUGETLBFS;
		break;
	case MINOR:
		features |= region->kind.backing == SHMEM ?
			    UFFD_FEATURE_MINOR_SHMEM :
			    UFFD_FEATURE_MINOR_HUGETLBFS;
		break;
	case WP:
	case WP_ASYNC:
		features |= UFFD_FEATURE_PAGEFAULT_FLAG_WP;
		if (region->kind.backing != ANON)
			features |= UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
		if (region->kind.mode == WP_ASYNC)
			features |= UFFD_FEATURE_WP_ASYNC;
		break;
	default:
		break;
	}
	if (region->kind.resolution == MOVE)
		features |= UFFD_FEATURE_MOVE;
	if (region->kind.resolution == POISON)
		features |= UFFD_FEATURE_POISON;
	return features;
}

static int open_uffd(struct region *region)
{
	static const uint64_t modes[] = {
		[MISSING] = UFFDIO_REGISTER_MODE_MISSING,
		[MINOR] = UFFDIO_REGISTER_MODE_MINOR,
		[WP] = UFFDIO_REGISTER_MODE_WP,
		[WP_ASYNC] = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = features_of(region),
	};
	struct uffdio_register arg = {
		.range = { .start = (uintptr_t)region->map, .len = region->len },
		.mode = modes[region->kind.mode],
	};
	struct failure *failure = region->cell->failure;
	int flags = O_CLOEXEC | O_NONBLOCK;
	int uffd;

	if (region->user_mode_only)
		flags |= UFFD_USER_MODE_ONLY;
	uffd = syscall(SYS_userfaultfd, flags);
	if (uffd < 0)
		return fail(failure, errno, "cannot create a userfaultfd");
	region->handler->uffd = uffd;
	if (ioctl(uffd, UFFDIO_API, &api))
		return fail(failure, errno,
			    "the kernel refuses userfaultfd features %#llx",
			    (unsigned long long)api.features);
	if (ioctl(uffd, UFFDIO_REGISTER, &arg))
		return fail(failure, errno,
			    "cannot register memory with userfaultfd");
	return 0;
}

int handler_start(struct region *region)
{
	struct failure *failure = region->cell->failure;
	struct handler *handler;
	pthread_t thread;
	int err;

	handler = calloc(1, sizeof(*handler));
	if (!handler)
		return fail(failure, ENOMEM, "no memory");
	region->handler = handler;
	handler->region = region;
	handler->uffd = -1;
	handler->stop_fd = -1;
	handler->child_uffd = -1;
	handler->base = region->map;
	handler->staging = MAP_FAILED;
	handler->messages = calloc(region->pages, sizeof(unsigned int));
	handler->flags = calloc(region->pages, sizeof(unsigned int));
	handler->noted = calloc(region->pages, sizeof(*handler->noted));
	handler->quiet = calloc(region->pages, sizeof(*handler->quiet));
	if (!handler->messages || !handler->flags || !handler->noted ||
	    !handler->quiet)
		return fail(failure, ENOMEM, "no memory");
	if (region->kind.resolution == MOVE) {
		handler->staging = mmap(NULL, region->page_size,
					PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (handler->staging == MAP_FAILED)
			return fail(failure, errno, "cannot map memory");
	}
	err = open_uffd(region);
	if (err)
		return err;
	handler->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (handler->stop_fd < 0)
		return fail(failure, errno, "cannot create an eventfd");
	err = pthread_create(&thread, NULL, run, handler);
	if (err)
		return fail(failure, err, "cannot start a thread");
	handler->thread = thread;
	handler->thread_started = 1;
	return 0;
}

void handler_stop(struct handler *handler)
{
	uint64_t one = 1;

	if (!handler)
		return;
	if (handler->thread_started) {
		while (write(handler->stop_fd, &one, sizeof(one)) < 0 &&
		       errno == EINTR)
			;
		pthread_join(handler->thread, NULL);
	}
	/* What still waits ends with the descriptor. */
	if (handler->uffd >= 0)
		close(handler->uffd);
	if (handler->child_uffd >= 0)
		close(handler->child_uffd);
	if (handler->stop_fd >= 0)
		close(handler->stop_fd);
	if (handler->staging != MAP_FAILED)
		munmap(handler->staging, handler->region->page_size);
	free(handler->messages);
	free(handler->flags);
	free(handler->noted);
	free(handler->quiet);
	free(handler);
}
