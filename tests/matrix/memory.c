// SPDX-License-Identifier: GPL-2.0
/* Memory under test: of each backing, in each mode of userfaultfd. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "matrix.h"
#include "pattern.h"

#define SMALL_SIZE	4096UL
#define SMALL_PAGES	16
#define MARGIN_PAGES	2	/* outside of the MR, on either end */
#define HUGE_SIZE	(2UL << 20)
#define HUGE_PAGES	2
#define HUGE_REACH	40000	/* of the MR, from where the two pages meet */

/* Random bytes to copy from: faster than to make each anew. */
static char pool[(HUGE_PAGES * HUGE_SIZE) + 4096];

void memory_init(uint64_t seed)
{
	pattern_fill(pool, sizeof(pool), seed, 0);
}

void fill_random(struct cell *cell, void *to, size_t len)
{
	while (len) {
		size_t from = draw(cell, sizeof(pool) - 1);
		size_t n = sizeof(pool) - from;

		if (n > len)
			n = len;
		memcpy(to, pool + from, n);
		to = (char *)to + n;
		len -= n;
	}
}

/*
 * Buffers for images and supplies, which the process keeps: first touching one
 * costs more than all that is done with it. Both halves of one begin alike.
 */
#define MAX_BUFFERS	16
static char *spare[2][MAX_BUFFERS];
static int spares[2];

static char *buffer_get(bool huge, size_t len)
{
	static size_t made;
	char *buffer;

	if (spares[huge])
		return spare[huge][--spares[huge]];
	buffer = malloc(2 * len);
	if (buffer) {
		/* No two are the same; and what a cell draws is its own. */
		memcpy(buffer, pool + made++ * 64 % (sizeof(pool) - len), len);
		memcpy(buffer + len, buffer, len);
	}
	return buffer;
}

static void buffer_put(bool huge, char *buffer)
{
	if (buffer && spares[huge] < MAX_BUFFERS)
		spare[huge][spares[huge]++] = buffer;
}

bool region_faults(const struct region *region)
{
	return region->kind.mode != NO_FAULTS;
}

static bool is_huge(const struct region *region)
{
	return region->kind.backing == HUGETLB;
}

static int map(struct region *region)
{
	struct failure *failure = region->cell->failure;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	if (region->kind.backing != ANON) {
		flags = MAP_SHARED;
		region->memfd = memfd_create("matrix", MFD_CLOEXEC |
					     (is_huge(region) ?
					      MFD_HUGETLB | MFD_HUGE_2MB : 0));
		if (region->memfd < 0)
			return fail(failure, errno, "cannot create a memfd");
		if (ftruncate(region->memfd, region->len))
			return fail(failure, errno, "cannot size a memfd");
	}
	region->map = mmap(NULL, region->len, PROT_READ | PROT_WRITE, flags,
			   region->memfd, 0);
	if (region->map == MAP_FAILED)
		return fail(failure, errno, "no memory mapped%s",
			    is_huge(region) ?
			    " (are there hugepages? vm/run --hugepages)" : "");
	if (region->kind.mode == MINOR) {
		region->alias = mmap(NULL, region->len, PROT_READ | PROT_WRITE,
				     flags, region->memfd, 0);
		if (region->alias == MAP_FAILED)
			return fail(failure, errno, "no second mapping");
	}
	return 0;
}

/* Where the memory region begins and ends: seldom at the edge of a page. */
static void place_mr(struct region *region)
{
	static const size_t skews[] = { 0, 0, 1, 8, 100, 2048, 4088, 4095 };
	struct cell *cell = region->cell;
	size_t begin, end;
	uint64_t shift;

	if (is_huge(region)) {
		begin = HUGE_SIZE - HUGE_REACH;
		end = HUGE_SIZE + HUGE_REACH;
	} else {
		begin = MARGIN_PAGES * region->page_size;
		end = (SMALL_PAGES - MARGIN_PAGES) * region->page_size;
	}
	region->mr_off = begin + skews[draw(cell, ARRAY_SIZE(skews))];
	region->mr_len = end - skews[draw(cell, ARRAY_SIZE(skews))] -
			 region->mr_off;
	/* Pinned memory has to keep its place within the page. */
	shift = draw(cell, 2) * (draw(cell, 1000) + 1) * SMALL_SIZE;
	if (cell->worker->other_iova)
		region->shift = shift;
}

