// SPDX-License-Identifier: GPL-2.0
/* The ranges, in the order of their addresses. */
#include <string.h>

#include "lazy.h"

static struct range **ranges;
static size_t count, room;

struct range *range_new(uintptr_t start, size_t pages, size_t page_size,
			bool shared)
{
	size_t room = sizeof(struct range) + pages;
	struct range *range = memory_map(room);

	if (!range)
		return NULL;
	range->start = start;
	range->pages = pages;
	range->missing = pages;
	range->page_size = page_size;
	range->shared = shared;
	range->room = room;
	return range;
}

void range_free(struct range *range)
{
	if (range->shadow)
		memory_unmap((void *)range->shadow,
			     range->pages * range->page_size);
	memory_unmap(range, range->room);
}

/* The index of the first that ends behind @at. */
static size_t index_from(uintptr_t at)
{
	size_t low = 0, high = count, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (range_end(ranges[middle]) <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int ranges_add(struct range *range)
{
	size_t i = index_from(range->start);
	struct range **more;

	if (count == room) {
		more = memory_map((2 * room + 512) * sizeof(*more));
		if (!more)
			return -1;
		memcpy(more, ranges, count * sizeof(*ranges));
		if (ranges)
			memory_unmap(ranges, room * sizeof(*ranges));
		ranges = more;
		room = 2 * room + 512;
	}
	memmove(&ranges[i + 1], &ranges[i], (count - i) * sizeof(*ranges));
	ranges[i] = range;
	count++;
	return 0;
}

void ranges_remove(struct range *range)
{
	size_t i = index_from(range->start);

	count--;
	memmove(&ranges[i], &ranges[i + 1], (count - i) * sizeof(*ranges));
}

struct range *ranges_from(uintptr_t at)
{
	size_t i = index_from(at);

	return i < count ? ranges[i] : NULL;
}

struct range *ranges_next(const struct range *range)
{
	return ranges_from(range_end(range));
}

struct range *ranges_at(uintptr_t at)
{
	struct range *range = ranges_from(at);

	return range && range->start <= at ? range : NULL;
}

static void count_missing(struct range *range)
{
	size_t i;

	range->missing = 0;
	range->cursor = 0;
	for (i = 0; i < range->pages; i++)
		range->missing += (range->state[i] & PAGE_STATE) != HERE;
}

bool ranges_cut(uintptr_t at)
{
	struct range *range = ranges_at(at), *upper;
	size_t pages;

	if (!range || range->start == at)
		return true;
	/* A hugepage is cut by nobody. */
	pages = (at - range->start) / range->page_size;
	if (!pages)
		return true;
	upper = range_new(range->start + pages * range->page_size,
			  range->pages - pages, range->page_size, range->shared);
	if (!upper)
		return false;
	memcpy(upper->state, range->state + pages, upper->pages);
	upper->ready = range->ready;
	upper->hurry = range->hurry;
	if (range->shadow)
		upper->shadow = range->shadow + pages * range->page_size;
	range->pages = pages;
	count_missing(range);
	count_missing(upper);
	if (ranges_add(upper)) {
		upper->shadow = 0;
		range_free(upper);
		return false;
	}
	published->regions++;
	return true;
}
