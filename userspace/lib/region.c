// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/* Makes a region, and ends it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "error.h"
#include "region.h"
#include "thread.h"
#include "uapi.h"
#include "userfaultfd.h"

#define DEPTH		64
#define EXTENT		(64UL << 10)
#define EXTENT_MAX	0x40000000UL	/* work requests and reads take less than 4 GiB */
#define RETRY_MS	10

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT	26
#endif

void region_kick(struct uffdmr *region)
{
	uint64_t one = 1;
	ssize_t n = write(region->kick, &one, sizeof(one));

	/* EAGAIN: it was kicked 2^64 times and will look. */
	(void)n;
}

/* --- the memory */

/*
 * The size of the pages that are mapped at @addr, or 0; whether it is shared, and
 * whether a child will have it.
 */
static size_t page_size_at(const void *addr, bool *shared, bool *dofork)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long start, end, kib, found = 0;
	bool here = false;
	char line[512], share;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx %*c%*c%*c%c", &start, &end,
			   &share) == 3) {
			if (here)
				break;
			here = (uintptr_t)addr >= start &&
			       (uintptr_t)addr < end;
			*shared = share == 's';
		} else if (here && sscanf(line, "KernelPageSize: %lu", &kib) == 1) {
			found = kib << 10;
		} else if (here && !strncmp(line, "VmFlags:", 8)) {
			*dofork = !strstr(line, " dc ");
		}
	}
	if (file)
		fclose(file);
	return found;
}

static int map_memory(struct uffdmr *region)
{
	unsigned int log2 = __builtin_ctzl(region->attr.page_size);
	bool huge = is_huge(region);
	/* Without a hugetlb page of its own somebody who waits may do so for ever. */
	int reserve = huge ? 0 : MAP_NORESERVE;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | reserve;
	int memfd = -1, err = 0;

	if (region->attr.backing == UFFDMR_MEMFD) {
		memfd = memfd_create("uffdmr", MFD_CLOEXEC |
				     (huge ? MFD_HUGETLB |
					     log2 << MFD_HUGE_SHIFT : 0));
		if (memfd < 0 || ftruncate(memfd, region->attr.length))
			err = errno;
		flags = MAP_SHARED | reserve;
	} else if (huge) {
		flags |= MAP_HUGETLB | log2 << MAP_HUGE_SHIFT;
	}
	if (!err) {
		region->addr = mmap(NULL, region->attr.length,
				    PROT_READ | PROT_WRITE, flags, memfd, 0);
		if (region->addr == MAP_FAILED)
			err = errno;
		else
			region->mapped = true;
	}
	if (memfd >= 0)
		close(memfd);
	if (err && huge)
		return uffdmr_set_error(err,
					"cannot map %zu bytes of hugetlb memory (see vm.nr_hugepages)",
					region->attr.length);
	return err ? uffdmr_set_error(err, "cannot map %zu bytes",
				      region->attr.length) : 0;
}

/* --- userfaultfd */

static int open_uffd(struct uffdmr *region)
{
	if (region->attr.backing == UFFDMR_MEMFD || region->attr.addr)
		region->features |= UFFD_FEATURE_MISSING_SHMEM;
	if (is_huge(region))
		region->features |= UFFD_FEATURE_MISSING_HUGETLBFS;
	if (region->attr.policy == UFFDMR_POISON)
		region->features |= UFFD_FEATURE_POISON;
	if (region->attr.track_dirty)
		region->features |= UFFD_FEATURE_WP_ASYNC |
				    UFFD_FEATURE_PAGEFAULT_FLAG_WP |
				    UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
	region->uffd = uffd_new(region->features);
	return region->uffd < 0 ? -1 : 0;
}

static struct uffdio_range whole(const struct uffdmr *region)
{
	return (struct uffdio_range){
		.start = (uintptr_t)region->addr,
		.len = region->attr.length,
	};
}

static int register_uffd(struct uffdmr *region, uint64_t mode)
{
	struct uffdio_register arg = { .range = whole(region), .mode = mode };

	if (ioctl(region->uffd, UFFDIO_REGISTER, &arg))
		return uffdmr_set_error(errno,
					"userfaultfd refuses memory of this kind");
	region->registered = true;
	return 0;
}

/* Returns 0 or an errno; nothing is said, as it may be on the way out of a failure. */
static int unregister_uffd(struct uffdmr *region)
{
	struct uffdio_range range = whole(region);

	return ioctl(region->uffd, UFFDIO_UNREGISTER, &range) ? errno : 0;
}

