// SPDX-License-Identifier: GPL-2.0
/*
 * The regions of a worker, what has to be in them, and the handler of its
 * userfaultfd.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"
#include "pattern.h"
#include "soak.h"
#include "uffd.h"

#define MAX_SLOW_MS	40

/* ---- regions */

static int protection(bool access)
{
	return access ? PROT_READ | PROT_WRITE : PROT_NONE;
}

static void *map_pages(const struct region *r, size_t first, size_t n,
		       bool access)
{
	size_t at = first * r->unit;
	void *where = r->addr ? r->addr + at : NULL;
	int flags = (where ? MAP_FIXED : 0) |
		    (r->memfd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);

	return mmap(where, n * r->unit, protection(access), flags, r->memfd,
		    r->memfd < 0 ? 0 : at);
}

static void fresh(const struct region *r, size_t page, void *buf)
{
	if (r->seeds[page])
		pattern_fill(buf, r->unit, r->seeds[page], page * r->unit);
	else
		memset(buf, 0, r->unit);
}

/* Other content than ever before; of every eighth page zeros. */
static void renew(struct memory *mem, struct region *r, size_t first, size_t n)
{
	size_t page;

	for (page = first; page < first + n; page++) {
		r->seeds[page] = 0;
		if (r->uffd && below(mem->rand, 8))
			r->seeds[page] = (uint64_t)rand_r(mem->rand) << 31 |
					 rand_r(mem->rand) | 1;
		fresh(r, page, r->image + page * r->unit);
		r->touched[page] = false;
	}
}

static int region_handle(struct memory *mem, struct region *r, size_t first,
			 size_t n)
{
	return uffd_register(mem->uffd, r->addr + first * r->unit, n * r->unit,
			     mem->failure);
}

static int region_open(struct memory *mem, struct region *r, enum region_kind kind,
		       bool uffd, size_t pages)
{
	unsigned int flags = MFD_CLOEXEC;

	r->unit = kind == KIND_HUGETLB ? HUGE_SIZE : PAGE;
	r->kind = kind;
	r->uffd = uffd;
	r->pages = pages;
	r->len = pages * r->unit;
	r->memfd = -1;
	pthread_mutex_init(&r->lock, NULL);
	if (kind == KIND_HUGETLB)
		flags |= MFD_HUGETLB;
	if (kind == KIND_SHMEM || kind == KIND_HUGETLB) {
		r->memfd = memfd_create("soak", flags);
		if (r->memfd < 0 || ftruncate(r->memfd, r->len))
			return fail(mem->failure, errno, "cannot make a memfd");
	}
	r->addr = map_pages(r, 0, pages, true);
	if (r->addr == MAP_FAILED && kind == KIND_HUGETLB) {
		/* Others have them all. */
		close(r->memfd);
		r->addr = NULL;
		return region_open(mem, r, KIND_ANON, uffd, 64);
	}
	if (r->addr == MAP_FAILED)
		return fail(mem->failure, errno, "cannot map memory");
	r->image = malloc(r->len);
	r->seeds = calloc(pages, sizeof(*r->seeds));
	r->busy = calloc(pages, sizeof(*r->busy));
	r->touched = calloc(pages, sizeof(*r->touched));
	if (!r->image || !r->seeds || !r->busy || !r->touched)
		return fail(mem->failure, ENOMEM, "no memory for an image");
	renew(mem, r, 0, pages);
	return uffd ? region_handle(mem, r, 0, pages) : 0;
}

static void region_close(struct region *r)
{
	munmap(r->addr, r->len);
	if (r->memfd >= 0)
		close(r->memfd);
	free(r->image);
	free(r->seeds);
	free(r->busy);
	free(r->touched);
}

int region_check(struct memory *mem, struct region *r, size_t first, size_t n)
{
	size_t at = first * r->unit, wrong;
	size_t page;

	if (!bytes_equal(r->image + at, r->addr + at, n * r->unit, &wrong)) {
		wrong += at;
		return fail(mem->failure, 0,
			    "wrong byte: region %zu (kind %d, %s), page %zu, byte %zu of it is %#x and not %#x",
			    (size_t)(r - mem->regions), r->kind,
			    r->uffd ? "userfaultfd" : "plain", wrong / r->unit,
			    wrong % r->unit, (unsigned char)r->addr[wrong],
			    (unsigned char)r->image[wrong]);
	}
	for (page = first; page < first + n; page++)
		r->touched[page] = true;
	shared->totals.checked += n * r->unit;
	return 0;
}

