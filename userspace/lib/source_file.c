// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * A file. With io_uring all extents of a fetch are read side by side, and a thread
 * supplies them as they come.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "thread.h"
#include "uffdmr.h"

#define ENTRIES		64	/* of the ring; the kernel takes more in turns */
#define ALIGNMENT	4096	/* of O_DIRECT, for all that is common */

struct file {
	struct uffdmr_source source;
	int fd;
	off_t offset;
	bool direct, uring;
	struct io_uring ring;
	pthread_mutex_t lock;	/* of the submission queue */
	pthread_t reaper;
};

/*
 * What is behind the end of the file is zero; a file that has become shorter looks
 * the same. Returns 0 or an errno.
 */
static int finish(struct file *file, struct uffdmr_extent *extent, size_t have)
{
	char *buffer = extent->buffer;

	while (have < extent->length) {
		ssize_t n = pread(file->fd, buffer + have, extent->length - have,
				  file->offset + extent->offset + have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (!n)
			break;
		have += n;
		/* O_DIRECT reads less than it was asked for at the end only. */
		if (file->direct && have % ALIGNMENT)
			break;
	}
	memset(buffer + have, 0, extent->length - have);
	return 0;
}

static void answer(struct file *file, struct uffdmr_extent *extent, int result)
{
	int err;

	/* Not now, not there: then here. */
	if (result == -EAGAIN || result == -EINTR)
		result = 0;
	err = result < 0 ? -result : 0;
	if (!err && (size_t)result < extent->length)
		err = finish(file, extent, result);
	if (err)
		uffdmr_fail(extent, err);
	else
		uffdmr_supply(extent, extent->buffer);
}

/* A completion without an extent is the end. */
static void *reap(void *arg)
{
	struct file *file = arg;
	struct uffdmr_extent *extent;
	struct io_uring_cqe *cqe;
	int result;

	for (;;) {
		if (io_uring_wait_cqe(&file->ring, &cqe))
			continue;
		extent = io_uring_cqe_get_data(cqe);
		result = cqe->res;
		io_uring_cqe_seen(&file->ring, cqe);
		if (!extent)
			return NULL;
		answer(file, extent, result);
	}
}

/* Until all are the kernel's: it may have no memory for some now. @lock is held. */
static void submit(struct file *file)
{
	while (io_uring_submit(&file->ring) < 0 ||
	       io_uring_sq_ready(&file->ring))
		usleep(1000);
}

/* @lock is held. */
static struct io_uring_sqe *get_sqe(struct file *file)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&file->ring)))
		submit(file);
	return sqe;
}

static void fetch_uring(struct file *file,
			struct uffdmr_extent *const *extents, size_t n)
{
	struct io_uring_sqe *sqe;
	size_t i;

	pthread_mutex_lock(&file->lock);
	for (i = 0; i < n; i++) {
		sqe = get_sqe(file);
		io_uring_prep_read(sqe, file->fd, extents[i]->buffer,
				   extents[i]->length,
				   file->offset + extents[i]->offset);
		io_uring_sqe_set_data(sqe, extents[i]);
	}
	submit(file);
	pthread_mutex_unlock(&file->lock);
}

static void fetch(struct uffdmr_source *source,
		  struct uffdmr_extent *const *extents, size_t n)
{
	struct file *file = (struct file *)source;
	size_t i;

	if (file->uring)
		fetch_uring(file, extents, n);
	else
		for (i = 0; i < n; i++)
			answer(file, extents[i], 0);
}

static int begin(struct uffdmr_source *source, void *buffers, size_t length)
{
	struct file *file = (struct file *)source;
	int err;

	(void)buffers;
	(void)length;
	/* ENOSYS, EPERM: it is not for us. */
	if (io_uring_queue_init(ENTRIES, &file->ring, 0))
		return 0;
	err = thread_start(&file->reaper, reap, file);
	if (err)
		io_uring_queue_exit(&file->ring);
	else
		file->uring = true;
	return err;
}

static void end(struct uffdmr_source *source)
{
	struct file *file = (struct file *)source;

	if (file->uring) {
		struct io_uring_sqe *sqe;

		pthread_mutex_lock(&file->lock);
		sqe = get_sqe(file);
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data(sqe, NULL);
		submit(file);
		pthread_mutex_unlock(&file->lock);
		pthread_join(file->reaper, NULL);
		io_uring_queue_exit(&file->ring);
	}
	pthread_mutex_destroy(&file->lock);
	close(file->fd);
	free(file);
}

struct uffdmr_source *uffdmr_file(const char *path, off_t offset,
				  unsigned int flags)
{
	bool direct = flags & UFFDMR_DIRECT;
	struct file *file;
	int fd;

	if (flags & ~UFFDMR_DIRECT || offset < 0 ||
	    (direct && offset % ALIGNMENT)) {
		uffdmr_set_error(EINVAL, "cannot read %s from %lld on", path,
				 (long long)offset);
		return NULL;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
	if (fd < 0) {
		uffdmr_set_error(errno, "cannot open %s", path);
		return NULL;
	}
	file = calloc(1, sizeof(*file));
	if (!file) {
		close(fd);
		uffdmr_set_error(ENOMEM, "cannot make a source");
		return NULL;
	}
	file->source.fetch = fetch;
	file->source.open = begin;
	file->source.close = end;
	file->fd = fd;
	file->offset = offset;
	file->direct = direct;
	pthread_mutex_init(&file->lock, NULL);
	return &file->source;
}
