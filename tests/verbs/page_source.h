/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PAGE_SOURCE_H
#define PAGE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "samples.h"

/*
 * A thread that owns the absent pages of a region through userfaultfd (missing
 * mode) and supplies each when it is asked for it.
 */
struct page_source;

struct page_source_config {
	void *base;
	size_t length;
	size_t page_size;
	/* What is at @offset of the region; NULL: UFFDIO_ZEROPAGE instead. */
	void (*fill)(void *page, size_t offset, void *arg);
	void *arg;
	/* How long after the fault message a page is supplied. */
	uint64_t latency_ns;
};

struct page_source *page_source_start(const struct page_source_config *config,
				      struct failure *failure);

/* Fault messages seen so far: of the page @page, and of all. */
unsigned int page_source_messages(struct page_source *source, size_t page);
unsigned int page_source_all_messages(struct page_source *source);

/* Its userfaultfd, which stays its own. */
int page_source_uffd(const struct page_source *source);

/*
 * Append how long each page took from the message being read to the page being
 * in place. 0, or a negative errno: also of what went wrong in the thread.
 */
int page_source_latencies(struct page_source *source, struct samples *samples,
			  struct failure *failure);

/*
 * Give the region up: faults that still wait end, and find what the kernel
 * puts in an ordinary absent page. NULL does nothing.
 */
void page_source_stop(struct page_source *source);

#endif