/*
 * The MR and what is around it. All of a huge page would be most of the test's
 * time: beyond this its bytes are the same each time, and compared at the end.
 */
#define AROUND	65536UL

static void clip(const struct region *region, size_t *begin, size_t *end)
{
	size_t first = region->mr_off - AROUND;
	size_t last = region->mr_off + region->mr_len + AROUND;

	if (!is_huge(region))
		return;
	if (*begin < first)
		*begin = first;
	if (*end > last)
		*end = last;
}

/* New bytes for a range, in the image and for the handler. */
static void renew(struct region *region, size_t begin, size_t end)
{
	clip(region, &begin, &end);
	if (region->kind.resolution == ZEROPAGE)
		memset(region->image + begin, 0, end - begin);
	else
		fill_random(region->cell, region->image + begin, end - begin);
	memcpy(region->supply + begin, region->image + begin, end - begin);
}

static int protect_all(struct region *region)
{
	int err = uffd_protect(region->handler->uffd, region->map, region->len,
			       true);

	return err ? fail(region->cell->failure, -err,
			  "cannot write-protect memory") : 0;
}

int region_map(struct cell *cell, struct region *region,
	       const struct kind *kind)
{
	int err;

	region->kind = *kind;
	region->cell = cell;
	region->memfd = -1;
	region->map = MAP_FAILED;
	region->alias = MAP_FAILED;
	region->page_size = is_huge(region) ? HUGE_SIZE : SMALL_SIZE;
	region->pages = is_huge(region) ? HUGE_PAGES : SMALL_PAGES;
	region->len = region->pages * region->page_size;
	place_mr(region);
	err = map(region);
	if (err)
		return err;
	region->image = buffer_get(is_huge(region), region->len);
	region->poisoned = calloc(region->pages, sizeof(bool));
	if (!region->image || !region->poisoned)
		return fail(cell->failure, ENOMEM, "no memory for an image");
	region->supply = region->image + region->len;
	renew(region, 0, region->len);
	if (kind->mode == MINOR)
		memcpy(region->alias, region->image, region->len);
	else if (kind->mode != MISSING)
		memcpy(region->map, region->image, region->len);
	if (!region_faults(region))
		return 0;
	err = handler_start(region);
	if (!err && (kind->mode == WP || kind->mode == WP_ASYNC))
		err = protect_all(region);
	return err;
}

int region_register(struct region *region)
{
	int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
		     IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC |
		     IBV_ACCESS_MW_BIND | ACCESS_FLUSH_GLOBAL;

	/* PERSISTENT wants persistent memory of a region that is pinned. */
	if (!region->kind.pinned)
		access |= IBV_ACCESS_ON_DEMAND | ACCESS_FLUSH_PERSISTENT;
	region->mr = ibv_reg_mr_iova(region->cell->worker->pd,
				     region->map + region->mr_off,
				     region->mr_len,
				     region_address(region, region->mr_off),
				     access);
	if (!region->mr)
		return fail(region->cell->failure, errno,
			    "cannot register a memory region");
	return 0;
}

int region_open(struct cell *cell, struct region *region,
		const struct kind *kind)
{
	return region_map(cell, region, kind) ?: region_register(region);
}

void region_close(struct region *region)
{
	if (!region->cell)
		return;
	/* First let go of whoever waits for a page. */
	handler_stop(region->handler);
	if (region->mr)
		ibv_dereg_mr(region->mr);
	if (region->map != MAP_FAILED)
		munmap(region->map, region->len);
	if (region->alias != MAP_FAILED)
		munmap(region->alias, region->len);
	if (region->memfd >= 0)
		close(region->memfd);
	buffer_put(is_huge(region), region->image);
	free(region->poisoned);
	memset(region, 0, sizeof(*region));
}

