// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "page_source.h"
#include "uffd.h"

/* A page that was asked for, until it is due. */
struct request {
	uint64_t read_at;
	size_t page;
};

struct page_source {
	struct page_source_config config;
	size_t pages;
	int uffd;
	int stop_fd;
	pthread_t thread;
	void *staging;

	/* The thread's own: a ring, as requests become due in their order. */
	struct request *queue;
	size_t queue_size;
	size_t head, tail;

	pthread_mutex_t lock;	/* protects what follows */
	unsigned int *messages;	/* per page */
	unsigned int all_messages;
	struct samples latencies;
	int error;
};

static void set_error(struct page_source *source, int error)
{
	pthread_mutex_lock(&source->lock);
	if (!source->error)
		source->error = error;
	pthread_mutex_unlock(&source->lock);
}

static void *page_address(const struct page_source *source, size_t page)
{
	return (char *)source->config.base + page * source->config.page_size;
}

static int put_page(struct page_source *source, size_t page)
{
	const struct page_source_config *config = &source->config;
	void *address = page_address(source, page);

	if (!config->fill)
		return uffd_zeropage(source->uffd, address, config->page_size);
	config->fill(source->staging, page * config->page_size, config->arg);
	return uffd_copy(source->uffd, address, source->staging,
			 config->page_size);
}

static void supply(struct page_source *source, const struct request *request)
{
	size_t size = source->config.page_size;
	int err;

	err = put_page(source, request->page);
	switch (err) {
	case 0:
		break;
	case -EEXIST:
	case -ENOENT:
		/*
		 * Supplied before, or unmapped since: nothing to put there,
		 * but whoever waits has to look again.
		 */
		err = uffd_wake(source->uffd,
				page_address(source, request->page), size);
		break;
	}
	if (err) {
		set_error(source, err);
		return;
	}
	pthread_mutex_lock(&source->lock);
	err = samples_add(&source->latencies, now_ns() - request->read_at);
	pthread_mutex_unlock(&source->lock);
	if (err)
		set_error(source, err);
}

static int enqueue(struct page_source *source, size_t page)
{
	size_t used = source->tail - source->head;
	struct request *queue;
	size_t i;

	if (used == source->queue_size) {
		queue = calloc(used * 2, sizeof(*queue));
		if (!queue)
			return -ENOMEM;
		for (i = 0; i < used; i++)
			queue[i] = source->queue[(source->head + i) % used];
		free(source->queue);
		source->queue = queue;
		source->queue_size = used * 2;
		source->head = 0;
		source->tail = used;
	}
	source->queue[source->tail++ % source->queue_size] = (struct request){
		.read_at = now_ns(),
		.page = page,
	};
	return 0;
}

static int take(struct page_source *source, const struct uffd_msg *msg)
{
	size_t page;

	if (msg->event != UFFD_EVENT_PAGEFAULT)
		return -EPROTO;
	page = (msg->arg.pagefault.address - (uintptr_t)source->config.base) /
	       source->config.page_size;
	if (page >= source->pages)
		return -ERANGE;
	pthread_mutex_lock(&source->lock);
	source->messages[page]++;
	source->all_messages++;
	pthread_mutex_unlock(&source->lock);
	return enqueue(source, page);
}

static int read_messages(struct page_source *source)
{
	struct uffd_msg messages[16];
	ssize_t n, i;
	int err;

	n = read(source->uffd, messages, sizeof(messages));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	n /= sizeof(messages[0]);
	for (i = 0; i < n; i++) {
		err = take(source, &messages[i]);
		if (err)
			return err;
	}
	return 0;
}

static void *run(void *arg)
{
	struct page_source *source = arg;
	struct pollfd fds[] = {
		{ .fd = source->stop_fd, .events = POLLIN },
		{ .fd = source->uffd, .events = POLLIN },
	};
	int timeout, n, err;

	for (;;) {
		timeout = -1;
		while (source->head != source->tail) {
			struct request *request = &source->queue[source->head %
							source->queue_size];
			uint64_t due = request->read_at +
				       source->config.latency_ns;

			timeout = poll_ms(due);
			if (timeout)
				break;
			supply(source, request);
			source->head++;
			timeout = -1;
		}
		n = poll(fds, 2, timeout);
		if (n < 0 && errno != EINTR) {
			set_error(source, -errno);
			return NULL;
		}
		if (n > 0 && fds[0].revents)
			return NULL;
		if (n > 0 && fds[1].revents) {
			err = read_messages(source);
			if (err) {
				set_error(source, err);
				return NULL;
			}
		}
	}
}

static void destroy(struct page_source *source)
{
	/* Faults that wait end with the last file descriptor. */
	if (source->uffd >= 0)
		close(source->uffd);
	if (source->stop_fd >= 0)
		close(source->stop_fd);
	pthread_mutex_destroy(&source->lock);
	samples_free(&source->latencies);
	free(source->messages);
	free(source->staging);
	free(source->queue);
	free(source);
}

static struct page_source *create(const struct page_source_config *config)
{
	struct page_source *source;

	source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	source->config = *config;
	source->pages = config->length / config->page_size;
	source->uffd = -1;
	source->stop_fd = -1;
	pthread_mutex_init(&source->lock, NULL);
	source->queue_size = 64;
	source->queue = calloc(source->queue_size, sizeof(*source->queue));
	source->messages = calloc(source->pages, sizeof(*source->messages));
	source->staging = malloc(config->page_size);
	if (!source->queue || !source->messages || !source->staging) {
		destroy(source);
		return NULL;
	}
	return source;
}

struct page_source *page_source_start(const struct page_source_config *config,
				      struct failure *failure)
{
	struct page_source *source;
	int err;

	source = create(config);
	if (!source) {
		fail(failure, ENOMEM, "cannot set up a page source");
		return NULL;
	}
	source->uffd = uffd_open(failure);
	if (source->uffd < 0)
		goto err;
	if (uffd_register(source->uffd, config->base, config->length, failure))
		goto err;
	source->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (source->stop_fd < 0) {
		fail(failure, errno, "cannot create an event file descriptor");
		goto err;
	}
	err = pthread_create(&source->thread, NULL, run, source);
	if (err) {
		fail(failure, err, "cannot start a thread");
		goto err;
	}
	return source;
err:
	destroy(source);
	return NULL;
}

unsigned int page_source_messages(struct page_source *source, size_t page)
{
	unsigned int n;

	pthread_mutex_lock(&source->lock);
	n = source->messages[page];
	pthread_mutex_unlock(&source->lock);
	return n;
}

unsigned int page_source_all_messages(struct page_source *source)
{
	unsigned int n;

	pthread_mutex_lock(&source->lock);
	n = source->all_messages;
	pthread_mutex_unlock(&source->lock);
	return n;
}

int page_source_uffd(const struct page_source *source)
{
	return source->uffd;
}

int page_source_latencies(struct page_source *source, struct samples *samples,
			  struct failure *failure)
{
	int err;
	size_t i;

	pthread_mutex_lock(&source->lock);
	err = source->error;
	for (i = 0; !err && i < source->latencies.count; i++)
		err = samples_add(samples, source->latencies.values[i]);
	pthread_mutex_unlock(&source->lock);
	if (err)
		return fail(failure, -err, "the page source failed");
	return 0;
}

void page_source_stop(struct page_source *source)
{
	uint64_t one = 1;
	ssize_t n;

	if (!source)
		return;
	do {
		n = write(source->stop_fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
	pthread_join(source->thread, NULL);
	destroy(source);
}
