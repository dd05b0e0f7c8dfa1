// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/* The thread of a region: reads userfaultfd's messages and asks the source. */
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "region.h"
#include "uapi.h"

#define MESSAGES	64	/* of one read() */
#define BATCH		32	/* extents of one fetch() */

/* Extents that nobody waits for, of all that may be asked for: one in as many. */
#define BACKGROUND_SHARE	4

/* @lock is held. */
static void note_fault(struct uffdmr *region, size_t page, uint64_t now)
{
	uint8_t *state = &region->state[page];

	region->stats->messages++;
	if (*state == PRESENT) {
		region->stats->present -= region->attr.page_size;
		*state = ABSENT;
	}
	if (*state == POISONED) {
		region->stats->poisoned -= region->attr.page_size;
		*state = ABSENT;
	}
	if (!region->since[page])
		region->since[page] = now;
	if (*state == ABSENT)
		page_absent(region, page);
}

/* Returns whether there may be more messages. */
static bool read_messages(struct uffdmr *region)
{
	struct uffd_msg messages[MESSAGES];
	ssize_t n = read(region->uffd, messages, sizeof(messages));
	uint64_t now = now_ns();
	ssize_t i;

	if (n <= 0)
		return false;
	n /= sizeof(messages[0]);
	for (i = 0; i < n; i++) {
		uintptr_t at = messages[i].arg.pagefault.address;
		size_t page;

		if (messages[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		page = (at - (uintptr_t)region->addr) / region->attr.page_size;
		/* The caller has made the mapping larger. */
		if (page >= region->pages)
			continue;
		pthread_mutex_lock(&region->lock);
		/* It came between the message and us: a wake is all it takes. */
		if (region->state[page] == PRESENT &&
		    page_map(region, page) & PAGEMAP_PRESENT)
			pages_wake(region, page, 1);
		else
			note_fault(region, page, now);
		pthread_mutex_unlock(&region->lock);
	}
	return n == MESSAGES;
}

/* --- what to ask for; @lock is held */

static struct extent *extent_take(struct uffdmr *region, size_t first, size_t n,
				  bool demand)
{
	struct extent *extent = region->free;

	region->free = extent->next;
	extent->asked.offset = first * region->attr.page_size;
	extent->asked.length = n * region->attr.page_size;
	extent->asked.demand = demand;
	if (!demand)
		region->background++;
	return extent;
}

/* Its pages have to wait for another turn. */
static void hand_back(struct uffdmr *region, struct extent *extent)
{
	size_t page = extent->asked.offset / region->attr.page_size;
	size_t end = page + extent->asked.length / region->attr.page_size;

	while (page < end)
		page_absent(region, page++);
	extent_free(extent);
}

/* Somebody may have begun to wait for it since it was asked for. */
static void note_demand(struct uffdmr *region, struct extent *extent)
{
	size_t page = extent->asked.offset / region->attr.page_size;
	size_t end = page + extent->asked.length / region->attr.page_size;

	while (page < end && !extent->asked.demand) {
		extent->asked.demand = region->since[page++];
		region->background -= extent->asked.demand;
	}
}

/* One that is due. But if others wait already it is their turn. */
static struct extent *take_delayed(struct uffdmr *region, uint64_t now)
{
	struct extent **link = &region->delayed, *extent;

	while ((extent = *link)) {
		if (extent->retry_at > now) {
			link = &extent->next;
			continue;
		}
		*link = extent->next;
		if (region->head == region->tail) {
			note_demand(region, extent);
			return extent;
		}
		hand_back(region, extent);
	}
	return NULL;
}

/* Have the delayed extent that is due last give way. Returns whether there is one. */
static bool make_room(struct uffdmr *region)
{
	struct extent **link, **last = &region->delayed, *extent;

	for (link = last; *link; link = &(*link)->next)
		if ((*link)->retry_at > (*last)->retry_at)
			last = link;
	extent = *last;
	if (!extent)
		return false;
	*last = extent->next;
	hand_back(region, extent);
	return true;
}

/*
 * A run of pages of which each is in that state and has failed equally often. They
 * are ASKED after it.
 */
static size_t take_run(struct uffdmr *region, size_t first, enum page_state state)
{
	size_t n = 0;

	while (n < region->extent_pages && first + n < region->pages &&
	       region->state[first + n] == state &&
	       region->failed[first + n] == region->failed[first])
		region->state[first + n++] = ASKED;
	return n;
}

static struct extent *take_demand(struct uffdmr *region)
{
	while (region->head != region->tail) {
		size_t page = region->queue[region->head];
		size_t n;

		/* What has failed waits its time, or all would go round and round. */
		if (region->state[page] == QUEUED && !region->free &&
		    (region->failed[page] || !make_room(region)))
			return NULL;
		region->head = (region->head + 1) % (region->pages + 1);
		region->in_queue[page] = false;
		n = take_run(region, page, QUEUED);
		/* Nothing, if it went with its neighbour. */
		if (n)
			return extent_take(region, page, n, true);
	}
	return NULL;
}

static unsigned int most_background(const struct uffdmr *region)
{
	unsigned int n = region->attr.depth / BACKGROUND_SHARE;

	return n ? n : 1;
}

static bool wants_background(const struct uffdmr *region)
{
	return region->populate && !region->stop && !region->finished &&
	       region->cursor < region->pages;
}

static struct extent *take_background(struct uffdmr *region, uint64_t now)
{
	struct extent *extent;
	size_t first, n;

	if (!wants_background(region) || !region->free ||
	    region->head != region->tail ||
	    region->background >= most_background(region) ||
	    region->next_background > now)
		return NULL;
	while (region->cursor < region->pages &&
	       region->state[region->cursor] != ABSENT)
		region->cursor++;
	first = region->cursor;
	n = take_run(region, first, ABSENT);
	region->cursor += n;
	if (!n)
		return NULL;
	extent = extent_take(region, first, n, false);
	if (region->rate) {
		if (region->next_background < now - NS_PER_S / 10)
			region->next_background = now;
		region->next_background += extent->asked.length * NS_PER_S /
					   region->rate;
	}
	return extent;
}

/*
 * Returns how many extents are to be asked for. At most one of them, the last, is not
 * urgent: a source may answer in this thread, which reads no messages meanwhile.
 */
static size_t take(struct uffdmr *region, struct uffdmr_extent **batch)
{
	uint64_t now = now_ns();
	struct extent *extent;
	bool urgent = true;
	size_t n = 0;

	while (n < BATCH && urgent && !region->stop) {
		extent = take_delayed(region, now);
		if (!extent)
			extent = take_demand(region);
		if (!extent)
			extent = take_background(region, now);
		if (!extent)
			break;
		urgent = extent->asked.demand;
		extent->asked.buffer = extent->buffer;
		batch[n++] = &extent->asked;
		region->out++;
	}
	return n;
}

/* --- the loop */

/* Nobody asks for what waits to be asked for again. @lock is held. */
static void drop_delayed(struct uffdmr *region)
{
	struct extent *extent;

	while ((extent = region->delayed)) {
		region->delayed = extent->next;
		extent_free(extent);
	}
}

/* How long there is nothing to do, in ms as poll() takes it. @lock is held. */
static int pause_of(struct uffdmr *region)
{
	uint64_t now = now_ns(), until = UINT64_MAX;
	struct extent *extent;

	for (extent = region->delayed; extent; extent = extent->next)
		if (extent->retry_at < until)
			until = extent->retry_at;
	if (wants_background(region) && region->free &&
	    region->background < most_background(region) &&
	    region->next_background < until)
		until = region->next_background;
	if (until == UINT64_MAX)
		return -1;
	if (until <= now)
		return 0;
	return (until - now + NS_PER_MS - 1) / NS_PER_MS;
}

static void tell_progress(struct uffdmr *region)
{
	void (*progress)(size_t present, size_t length, void *arg) = NULL;
	uint64_t now = now_ns();
	size_t present, length;
	void *arg;

	pthread_mutex_lock(&region->lock);
	present = region->stats->present;
	length = region->attr.length;
	arg = region->progress_arg;
	if (region->progress &&
	    (present == length ? !region->progress_all :
				 now >= region->progress_next)) {
		progress = region->progress;
		region->progress_next = now + region->progress_every;
		region->telling = true;
	}
	region->progress_all = present == length;
	pthread_mutex_unlock(&region->lock);
	if (!progress)
		return;
	progress(present, length, arg);
	pthread_mutex_lock(&region->lock);
	region->telling = false;
	pthread_cond_broadcast(&region->changed);
	pthread_mutex_unlock(&region->lock);
}

/* When all was there the source is asked no more: what was thrown away since is zero. */
static void ask(struct uffdmr *region, struct uffdmr_extent **batch, size_t n,
		bool finished)
{
	size_t i;

	if (n && !finished)
		region->attr.source->fetch(region->attr.source, batch, n);
	for (i = 0; finished && i < n; i++)
		uffdmr_supply(batch[i], NULL);
}

void *region_serve(void *arg)
{
	struct uffdmr *region = arg;
	struct uffdmr_source *source = region->attr.source;
	struct uffdmr_extent *batch[BATCH];
	struct pollfd fds[] = {
		{ .fd = region->uffd, .events = POLLIN },
		{ .fd = region->kick, .events = POLLIN },
	};
	bool stop, stopped, finished, cancelled = false;
	eventfd_t kicks;
	int timeout;
	size_t n;

	for (;;) {
		/* All messages before anything is asked for: they are urgent. */
		while (read_messages(region))
			;
		pthread_mutex_lock(&region->lock);
		n = take(region, batch);
		timeout = n ? 0 : pause_of(region);
		stop = region->stop;
		if (stop)
			drop_delayed(region);
		stopped = stop && !region->out;
		finished = region->finished;
		pthread_mutex_unlock(&region->lock);
		if (stopped)
			return NULL;
		/* In this thread, so that no fetch() is on its way meanwhile. */
		if (stop && !cancelled && source->cancel)
			source->cancel(source);
		cancelled = stop;
		ask(region, batch, n, finished);
		tell_progress(region);
		/* Whatever comes of that: it is the end only when there is a stop. */
		if (poll(fds, 2, timeout) > 0 && fds[1].revents)
			eventfd_read(region->kick, &kicks);
	}
}