/* Other bytes, and absent. */
static int drop(struct region *region, size_t off, size_t len)
{
	int failed;

	if (region->kind.mode == MINOR) {
		size_t begin = off, end = off + len;

		clip(region, &begin, &end);
		memcpy(region->alias + begin, region->supply + begin,
		       end - begin);
		failed = madvise(region->map + off, len, MADV_DONTNEED);
	} else if (region->memfd >= 0) {
		failed = fallocate(region->memfd, FALLOC_FL_PUNCH_HOLE |
				   FALLOC_FL_KEEP_SIZE, off, len);
	} else {
		failed = madvise(region->map + off, len, MADV_DONTNEED);
	}
	return failed ? fail(region->cell->failure, errno,
			     "cannot throw pages away") : 0;
}

static void forget(struct region *region)
{
	struct handler *handler = region->handler;

	handler_lock();
	memset(handler->messages, 0, region->pages * sizeof(unsigned int));
	memset(handler->flags, 0, region->pages * sizeof(unsigned int));
	handler_unlock();
	memset(handler->noted, 0, region->pages * sizeof(*handler->noted));
	memset(handler->quiet, 0, region->pages * sizeof(*handler->quiet));
}

int region_arm(struct region *region, size_t off, size_t len)
{
	size_t size = region->page_size;
	size_t begin = off / size * size;
	size_t end = (off + len + size - 1) / size * size;
	int err = 0;

	if (!region_faults(region))
		return 0;
	forget(region);
	switch (region->kind.mode) {
	case MISSING:
	case MINOR:
		if (!len)
			break;
		renew(region, begin, end);
		err = drop(region, begin, end - begin);
		break;
	case WP:
	case WP_ASYNC:
		/* All: what was written before is not what is looked for. */
		err = protect_all(region);
		break;
	default:
		break;
	}
	return err;
}

int region_touch(struct region *region, size_t off, size_t len)
{
	size_t size = region->page_size;
	size_t page;

	if (!region_faults(region) || !len)
		return 0;
	for (page = off / size; page <= (off + len - 1) / size; page++) {
		volatile char *byte = region->map + page * size;

		/* Also for writing, where that is a fault of its own. */
		if (region->kind.mode == WP || region->kind.mode == WP_ASYNC)
			*byte = *byte;
		else
			(void)*byte;
	}
	forget(region);
	for (page = off / size; page <= (off + len - 1) / size; page++)
		region->handler->quiet[page] = true;
	/* That cannot be forgotten: the page table says it. */
	if (region->kind.mode == WP_ASYNC)
		region_note(region, off, len, WRITES);
	return 0;
}

void region_note(struct region *region, size_t off, size_t len,
		 enum effect effect)
{
	size_t page;

	if (!region_faults(region) || !len)
		return;
	for (page = off / region->page_size;
	     page <= (off + len - 1) / region->page_size; page++)
		if (region->handler->noted[page] < effect)
			region->handler->noted[page] = effect;
}

/* Which pages were written since the protection, by the pagemap. */
static int check_written(struct region *region, const char *name)
{
	struct page_region found[SMALL_PAGES * 2];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)region->map,
		.end = (uintptr_t)region->map + region->len,
		.vec = (uintptr_t)found,
		.vec_len = ARRAY_SIZE(found),
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	size_t page;
	int n, i;

	n = ioctl(region->cell->worker->pagemap, PAGEMAP_SCAN, &arg);
	if (n < 0)
		return fail(region->cell->failure, errno, "PAGEMAP_SCAN");
	for (page = 0; page < region->pages; page++) {
		uint64_t begin = (uintptr_t)region->map +
				 page * region->page_size;
		bool want = region->handler->noted[page] == WRITES;
		bool have = false;

		for (i = 0; i < n; i++)
			if (found[i].start < begin + region->page_size &&
			    found[i].end > begin)
				have = true;
		if (want != have)
			return fail(region->cell->failure, 0,
				    "%s memory: page %zu was%s written, PAGEMAP_SCAN says it was%s",
				    name, page, want ? "" : " not",
				    have ? "" : " not");
	}
	return 0;
}

