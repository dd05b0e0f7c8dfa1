/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MACHINE_H
#define MACHINE_H

/*
 * What the tests ask of the machine: its knobs, and the page table as pagemap
 * shows it, so that an event is known to have happened.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/kernel-page-flags.h>

#include "clock.h"
#include "failure.h"

/* Those that the C library may be too old for. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON	100
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

#define HUGE_SIZE	(2UL << 20)

#define KSM(name)	"/sys/kernel/mm/ksm/" name

/* A disk in memory, CONFIG_BLK_DEV_RAM: no file system is below it. */
#define SWAP_DISK	"/dev/ram0"
#define EXT4_DISK	"/dev/ram1"

static inline int set_knob(const char *path, const char *value,
			   struct failure *failure)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return fail(failure, errno, "cannot open %s", path);
	n = write(fd, value, strlen(value));
	if (n < 0) {
		fail(failure, errno, "cannot write %s to %s", value, path);
		close(fd);
		return -EIO;
	}
	close(fd);
	return 0;
}

/* A kernel that checks all it does is many times slower. */
static inline bool is_debug_kernel(void)
{
	return !access("/proc/lockdep_stats", F_OK);
}

/*
 * 100 ms, and an emulated CPU that has other things to do. What is late otherwise
 * never comes.
 */
#define AT_ONCE		((is_debug_kernel() ? 5 : 1) * NSEC_PER_SEC)

/* For the tests: one step, that has to be done at once. */
#define AT_ONCE_DO(call) do { \
	uint64_t begun_ = now_ns(); \
	ASSERT_EQ(0, call); \
	ASSERT_LT(now_ns() - begun_, AT_ONCE) TH_LOG(#call); \
} while (0)

/* How often to do what is done @n times: there each round shows more. */
static inline int rounds(int n)
{
	return is_debug_kernel() ? (n + 3) / 4 : n;
}

/* The first number in a file; -1 if there is none. */
static inline long long get_knob(const char *path)
{
	FILE *file = fopen(path, "re");
	long long value = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%lld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

/* One of the counters of an RDMA device; what it shows may be 10 ms old. */
static inline int read_counter(const char *dev, const char *name,
			       uint64_t *value)
{
	char path[256];
	FILE *f;
	int n;

	snprintf(path, sizeof(path),
		 "/sys/class/infiniband/%s/ports/1/hw_counters/%s", dev, name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fscanf(f, "%lu", value);
	fclose(f);
	return n == 1 ? 0 : -EIO;
}

/* The sum of the numbers after @name, in the lines of a file that begin with it. */
static inline long long sum_of(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	size_t len = strlen(name);
	long long sum = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		char *word = line + strspn(line, " ");

		if (!strncmp(word, name, len) && word[len] == ' ')
			sum += strtoll(word + len, NULL, 10);
	}
	if (file)
		fclose(file);
	return sum;
}

/* What is free, on the lists of the CPUs, too: those are long. */
static inline long long free_memory(void)
{
	return getpagesize() * (sum_of("/proc/zoneinfo", "nr_free_pages") +
				sum_of("/proc/zoneinfo", "count:"));
}

/* The objects that RDMA devices have, in the words of rdma(8). */
static inline int rdma_objects(char *text, size_t size)
{
	FILE *f = popen("rdma resource show", "re");
	size_t n = f ? fread(text, 1, size - 1, f) : 0;

	text[n] = 0;
	return !f || pclose(f) || !n ? -EIO : 0;
}

/* Prepared by faults-on, which names the folder; without it there are none. */
static inline int inject_faults(unsigned int percent, struct failure *failure)
{
	static const char *const kind[] = { "failslab", "fail_page_alloc" };
	const char *folder = getenv("FAULTS");
	char path[256], value[16];
	size_t i;

	snprintf(value, sizeof(value), "%u", percent);
	for (i = 0; folder && i < ARRAY_SIZE(kind); i++) {
		snprintf(path, sizeof(path), "%s/%s/probability", folder,
			 kind[i]);
		if (set_knob(path, value, failure))
			return -EIO;
	}
	return 0;
}

/* --- Documentation/admin-guide/mm/pagemap.rst */

#define PM_PRESENT	0x8000000000000000ULL
#define PM_SWAPPED	0x4000000000000000ULL
#define PM_PFN(entry)	((entry) & 0x007fffffffffffffULL)

/* The entry of one page of this process; 0 is an absent page, and an error. */
static inline uint64_t pagemap_entry(const void *addr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;
	off_t at = (uintptr_t)addr / getpagesize() * sizeof(entry);

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
		entry = 0;
	close(fd);
	return entry;
}

/* How many pages of a range have all of @bits in their entry. */
static inline size_t pagemap_count(const char *addr, size_t len, uint64_t bits)
{
	size_t at, n = 0;

	for (at = 0; at < len; at += getpagesize())
		n += (pagemap_entry(addr + at) & bits) == bits;
	return n;
}

/* The page frame, or 0 if there is no page. */
static inline uint64_t pfn_of(const void *addr)
{
	uint64_t entry = pagemap_entry(addr);

	return entry & PM_PRESENT ? PM_PFN(entry) : 0;
}

/* Whether a page, wherever it is mapped, is a part of a larger folio. */
static inline bool is_compound(const void *addr)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t flags = 0;

	if (fd < 0)
		return false;
	if (pread(fd, &flags, sizeof(flags), pfn_of(addr) * sizeof(flags)) !=
	    sizeof(flags))
		flags = 0;
	close(fd);
	return flags & (1ULL << KPF_COMPOUND_HEAD | 1ULL << KPF_COMPOUND_TAIL);
}

