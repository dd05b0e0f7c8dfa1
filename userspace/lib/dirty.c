// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * What was written since the last look, by the write protection that the kernel
 * takes away by itself (UFFD_FEATURE_WP_ASYNC).
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "error.h"
#include "region.h"
#include "uapi.h"

#define RUNS	64	/* looked for at a time */

/*
 * Have pages of shared hugetlb memory mapped again: the scan says nothing of one that
 * is not, and if it was written it has no marker that says the opposite.
 */
static void map_again(struct uffdmr *region)
{
	size_t page, size = region->attr.page_size;
	enum page_state state;

	for (page = 0; page < region->pages; page++) {
		struct uffdio_continue arg = {
			.range = {
				.start = (uintptr_t)region->addr + page * size,
				.len = size,
			},
		};

		pthread_mutex_lock(&region->lock);
		state = region->state[page];
		pthread_mutex_unlock(&region->lock);
		/* It fails if the page is not in the file any more. */
		if (state == PRESENT && !(page_map(region, page) &
					  (PAGEMAP_PRESENT | PAGEMAP_PROTECTED)))
			ioctl(region->uffd, UFFDIO_CONTINUE, &arg);
	}
}

/* They were written, after all. */
static void unprotect(struct uffdmr *region, const struct page_region *run)
{
	struct uffdio_writeprotect arg = {
		.range = { .start = run->start, .len = run->end - run->start },
	};

	while (ioctl(region->uffd, UFFDIO_WRITEPROTECT, &arg))
		if (errno != EAGAIN)
			break;
}

/* Call @dirty for what of the run is not poisoned: nobody could write that. */
static int tell(struct uffdmr *region, const struct page_region *run,
		int (*dirty)(size_t offset, size_t length, void *arg), void *arg)
{
	size_t page_size = region->attr.page_size;
	size_t at = (run->start - (uintptr_t)region->addr) / page_size;
	size_t end = (run->end - (uintptr_t)region->addr) / page_size;
	int result = 0;

	while (at < end && !result) {
		size_t first = at;

		pthread_mutex_lock(&region->lock);
		while (at < end && region->state[at] != POISONED)
			at++;
		pthread_mutex_unlock(&region->lock);
		if (at > first)
			result = dirty(first * page_size,
				       (at - first) * page_size, arg);
		else
			at++;
	}
	return result;
}

int uffdmr_dirty(struct uffdmr *region,
		 int (*dirty)(size_t offset, size_t length, void *arg),
		 void *arg)
{
	struct page_region runs[RUNS];
	uintptr_t base = (uintptr_t)region->addr;
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = base,
		.end = base + region->attr.length,
		.vec = (uintptr_t)runs,
		.vec_len = RUNS,
		.category_mask = PAGE_IS_WRITTEN,
		/*
		 * What was thrown away was not written; a page of a file that
		 * is not mapped any more may have been.
		 */
		.category_anyof_mask = region->shared ? 0 :
				       PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int n, i, result = 0;

	if (region_check(region))
		return -1;
	if (!region->attr.track_dirty)
		return uffdmr_set_error(EINVAL,
					"the region does not track what is dirty");
	if (region->shared && is_huge(region))
		map_again(region);
	while (!result && scan.start < scan.end) {
		n = ioctl(region->pagemap, PAGEMAP_SCAN, &scan);
		if (n < 0)
			return uffdmr_set_error(errno, "PAGEMAP_SCAN");
		for (i = 0; i < n && !result; i++)
			result = tell(region, &runs[i], dirty, arg);
		/* It was not called for these, or has not taken the last. */
		for (i -= !!result; result && i < n; i++)
			unprotect(region, &runs[i]);
		scan.start = scan.walk_end;
	}
	return result;
}