int region_drop(struct memory *mem, struct region *r, size_t first, size_t n)
{
	/* The page cache would give a shared page back as it was. */
	int advice = r->memfd < 0 ? MADV_DONTNEED : MADV_REMOVE;
	int err = 0;

	/* The handler has put what it had of them, or does not know it yet. */
	pthread_mutex_lock(&r->lock);
	renew(mem, r, first, n);
	if (madvise(r->addr + first * r->unit, n * r->unit, advice))
		err = errno;
	pthread_mutex_unlock(&r->lock);
	return err ? fail(mem->failure, err, "cannot drop pages") : 0;
}

/*
 * A fault that was pending may have run while userfaultfd did not have the range,
 * and put a page of zeros there. @were_there: has known better before.
 */
static void find_zeros(struct region *r, size_t first, size_t n,
		       const bool *were_there)
{
	size_t page;

	for (page = first; page < first + n; page++) {
		char *addr = r->addr + page * r->unit;

		if (!(pagemap_entry(addr) & (PM_PRESENT | PM_SWAPPED)) ||
		    (were_there && were_there[page - first]))
			continue;
		r->seeds[page] = 0;
		r->touched[page] = true;
		memset(r->image + page * r->unit, 0, r->unit);
	}
}

int region_unmap(struct memory *mem, struct region *r)
{
	/* Of others who want address space nobody gets this. */
	if (map_pages(r, 0, r->pages, false) == MAP_FAILED)
		return fail(mem->failure, errno, "cannot unmap");
	return 0;
}

int region_remap(struct memory *mem, struct region *r, size_t first, size_t n)
{
	int err = 0;

	pthread_mutex_lock(&r->lock);
	if (map_pages(r, first, n, true) == MAP_FAILED)
		err = fail(mem->failure, errno, "cannot map anew");
	if (!err && r->memfd < 0)
		renew(mem, r, first, n);
	if (!err && r->uffd)
		err = region_handle(mem, r, first, n);
	if (!err && r->uffd && r->memfd < 0)
		find_zeros(r, first, n, NULL);
	pthread_mutex_unlock(&r->lock);
	return err;
}

/*
 * Of mappings that userfaultfd has Linux moves one at a time (vma_multi_allowed() in its
 * mm/mremap.c), and a region may be more than one: so each unit alone.
 */
static bool move_units(char *from, char *to, size_t unit, size_t n)
{
	size_t at;

	for (at = 0; at < n * unit; at += unit)
		if (mremap(from + at, unit, unit, MREMAP_MAYMOVE | MREMAP_FIXED,
			   to + at) != to + at)
			return false;
	return true;
}

int region_move(struct memory *mem, struct region *r, size_t first, size_t n)
{
	char *addr = r->addr + first * r->unit;
	size_t len = n * r->unit, page;
	bool *there = calloc(n, sizeof(*there));
	void *away;
	int err = 0;

	if (!there)
		return fail(mem->failure, ENOMEM, "no memory");
	pthread_mutex_lock(&r->lock);
	away = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (page = 0; page < n; page++)
		there[page] = pagemap_entry(addr + page * r->unit) &
			      (PM_PRESENT | PM_SWAPPED);
	if (away == MAP_FAILED || !move_units(addr, away, r->unit, n) ||
	    mremap(away, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, addr) != addr)
		err = fail(mem->failure, errno, "cannot move memory");
	if (!err && r->uffd)
		err = region_handle(mem, r, first, n);
	if (!err && r->uffd && r->memfd < 0)
		find_zeros(r, first, n, there);
	pthread_mutex_unlock(&r->lock);
	free(there);
	return err;
}

/* ---- the handler */

struct asked {
	uint64_t due;
	char *addr;
};

struct queue {
	struct asked *asked;
	size_t n, room;
	unsigned int seed;
	char *staging;
};

static struct region *region_at(struct memory *mem, const char *addr)
{
	int i;

	for (i = 0; i < mem->n; i++) {
		struct region *r = &mem->regions[i];

		if (addr >= r->addr && addr < r->addr + r->len)
			return r;
	}
	return NULL;
}