static const char *check_flags(const struct region *region, unsigned int flags,
			       enum effect effect)
{
	bool wp = flags & UFFD_PAGEFAULT_FLAG_WP;
	bool minor = flags & UFFD_PAGEFAULT_FLAG_MINOR;
	bool write = flags & UFFD_PAGEFAULT_FLAG_WRITE;
	bool want_wp = region->kind.mode == WP;
	bool want_minor = region->kind.mode == MINOR;
	bool want_write = effect == WRITES;

	if (wp != want_wp)
		return wp ? "a write-protect fault" :
			    "no write-protect fault";
	if (minor != want_minor)
		return minor ? "a minor fault" : "no minor fault";
	if (write != want_write)
		return write ? "a write fault" : "no write fault";
	return NULL;
}

int region_check_faults(struct region *region, const char *name)
{
	struct handler *handler = region->handler;
	struct failure *failure = region->cell->failure;
	const char *wrong;
	size_t page;
	int err = 0;

	if (!region_faults(region))
		return 0;
	if (region->kind.mode == WP_ASYNC)
		err = check_written(region, name);
	handler_lock();
	if (handler->error)
		err = fail(failure, -handler->error,
			   "%s memory: cannot resolve a fault", name);
	for (page = 0; !err && page < region->pages; page++) {
		enum effect noted = handler->noted[page];
		unsigned int want = noted != NOTHING;

		/* Of a write-protected page only a write is a fault. */
		if (region->kind.mode == WP)
			want = noted == WRITES;
		if (region->kind.mode == WP_ASYNC || handler->quiet[page])
			want = 0;
		if (handler->messages[page] != want)
			err = fail(failure, 0,
				   "%s memory: %u fault messages for page %zu and not %u",
				   name, handler->messages[page], page, want);
		wrong = want ? check_flags(region, handler->flags[page], noted) :
			       NULL;
		if (wrong)
			err = fail(failure, 0,
				   "%s memory: the message for page %zu says %s",
				   name, page, wrong);
	}
	handler_unlock();
	return err;
}

static int compare(struct region *region, const char *name, const char *from,
		   size_t off, size_t len)
{
	size_t at;

	if (bytes_equal(region->image + off, from + off, len, &at))
		return 0;
	at += off;
	return fail(region->cell->failure, 0,
		    "%s memory: byte %zd of the MR (page %zu, byte %zu of it) is %#x and not %#x",
		    name, (ssize_t)(at - region->mr_off),
		    at / region->page_size, at % region->page_size,
		    (unsigned char)from[at], (unsigned char)region->image[at]);
}

static int is_present(struct region *region, size_t page, bool *present)
{
	uint64_t entry, addr;

	addr = (uintptr_t)region->map + page * region->page_size;
	if (pread(region->cell->worker->pagemap, &entry, sizeof(entry),
		  addr / SMALL_SIZE * sizeof(entry)) !=
	    sizeof(entry))
		return fail(region->cell->failure, errno,
			    "cannot read the pagemap");
	*present = entry >> 63;
	return 0;
}

int region_check_bytes(struct region *region, const char *name, bool all)
{
	size_t size = region->page_size;
	size_t page, begin, end;
	bool present = false;
	int err;

	if (region->alias != MAP_FAILED) {
		begin = 0;
		end = region->len;
		if (!all)
			clip(region, &begin, &end);
		err = compare(region, name, region->alias, begin, end - begin);
		if (err)
			return err;
	}
	for (page = 0; page < region->pages; page++) {
		if (region->poisoned[page])
			continue;
		if (!all) {
			err = is_present(region, page, &present);
			if (err)
				return err;
			if (!present)
				continue;
		}
		begin = page * size;
		end = begin + size;
		if (!all)
			clip(region, &begin, &end);
		err = compare(region, name, region->map, begin, end - begin);
		if (err)
			return err;
	}
	return 0;
}
