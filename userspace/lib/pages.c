// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/* Puts pages in place, and settles what became of them. */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "region.h"
#include "stats.h"
#include "uapi.h"

uint64_t page_map(struct uffdmr *region, size_t page)
{
	uintptr_t at = (uintptr_t)region->addr + page * region->attr.page_size;
	uint64_t entry;

	if (pread(region->pagemap, &entry, sizeof(entry),
		  at / sysconf(_SC_PAGESIZE) * sizeof(entry)) != sizeof(entry))
		return 0;
	return entry;
}

static struct uffdio_range range_of(const struct uffdmr *region, size_t first,
				    size_t n)
{
	return (struct uffdio_range){
		.start = (uintptr_t)region->addr + first * region->attr.page_size,
		.len = n * region->attr.page_size,
	};
}

void pages_wake(struct uffdmr *region, size_t first, size_t n)
{
	struct uffdio_range range = range_of(region, first, n);

	ioctl(region->uffd, UFFDIO_WAKE, &range);
}

/* Returns 0 or an errno. */
static int throw_away(const struct uffdmr *region, struct uffdio_range range)
{
	void *addr = (void *)(uintptr_t)range.start;

	/* A file loses pages so, but the marker of what is poisoned stays. */
	if (region->shared && madvise(addr, range.len, MADV_REMOVE))
		return errno;
	return madvise(addr, range.len, MADV_DONTNEED) ? errno : 0;
}

void page_absent(struct uffdmr *region, size_t page)
{
	region->state[page] = ABSENT;
	if (!region->since[page]) {
		/* The background has been there. */
		if (page < region->cursor)
			region->cursor = page;
		return;
	}
	region->state[page] = QUEUED;
	if (region->in_queue[page])
		return;
	region->in_queue[page] = true;
	region->queue[region->tail] = page;
	region->tail = (region->tail + 1) % (region->pages + 1);
}

/* Returns 0 or an errno. @lock is held. */
static int take_all(struct uffdmr *region, size_t first, size_t n)
{
	struct uffdmr_stats *stats = region->stats;
	int err = region->finished ? EINVAL : 0;
	size_t i;

	for (i = first; i < first + n && !err; i++)
		if (region->state[i] == QUEUED || region->state[i] == ASKED)
			err = EBUSY;
	for (i = first; i < first + n && !err; i++) {
		if (region->state[i] == PRESENT)
			stats->present -= region->attr.page_size;
		if (region->state[i] == POISONED)
			stats->poisoned -= region->attr.page_size;
		region->state[i] = ASKED;
	}
	return err;
}

int pages_discard(struct uffdmr *region, size_t first, size_t n)
{
	size_t page;
	int err;

	pthread_mutex_lock(&region->lock);
	err = take_all(region, first, n);
	pthread_mutex_unlock(&region->lock);
	if (err)
		return err;
	/* Who has the file's lock, which this takes, may wait for a page of ours. */
	err = throw_away(region, range_of(region, first, n));
	pthread_mutex_lock(&region->lock);
	for (page = first; page < first + n; page++)
		page_absent(region, page);
	pthread_mutex_unlock(&region->lock);
	return err;
}

/*
 * Some of @n pages from @first on: all that one call puts in place, without a wake.
 * Returns 0 or an errno, of the page behind the *@done ones that are in place.
 */
static int put(struct uffdmr *region, size_t first, size_t n, const char *data,
	       size_t *done)
{
	size_t page_size = region->attr.page_size;
	bool wp = region->attr.track_dirty;
	struct uffdio_range range = range_of(region, first, n);
	struct uffdio_zeropage zero = {
		.range = range,
		.mode = UFFDIO_ZEROPAGE_MODE_DONTWAKE,
	};
	struct uffdio_copy copy = {
		.dst = range.start,
		.src = (uintptr_t)data,
		.len = range.len,
		.mode = UFFDIO_COPY_MODE_DONTWAKE |
			(wp ? UFFDIO_COPY_MODE_WP : 0),
	};
	int64_t came;
	int err;

	if (!data && region->zeros == MAP_FAILED) {
		err = ioctl(region->uffd, UFFDIO_ZEROPAGE, &zero) ? errno : 0;
		came = zero.zeropage;
	} else {
		if (!data)
			copy.src = (uintptr_t)region->zeros;
		err = ioctl(region->uffd, UFFDIO_COPY, &copy) ? errno : 0;
		came = copy.copy;
	}
	*done = came > 0 ? came / page_size : 0;
	/* It was interrupted after those. */
	return err == EAGAIN ? 0 : err;
}

