// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/* Puts pages in place, and settles what became of them. */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "error.h"
#include "region.h"
#include "uapi.h"

#define PAGEMAP_PRESENT	(3ULL << 62)	/* or swapped */

bool page_is_there(struct uffdmr *region, size_t page)
{
	uintptr_t at = (uintptr_t)region->addr + page * region->attr.page_size;
	uint64_t entry;

	return pread(region->pagemap, &entry, sizeof(entry),
		     at / sysconf(_SC_PAGESIZE) * sizeof(entry)) ==
	       sizeof(entry) && entry & PAGEMAP_PRESENT;
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

	if (!data && !region->zeros) {
		err = ioctl(region->uffd, UFFDIO_ZEROPAGE, &zero) ? errno : 0;
		came = zero.zeropage;
	} else {
		if (!data) {
			copy.src = (uintptr_t)region->zeros;
			copy.len = page_size;
		}
		err = ioctl(region->uffd, UFFDIO_COPY, &copy) ? errno : 0;
		came = copy.copy;
	}
	*done = came > 0 ? came / page_size : 0;
	/* It was interrupted after those. */
	return err == EAGAIN ? 0 : err;
}

static int poison(struct uffdmr *region, size_t first, size_t n)
{
	struct uffdio_poison arg = { .range = range_of(region, first, n) };

	while (ioctl(region->uffd, UFFDIO_POISON, &arg)) {
		if (errno != EAGAIN)
			return errno;
		if (arg.updated > 0) {
			arg.range.start += arg.updated;
			arg.range.len -= arg.updated;
		}
	}
	return 0;
}

/* What became of pages of an extent, and what it took. */
struct outcome {
	bool poisoned, zeroed;
	size_t copies, duplicates;
};

/* @lock is held; the page is the caller's. */
static void page_done(struct uffdmr *region, size_t page,
		      const struct outcome *outcome, uint64_t now)
{
	struct uffdmr_stats *stats = &region->stats;
	size_t page_size = region->attr.page_size;

	if (outcome->poisoned) {
		region->state[page] = POISONED;
		stats->poisoned += page_size;
	} else {
		region->state[page] = PRESENT;
		stats->present += page_size;
		if (outcome->zeroed)
			stats->zeroed_bytes += page_size;
		if (region->since[page]) {
			stats->demand_bytes += page_size;
			stats_latency(stats, now - region->since[page]);
		} else {
			stats->background_bytes += page_size;
		}
	}
	region->since[page] = 0;
}

/* The first pages of the extent are in place, or poisoned. */
static void extent_done(struct extent *extent, size_t n,
			const struct outcome *outcome)
{
	struct uffdmr *region = extent->region;
	size_t page_size = region->attr.page_size;
	size_t first = extent->asked.offset / page_size;
	uint64_t now = now_ns();
	size_t i;

	pthread_mutex_lock(&region->lock);
	for (i = 0; i < n; i++)
		page_done(region, first + i, outcome, now);
	region->stats.copies += outcome->copies;
	region->stats.duplicates += outcome->duplicates;
	extent->asked.offset += n * page_size;
	extent->asked.length -= n * page_size;
	pthread_cond_broadcast(&region->changed);
	pthread_mutex_unlock(&region->lock);
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
		region->stats.retries++;
	} else {
		if (!extent->asked.demand)
			region->background--;
		extent->next = region->free;
		region->free = extent;
	}
	pthread_mutex_unlock(&region->lock);
	region_kick(region);
}

/*
 * EEXIST: is it true? Of hugetlb memory it also means that there is no page left to
 * be had, hugetlb_mfill_atomic_pte() in the kernel's mm/hugetlb.c.
 */
static bool exists(struct uffdmr *region, size_t page)
{
	return region->attr.page_size == (size_t)sysconf(_SC_PAGESIZE) ||
	       page_is_there(region, page);
}

/* Returns 0, or an errno that stopped it; what is left of the extent is not there. */
static int supply(struct extent *extent, const char *data, bool zeroed)
{
	struct outcome outcome = { .zeroed = zeroed };
	struct uffdmr *region = extent->region;
	size_t page_size = region->attr.page_size;
	size_t first = extent->asked.offset / page_size;
	size_t n = extent->asked.length / page_size;
	size_t at = 0;
	int err = 0;

	while (at < n && !err) {
		size_t done;

		err = put(region, first + at, n - at,
			  data ? data + at * page_size : NULL, &done);
		at += done;
		outcome.copies++;
		switch (err) {
		case EEXIST:
			if (!exists(region, first + at)) {
				err = ENOMEM;
				break;
			}
			outcome.duplicates++;
			at++;
			err = 0;
			break;
		case ENOENT:	/* the caller has unmapped it */
		case ESRCH:	/* the process ends */
			at = n;
			err = 0;
			break;
		}
	}
	/* The states first: who is woken may throw a page away, and that is news. */
	extent_done(extent, at, &outcome);
	if (at)
		pages_wake(region, first, at);
	return err;
}

/* What the policy is for. Returns 0 or an errno: not even that could be done. */
static int give_up(struct extent *extent)
{
	static const struct outcome outcome = { .poisoned = true };
	struct uffdmr *region = extent->region;
	size_t page_size = region->attr.page_size;
	size_t first = extent->asked.offset / page_size;
	size_t n = extent->asked.length / page_size;
	int err;

	if (region->attr.policy == UFFDMR_ZERO)
		return supply(extent, NULL, true);
	err = poison(region, first, n);
	if (!err) {
		extent_done(extent, n, &outcome);
		pages_wake(region, first, n);
	}
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
	bool stop, again;

	pthread_mutex_lock(&region->lock);
	region->stats.failures++;
	region->stats.error = error;
	stop = region->stop;
	again = !stop && (retries == ~0U || extent->failed < retries);
	if (stop)
		forget(extent);
	pthread_mutex_unlock(&region->lock);
	extent->failed++;
	if (!again && !stop)
		again = give_up(extent);
	extent_back(extent, again);
}

void uffdmr_supply(struct uffdmr_extent *asked, const void *data)
{
	struct extent *extent = (struct extent *)asked;

	int err = supply(extent, data, false);

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