/* What is there is not dirty; what comes is protected as it comes. */
static int protect(struct uffdmr *region)
{
	struct uffdio_writeprotect arg = {
		.range = whole(region),
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	while (ioctl(region->uffd, UFFDIO_WRITEPROTECT, &arg))
		if (errno != EAGAIN)
			return uffdmr_set_error(errno, "UFFDIO_WRITEPROTECT");
	return 0;
}

/* Which pages of memory that was mapped before are there. */
static int note_present(struct uffdmr *region)
{
	size_t step = sysconf(_SC_PAGESIZE), page;
	unsigned char cached;
	char *at;

	for (page = 0; page < region->pages; page++) {
		at = region->addr + page * region->attr.page_size;
		if (!(page_map(region, page) &
		      (PAGEMAP_PRESENT | PAGEMAP_SWAPPED))) {
			if (mincore(at, step, &cached))
				return uffdmr_set_error(errno,
							"there is no memory at %p",
							at);
			if (!(cached & 1))
				continue;
		}
		region->state[page] = PRESENT;
		region->stats->present += region->attr.page_size;
	}
	return 0;
}

/* --- the region */

static int check(struct uffdmr *region)
{
	size_t base = sysconf(_SC_PAGESIZE), there;
	struct uffdmr_attr *attr = &region->attr;

	if (!attr->source)
		return uffdmr_set_error(EINVAL, "there is no source");
	if (attr->addr) {
		there = page_size_at(attr->addr, &region->shared,
				     &region->dofork);
		if (!there)
			return uffdmr_set_error(EINVAL,
						"there is no memory at %p",
						attr->addr);
		if (attr->page_size && attr->page_size != there)
			return uffdmr_set_error(EINVAL,
						"the pages at %p have %zu bytes",
						attr->addr, there);
		attr->page_size = there;
	}
	if (!attr->page_size)
		attr->page_size = base;
	if (attr->page_size < base || attr->page_size & (attr->page_size - 1))
		return uffdmr_set_error(EINVAL, "there are no pages of %zu bytes",
					attr->page_size);
	if (!attr->length || attr->length % attr->page_size ||
	    (uintptr_t)attr->addr % attr->page_size)
		return uffdmr_set_error(EINVAL,
					"a region is of whole pages of %zu bytes",
					attr->page_size);
	if (attr->policy != UFFDMR_POISON && attr->policy != UFFDMR_ZERO)
		return uffdmr_set_error(EINVAL, "there is no policy %d",
					attr->policy);
	if (!attr->addr)
		region->shared = attr->backing == UFFDMR_MEMFD;
	if (!attr->depth)
		attr->depth = DEPTH;
	if (!attr->retry_ms)
		attr->retry_ms = RETRY_MS;
	if (!attr->extent)
		attr->extent = EXTENT;
	if (attr->extent > EXTENT_MAX)
		attr->extent = EXTENT_MAX;
	if (attr->extent > attr->length)
		attr->extent = attr->length;
	attr->extent -= attr->extent % attr->page_size;
	if (!attr->extent)
		attr->extent = attr->page_size;
	return 0;
}

static int allocate(struct uffdmr *region)
{
	struct uffdmr_attr *attr = &region->attr;
	unsigned int i;

	region->pages = attr->length / attr->page_size;
	region->extent_pages = attr->extent / attr->page_size;
	region->state = calloc(region->pages, sizeof(*region->state));
	region->since = calloc(region->pages, sizeof(*region->since));
	region->failed = calloc(region->pages, sizeof(*region->failed));
	region->queue = calloc(region->pages + 1, sizeof(*region->queue));
	region->in_queue = calloc(region->pages, sizeof(*region->in_queue));
	region->extents = calloc(attr->depth, sizeof(*region->extents));
	if (!region->state || !region->since || !region->failed ||
	    !region->queue || !region->in_queue || !region->extents)
		return uffdmr_set_error(ENOMEM, "cannot make a region");
	region->buffers = mmap(NULL, attr->depth * attr->extent,
			       PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			       -1, 0);
	if (region->buffers == MAP_FAILED)
		return uffdmr_set_error(errno, "cannot map buffers");
	/* UFFDIO_ZEROPAGE knows neither hugetlb nor the protection. */
	if (is_huge(region) || attr->track_dirty) {
		region->zeros = mmap(NULL, attr->extent, PROT_READ,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				     -1, 0);
		if (region->zeros == MAP_FAILED)
			return uffdmr_set_error(errno, "cannot map buffers");
	}
	for (i = 0; i < attr->depth; i++) {
		struct extent *extent = &region->extents[i];

		extent->region = region;
		extent->buffer = region->buffers + i * attr->extent;
		extent->next = region->free;
		region->free = extent;
	}
	return 0;
}

static void publish(struct uffdmr *region)
{
	struct published *slot = &region->published->slot[0];

	published_take(slot);
	slot->regions = 1;
	slot->addr = (uintptr_t)region->addr;
	slot->page_size = region->attr.page_size;
}

static int set_up(struct uffdmr *region)
{
	struct uffdmr_attr *attr = &region->attr;
	uint64_t mode = UFFDIO_REGISTER_MODE_MISSING;
	int err;

	if (attr->track_dirty)
		mode |= UFFDIO_REGISTER_MODE_WP;
	region->published = published_create(1, &region->published_fd);
	if (!region->published)
		return uffdmr_set_error(errno, "cannot make a region");
	region->stats = &region->published->slot[0].stats;
	region->stats->length = attr->length;
	region->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	region->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (region->kick < 0 || region->pagemap < 0)
		return uffdmr_set_error(errno, "cannot make a region");
	region->addr = attr->addr;
	if (!attr->addr && map_memory(region))
		return -1;
	if (allocate(region))
		return -1;
	if (attr->addr && note_present(region))
		return -1;
	if (open_uffd(region) || register_uffd(region, mode))
		return -1;
	/* A child would have neither the pages nor who serves them. */
	if (madvise(region->addr, attr->length, MADV_DONTFORK))
		return uffdmr_set_error(errno, "MADV_DONTFORK");
	if (attr->track_dirty && protect(region))
		return -1;
	if (attr->source->open) {
		err = attr->source->open(attr->source, region->buffers,
					 attr->depth * attr->extent);
		if (err)
			return uffdmr_set_error(err, "cannot open the source");
	}
	publish(region);
	err = thread_start(&region->thread, region_serve, region);
	return err ? uffdmr_set_error(err, "cannot start a thread") : 0;
}

/*
 * What is poisoned in the caller's memory becomes absent, as it was. Not what the
 * caller has mapped there since.
 */
static void unpoison(struct uffdmr *region)
{
	size_t page, size = region->attr.page_size;

	for (page = 0; page < region->pages; page++)
		if (region->state[page] == POISONED &&
		    !(page_map(region, page) & PAGEMAP_PRESENT))
			madvise(region->addr + page * size, size, MADV_DONTNEED);
}

/* All but the thread. */
static void unmake(struct uffdmr *region)
{
	struct uffdmr_source *source = region->attr.source;

	if (source && source->close)
		source->close(source);
	if (region->uffd >= 0) {
		/* A child may have the descriptor, too. */
		if (region->registered)
			unregister_uffd(region);
		close(region->uffd);
	}
	if (region->mapped) {
		munmap(region->addr, region->attr.length);
	} else if (region->registered) {
		unpoison(region);
		if (region->dofork)
			madvise(region->addr, region->attr.length, MADV_DOFORK);
	}
	if (region->buffers != MAP_FAILED)
		munmap(region->buffers, region->attr.depth * region->attr.extent);
	if (region->zeros != MAP_FAILED)
		munmap(region->zeros, region->attr.extent);
	if (region->kick >= 0)
		close(region->kick);
	if (region->pagemap >= 0)
		close(region->pagemap);
	if (region->published)
		published_end(region->published, region->published_fd);
	free(region->extents);
	free(region->in_queue);
	free(region->queue);
	free(region->failed);
	free(region->since);
	free(region->state);
	pthread_cond_destroy(&region->changed);
	pthread_mutex_destroy(&region->lock);
	free(region);
}

struct uffdmr *uffdmr_create(const struct uffdmr_attr *attr)
{
	struct uffdmr *region = calloc(1, sizeof(*region));
	pthread_condattr_t clock;

	if (!region) {
		if (attr->source && attr->source->close)
			attr->source->close(attr->source);
		uffdmr_set_error(ENOMEM, "cannot make a region");
		return NULL;
	}
	region->attr = *attr;
	region->pid = getpid();
	region->uffd = -1;
	region->kick = -1;
	region->pagemap = -1;
	region->buffers = MAP_FAILED;
	region->zeros = MAP_FAILED;
	pthread_mutex_init(&region->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&region->changed, &clock);
	pthread_condattr_destroy(&clock);
	if (check(region) || set_up(region)) {
		int err = errno;

		unmake(region);
		errno = err;
		return NULL;
	}
	return region;
}

size_t uffdmr_destroy(struct uffdmr *region)
{
	size_t missing;

	if (!region || region_check(region))
		return 0;
	pthread_mutex_lock(&region->lock);
	region->stop = true;
	pthread_mutex_unlock(&region->lock);
	region_kick(region);
	pthread_join(region->thread, NULL);
	missing = region->attr.length - region->stats->present;
	unmake(region);
	return missing;
}

void *uffdmr_addr(const struct uffdmr *region)
{
	return region->addr;
}

size_t uffdmr_length(const struct uffdmr *region)
{
	return region->attr.length;
}

/* --- in the background */

int uffdmr_populate(struct uffdmr *region, uint64_t bytes_per_second)
{
	if (region_check(region))
		return -1;
	pthread_mutex_lock(&region->lock);
	region->populate = true;
	region->rate = bytes_per_second;
	region->next_background = now_ns();
	region->cursor = 0;
	pthread_mutex_unlock(&region->lock);
	region_kick(region);
	return 0;
}

int uffdmr_pause(struct uffdmr *region)
{
	if (region_check(region))
		return -1;
	pthread_mutex_lock(&region->lock);
	region->populate = false;
	pthread_mutex_unlock(&region->lock);
	return 0;
}

int uffdmr_on_progress(struct uffdmr *region, unsigned int ms,
		       void (*progress)(size_t present, size_t length,
					void *arg), void *arg)
{
	if (region_check(region))
		return -1;
	pthread_mutex_lock(&region->lock);
	region->progress = progress;
	region->progress_arg = arg;
	region->progress_every = ms * NS_PER_MS;
	region->progress_all = false;
	/* What was called before is over when this returns. */
	while (region->telling && !pthread_equal(pthread_self(), region->thread))
		pthread_cond_wait(&region->changed, &region->lock);
	pthread_mutex_unlock(&region->lock);
	region_kick(region);
	return 0;
}

int uffdmr_wait(struct uffdmr *region, int ms)
{
	uint64_t deadline = now_ns() + (ms > 0 ? ms : 0) * NS_PER_MS;
	struct timespec until = {
		.tv_sec = deadline / NS_PER_S,
		.tv_nsec = deadline % NS_PER_S,
	};
	size_t poisoned;
	int err = 0;

	if (region_check(region))
		return -1;
	pthread_mutex_lock(&region->lock);
	while (!err && !nothing_missing(region))
		err = ms < 0 ? pthread_cond_wait(&region->changed,
						 &region->lock) :
			       pthread_cond_timedwait(&region->changed,
						      &region->lock, &until);
	poisoned = region->stats->poisoned;
	pthread_mutex_unlock(&region->lock);
	if (err)
		return uffdmr_set_error(err, "pages are missing");
	return poisoned ? uffdmr_set_error(EIO, "%zu bytes are poisoned",
					   poisoned) : 0;
}

int uffdmr_finish(struct uffdmr *region)
{
	size_t missing;
	int err;

	if (region_check(region))
		return -1;
	pthread_mutex_lock(&region->lock);
	missing = region->attr.length - region->stats->present;
	if (!missing)
		region->finished = true;
	pthread_mutex_unlock(&region->lock);
	if (missing)
		return uffdmr_set_error(EBUSY, "%zu bytes are missing", missing);
	/* With dirty tracking userfaultfd goes on, and what it is asked for is zero. */
	err = region->attr.track_dirty ? 0 : unregister_uffd(region);
	if (!err)
		return 0;
	pthread_mutex_lock(&region->lock);
	region->finished = false;
	pthread_mutex_unlock(&region->lock);
	return uffdmr_set_error(err, "UFFDIO_UNREGISTER");
}

int uffdmr_discard(struct uffdmr *region, size_t offset, size_t length)
{
	size_t page_size = region->attr.page_size;
	int err;

	if (region_check(region))
		return -1;
	if (offset % page_size || length % page_size ||
	    offset > region->attr.length ||
	    length > region->attr.length - offset)
		return uffdmr_set_error(EINVAL,
					"%zu bytes at %zu are no whole pages of the region",
					length, offset);
	err = pages_discard(region, offset / page_size, length / page_size);
	region_kick(region);
	return err ? uffdmr_set_error(err, "cannot discard pages") : 0;
}

bool uffdmr_missing(struct uffdmr *region, size_t offset, size_t *start,
		    size_t *length)
{
	size_t page_size = region->attr.page_size;
	size_t first = offset / page_size, end;

	if (region_check(region))
		return false;
	pthread_mutex_lock(&region->lock);
	while (first < region->pages && region->state[first] == PRESENT)
		first++;
	for (end = first; end < region->pages; end++)
		if (region->state[end] == PRESENT)
			break;
	pthread_mutex_unlock(&region->lock);
	*start = first * page_size;
	*length = (end - first) * page_size;
	return *length;
}