/* As put(). */
static int poison(struct uffdmr *region, size_t first, size_t n, size_t *done)
{
	struct uffdio_poison arg = {
		.range = range_of(region, first, n),
		.mode = UFFDIO_POISON_MODE_DONTWAKE,
	};
	/* Dirty tracking marks what is absent; it has to be empty. */
	struct uffdio_writeprotect clear = {
		.range = arg.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
	};
	int err;

	while (region->attr.track_dirty &&
	       ioctl(region->uffd, UFFDIO_WRITEPROTECT, &clear))
		if (errno != EAGAIN)
			break;
	err = ioctl(region->uffd, UFFDIO_POISON, &arg) ? errno : 0;
	*done = arg.updated > 0 ? arg.updated / region->attr.page_size : 0;
	return err == EAGAIN ? 0 : err;
}

/* What becomes of an extent. */
enum outcome { SUPPLIED, ZEROED, GIVEN_UP };

/* @lock is held; the page is the caller's. */
static void page_done(struct uffdmr *region, size_t page,
		      enum outcome outcome, uint64_t now)
{
	struct uffdmr_stats *stats = region->stats;
	size_t page_size = region->attr.page_size;

	if (outcome == GIVEN_UP) {
		region->state[page] = POISONED;
		stats->poisoned += page_size;
	} else {
		region->state[page] = PRESENT;
		stats->present += page_size;
		if (outcome == ZEROED)
			stats->zeroed_bytes += page_size;
		if (region->since[page]) {
			stats->demand_bytes += page_size;
			stats_latency(stats, now - region->since[page]);
		} else {
			stats->background_bytes += page_size;
		}
	}
	region->since[page] = 0;
	region->failed[page] = 0;
}

/* The first pages of the extent are in place, or poisoned: they are not its any more. */
static void settle(struct extent *extent, size_t n, enum outcome outcome,
		   bool duplicate)
{
	struct uffdmr *region = extent->region;
	size_t page_size = region->attr.page_size;
	size_t first = extent->asked.offset / page_size;
	uint64_t now = now_ns();
	size_t i;

	if (!n)
		return;
	pthread_mutex_lock(&region->lock);
	for (i = 0; i < n; i++)
		page_done(region, first + i, outcome, now);
	if (duplicate)
		region->stats->duplicates++;
	else if (outcome != GIVEN_UP)
		region->stats->copies++;
	extent->asked.offset += n * page_size;
	extent->asked.length -= n * page_size;
	if (nothing_missing(region))
		pthread_cond_broadcast(&region->changed);
	pthread_mutex_unlock(&region->lock);
	/* After the states: who is woken may throw a page away, and that is news. */
	pages_wake(region, first, n);
}

void extent_free(struct extent *extent)
{
	struct uffdmr *region = extent->region;

	if (!extent->asked.demand)
		region->background--;
	extent->next = region->free;
	region->free = extent;
}

/* The extent is not with the source any more. */
static void extent_back(struct extent *extent, bool again)
{
	struct uffdmr *region = extent->region;

	pthread_mutex_lock(&region->lock);
	region->out--;
	if (again) {
		extent->retry_at = now_ns() + region->attr.retry_ms * NS_PER_MS;
		extent->next = region->delayed;
		region->delayed = extent;
		region->stats->retries++;
	} else {
		extent_free(extent);
	}
	/* Before the unlock: the region may go when nothing is out any more. */
	region_kick(region);
	pthread_mutex_unlock(&region->lock);
}

/*
 * EEXIST: is it true? Of hugetlb memory it also means that there is no page left to
 * be had, hugetlb_mfill_atomic_pte() in the kernel's mm/hugetlb.c. But the page may
 * be in the file and only not be mapped here.
 */
