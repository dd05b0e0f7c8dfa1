// SPDX-License-Identifier: GPL-2.0
/* Pages to be given, in a binary heap: the earliest first. */
#include <string.h>

#include "lazy.h"

static struct due *heap;
static size_t count, room;

static int grow(void)
{
	size_t n = 2 * room + 512;
	struct due *more = memory_map(n * sizeof(*more));

	if (!more)
		return -1;
	if (heap) {
		memcpy(more, heap, count * sizeof(*heap));
		memory_unmap(heap, room * sizeof(*heap));
	}
	heap = more;
	room = n;
	return 0;
}

static void swap(size_t a, size_t b)
{
	struct due due = heap[a];

	heap[a] = heap[b];
	heap[b] = due;
}

int due_add(const struct due *due)
{
	size_t i, parent;

	if (count == room && grow())
		return -1;
	i = count++;
	for (heap[i] = *due; i; i = parent) {
		parent = (i - 1) / 2;
		if (heap[parent].when <= heap[i].when)
			break;
		swap(parent, i);
	}
	return 0;
}

const struct due *due_first(void)
{
	return count ? &heap[0] : NULL;
}

void due_drop(void)
{
	size_t i = 0, child;

	heap[0] = heap[--count];
	while ((child = 2 * i + 1) < count) {
		if (child + 1 < count && heap[child + 1].when < heap[child].when)
			child++;
		if (heap[i].when <= heap[child].when)
			break;
		swap(i, child);
		i = child;
	}
}

void due_drop_all(void)
{
	count = 0;
}