static void supply(struct memory *mem, struct queue *queue, char *addr)
{
	struct region *r = region_at(mem, addr);
	size_t page;
	int err;

	if (!r)
		return;
	page = (addr - r->addr) / r->unit;
	addr = r->addr + page * r->unit;
	pthread_mutex_lock(&r->lock);
	if (!r->seeds[page] && r->kind != KIND_HUGETLB) {
		err = uffd_zeropage(mem->uffd, addr, r->unit);
	} else {
		fresh(r, page, queue->staging);
		err = uffd_copy(mem->uffd, addr, queue->staging, r->unit);
	}
	pthread_mutex_unlock(&r->lock);
	/* There already, not mapped so any more, or no memory: look again. */
	if (err)
		uffd_wake(mem->uffd, addr, r->unit);
	shared->totals.faults++;
}

static bool enqueue(struct memory *mem, struct queue *queue, char *addr)
{
	struct asked *asked = queue->asked;

	if (queue->n == queue->room) {
		asked = realloc(asked, (queue->room + 256) * sizeof(*asked));
		if (!asked)
			return false;
		queue->asked = asked;
		queue->room += 256;
	}
	asked[queue->n].addr = addr;
	asked[queue->n].due = now_ns();
	if (mem->mode == MODE_SLOW)
		asked[queue->n].due += below(&queue->seed, MAX_SLOW_MS) *
				       NSEC_PER_MSEC;
	queue->n++;
	return true;
}

/* One page, if one is due. */
static bool serve(struct memory *mem, struct queue *queue)
{
	enum mode mode = mem->mode;
	uint64_t now = now_ns();
	size_t i = 0;
	char *addr;

	if (!queue->n || mode == MODE_SILENT)
		return false;
	if (mode == MODE_SHUFFLED)
		i = below(&queue->seed, queue->n);
	else if (mode == MODE_SLOW)
		while (i < queue->n && queue->asked[i].due > now)
			i++;
	if (i == queue->n)
		return false;
	addr = queue->asked[i].addr;
	memmove(&queue->asked[i], &queue->asked[i + 1],
		(--queue->n - i) * sizeof(*queue->asked));
	supply(mem, queue, addr);
	return true;
}

static void *handler_main(void *arg)
{
	struct memory *mem = arg;
	struct queue queue = { .seed = 1, .staging = malloc(HUGE_SIZE) };
	struct uffd_msg msg[16];
	ssize_t n, i;

	while (!mem->stop && queue.staging) {
		struct pollfd fd = { .fd = mem->uffd, .events = POLLIN };
		bool served = serve(mem, &queue);

		if (poll(&fd, 1, served ? 0 : 2) <= 0)
			continue;
		n = read(mem->uffd, msg, sizeof(msg));
		for (i = 0; i < n / (ssize_t)sizeof(msg[0]); i++)
			if (!enqueue(mem, &queue, (char *)(uintptr_t)
				     msg[i].arg.pagefault.address))
				mem->stop = true;
	}
	free(queue.asked);
	free(queue.staging);
	return NULL;
}

int memory_open(struct memory *mem, int regions, struct failure *failure,
		unsigned int *rand)
{
	int err;

	*mem = (struct memory){ .failure = failure, .rand = rand };
	mem->uffd = uffd_open(failure);
	if (mem->uffd < 0)
		return mem->uffd;
	while (mem->n < regions) {
		struct region *r = &mem->regions[mem->n];
		enum region_kind kind = KIND_ANON;
		unsigned int dice = below(rand, 10);
		size_t pages = 8 + below(rand, below(rand, 4) ? 56 : 248);

		if (dice < 3)
			kind = KIND_SHMEM;
		else if (dice < 4)
			kind = KIND_HUGETLB;
		/* One is always as memory was before. */
		if (!mem->n)
			kind = KIND_PINNED;
		if (kind == KIND_HUGETLB)
			pages = 2;
		err = region_open(mem, r, kind, mem->n && below(rand, 4), pages);
		if (err)
			return err;
		mem->n++;
	}
	err = pthread_create(&mem->handler, NULL, handler_main, mem);
	if (err)
		return fail(failure, err, "cannot start a thread");
	mem->handled = true;
	return 0;
}

void memory_unhandle(struct memory *mem)
{
	mem->stop = true;
	if (mem->handled)
		pthread_join(mem->handler, NULL);
	mem->handled = false;
	close(mem->uffd);
	mem->uffd = -1;
}

void memory_close(struct memory *mem)
{
	int i;

	if (mem->uffd >= 0)
		memory_unhandle(mem);
	for (i = 0; i < mem->n; i++)
		region_close(&mem->regions[i]);
}