static bool exists(struct uffdmr *region, size_t page)
{
	struct uffdio_continue arg = {
		.range = range_of(region, page, 1),
		.mode = UFFDIO_CONTINUE_MODE_DONTWAKE |
			(region->attr.track_dirty ? UFFDIO_CONTINUE_MODE_WP : 0),
	};

	return !is_huge(region) ||
	       page_map(region, page) & PAGEMAP_PRESENT ||
	       !ioctl(region->uffd, UFFDIO_CONTINUE, &arg) || errno == EEXIST;
}

/* Returns 0, or an errno that stopped it; what is left of the extent is not there. */
static int finish(struct extent *extent, const char *data, enum outcome outcome)
{
	struct uffdmr *region = extent->region;
	size_t page_size = region->attr.page_size;
	size_t begin = extent->asked.offset, most = SIZE_MAX;
	int err = 0;

	while (extent->asked.length && !err) {
		size_t at = extent->asked.offset;
		size_t n = extent->asked.length / page_size;
		size_t page = at / page_size, done;

		if (n > most)
			n = most;
		if (outcome == GIVEN_UP)
			err = poison(region, page, n, &done);
		else
			err = put(region, page, n,
				  data ? data + at - begin : NULL, &done);
		settle(extent, done, outcome, false);
		switch (err) {
		case EEXIST:
			/*
			 * It was poisoned before: a message that was read then,
			 * and looked at since, had it asked for once more.
			 */
			if (outcome == GIVEN_UP &&
			    !(page_map(region, page) & PAGEMAP_PRESENT)) {
				err = 0;
				settle(extent, 1, GIVEN_UP, false);
				break;
			}
			err = exists(region, page) ? 0 : ENOMEM;
			if (!err)
				settle(extent, 1, SUPPLIED, true);
			break;
		case ENOENT:
			/*
			 * Not one mapping: part of it may have been protected in
			 * another way. Of a page alone: the caller has unmapped it.
			 */
			err = 0;
			if (n > 1)
				most = 1;
			else
				settle(extent, 1, SUPPLIED, true);
			break;
		case ESRCH:	/* the process ends */
			err = 0;
			settle(extent, n, SUPPLIED, true);
			break;
		}
	}
	/* Without a page to be had they may still find what another has put there. */
	if (err)
		pages_wake(region, extent->asked.offset / page_size,
			   extent->asked.length / page_size);
	return err;
}

/* Nobody will serve them any more: they are missing. @lock is held. */
static void forget(struct extent *extent)
{
	struct uffdmr *region = extent->region;
	size_t first = extent->asked.offset / region->attr.page_size;
	size_t n = extent->asked.length / region->attr.page_size;

	while (n--)
		region->state[first + n] = ABSENT;
}

static void fail_extent(struct extent *extent, int error)
{
	struct uffdmr *region = extent->region;
	unsigned int retries = region->attr.retries;
	size_t page = extent->asked.offset / region->attr.page_size;
	size_t end = page + extent->asked.length / region->attr.page_size;
	bool stop, again;

	pthread_mutex_lock(&region->lock);
	region->stats->failures++;
	region->stats->error = error;
	stop = region->stop;
	/* They have failed equally often, take_run(). */
	again = !stop && (retries == ~0U || region->failed[page] < retries);
	while (page < end)
		region->failed[page++]++;
	if (stop)
		forget(extent);
	pthread_mutex_unlock(&region->lock);
	if (!again && !stop)
		again = finish(extent, NULL, region->attr.policy == UFFDMR_ZERO ?
			       ZEROED : GIVEN_UP);
	extent_back(extent, again);
}

void uffdmr_supply(struct uffdmr_extent *asked, const void *data)
{
	struct extent *extent = (struct extent *)asked;

	int err = finish(extent, data, SUPPLIED);

	/* ENOMEM, as one example: there may be memory later. */
	if (err)
		fail_extent(extent, err);
	else
		extent_back(extent, false);
}

void uffdmr_fail(struct uffdmr_extent *asked, int error)
{
	fail_extent((struct extent *)asked, error);
}