/* Whether a PMD maps the page: PAGEMAP_SCAN says so of THP and of hugetlb. */
static inline bool is_huge(const void *addr)
{
	struct page_region region;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + getpagesize(),
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_HUGE,
		.return_mask = PAGE_IS_HUGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int n;

	if (fd < 0)
		return false;
	n = ioctl(fd, PAGEMAP_SCAN, &arg);
	close(fd);
	return n == 1;
}

/* Swap to the disk in memory, as mkswap and swapon would set it up. */
static inline int swap_on(struct failure *failure)
{
	union {
		struct {
			char boot[1024];
			uint32_t version, last_page, nr_badpages;
		};
		struct {
			char before[4086];
			char magic[10];
		};
	} header = {};
	uint64_t size = 0;
	int fd, err = 0;

	fd = open(SWAP_DISK, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail(failure, errno, "cannot open " SWAP_DISK
			    " (CONFIG_BLK_DEV_RAM)");
	if (ioctl(fd, BLKGETSIZE64, &size))
		err = errno;
	header.version = 1;
	header.last_page = size / sizeof(header) - 1;
	memcpy(header.magic, "SWAPSPACE2", sizeof(header.magic));
	if (!err && (pwrite(fd, &header, sizeof(header), 0) !=
		     sizeof(header) || fsync(fd)))
		err = errno;
	close(fd);
	/* Busy: the swap of an earlier test that could not end it. */
	if (!err && swapon(SWAP_DISK, 0) && errno != EBUSY)
		err = errno;
	return err ? fail(failure, err, "cannot swap to " SWAP_DISK) : 0;
}

static inline void swap_off(void)
{
	swapoff(SWAP_DISK);
}

/*
 * Have the pages that CPUs keep in batches of their own put on the LRU lists: one
 * that is not there is passed over by reclaim. That is the first thing that
 * move_pages() does; the page is on that node, or it is not, which is no matter.
 */
static inline void drain_lru(char *addr)
{
	void *page = addr;
	int node = 0, status;

	syscall(SYS_move_pages, 0, 1, &page, &node, &status, 0);
}

/* Swap a range out, all of it: what is being written to the disk may stay. */
static inline int page_out(char *addr, size_t len, struct failure *failure)
{
	int i;

	for (i = 0; i < 200; i++) {
		drain_lru(addr);
		if (madvise(addr, len, MADV_PAGEOUT))
			return fail(failure, errno, "cannot page out");
		if (!pagemap_count(addr, len, PM_PRESENT))
			return 0;
		usleep(10000);
	}
	return fail(failure, 0, "%zu pages stay when they are paged out",
		    pagemap_count(addr, len, PM_PRESENT));
}

#endif
