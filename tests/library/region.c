// SPDX-License-Identifier: GPL-2.0
/* A region of libuffdmr, touched by the CPU. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "source.h"

#define PAGE	4096UL
#define HUGE	(2UL << 20)
#define PAGES	64
#define LENGTH	(PAGES * PAGE)

/* One that is called wrong has to say so, and not to have begun. */
#define REFUSED(error, words, ...) do {					\
	struct scripted refused = SCRIPTED;				\
	struct uffdmr_attr attr = { .source = &refused.source,		\
				    __VA_ARGS__ };			\
									\
	ASSERT_EQ(NULL, uffdmr_create(&attr));				\
	ASSERT_EQ(error, errno);					\
	ASSERT_NE(NULL, strstr(uffdmr_error(), words))			\
		TH_LOG("%s", uffdmr_error());				\
	ASSERT_EQ(0, refused.fetches);					\
	ASSERT_EQ(1, refused.closed);					\
} while (0)

TEST(refuses_what_makes_no_region)
{
	struct uffdmr_attr none = { .length = PAGE };
	int program = open("/proc/self/exe", O_RDONLY);
	char *file = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, program, 0);

	ASSERT_NE(MAP_FAILED, file);
	REFUSED(EINVAL, "refuses memory of this kind", .length = PAGE,
		.addr = file);
	REFUSED(EINVAL, "whole pages of 4096", .length = 0);
	REFUSED(EINVAL, "whole pages of 4096", .length = PAGE + 1);
	REFUSED(EINVAL, "no pages of 512", .length = PAGE, .page_size = 512);
	REFUSED(EINVAL, "no pages of 12288", .length = 3 * PAGE,
		.page_size = 3 * PAGE);
	REFUSED(EINVAL, "whole pages of 2097152", .length = PAGE,
		.page_size = HUGE);
	REFUSED(EINVAL, "no policy", .length = PAGE, .policy = 7);
	REFUSED(EINVAL, "no memory at 0x1000", .length = PAGE,
		.addr = (void *)PAGE);
	REFUSED(ENOMEM, "cannot map", .length = 1UL << 60);
	ASSERT_EQ(NULL, uffdmr_create(&none));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_STREQ("there is no source: Invalid argument", uffdmr_error());
}

TEST(refuses_a_source_that_does_not_open)
{
	struct scripted source = SCRIPTED;
	struct uffdmr_attr attr = { .source = &source.source, .length = PAGE };

	source.open_error = ENOTCONN;
	ASSERT_EQ(NULL, uffdmr_create(&attr));
	ASSERT_EQ(ENOTCONN, errno);
	ASSERT_NE(NULL, strstr(uffdmr_error(), "cannot open the source: "))
		TH_LOG("%s", uffdmr_error());
	ASSERT_EQ(1, source.opened);
	ASSERT_EQ(0, source.fetches);
	ASSERT_EQ(1, source.closed);
}

TEST(refuses_who_may_not)
{
	struct uffdmr_attr attr = { .length = PAGE };
	int allowed = open("/proc/sys/vm/unprivileged_userfaultfd", O_WRONLY);
	pid_t pid;
	int status;

	ASSERT_EQ(1, write(allowed, "0", 1));
	pid = fork();
	if (!pid) {
		/* The second: its files in /proc are its own, as after an exec. */
		if (setresuid(65534, 65534, 65534) || prctl(PR_SET_DUMPABLE, 1))
			_exit(2);
		attr.source = uffdmr_zero();
		_exit(!(!uffdmr_create(&attr) && errno == EPERM &&
			strstr(uffdmr_error(), "vm.unprivileged_userfaultfd")));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	close(allowed);
}

static int fill_mask(void *buffer, size_t offset, size_t length, void *arg)
{
	(void)offset;
	memset(buffer, 0, length);
	return pthread_sigmask(SIG_BLOCK, NULL, arg);
}

/* The program's are its own, but for those of what the thread itself has done. */
TEST(blocks_signals)
{
	const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	sigset_t blocked;
	struct uffdmr_attr attr = {
		.source = uffdmr_callback(fill_mask, &blocked),
		.length = PAGE,
	};
	struct uffdmr *region = uffdmr_create(&attr);
	int i;

	ASSERT_NE(NULL, region) TH_LOG("%s", uffdmr_error());
	ASSERT_EQ(0, *(char *)uffdmr_addr(region));
	ASSERT_EQ(1, sigismember(&blocked, SIGINT));
	ASSERT_EQ(1, sigismember(&blocked, SIGALRM));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, sigismember(&blocked, own[i]));
	uffdmr_destroy(region);
}

FIXTURE(region)
{
	struct scripted source;
	struct uffdmr *region;
	char *addr;
};

FIXTURE_SETUP(region)
{
	self->source = SCRIPTED;
}

FIXTURE_TEARDOWN(region)
{
	uffdmr_destroy(self->region);
	if (self->region)
		EXPECT_EQ(1, self->source.closed);
}

#define CREATE(...) do {						\
	struct uffdmr_attr attr = { .source = &self->source.source,	\
				    __VA_ARGS__ };			\
									\
	if (!attr.length)						\
		attr.length = LENGTH;					\
	self->region = uffdmr_create(&attr);				\
	ASSERT_NE(NULL, self->region) TH_LOG("%s", uffdmr_error());	\
	self->addr = uffdmr_addr(self->region);				\
} while (0)

#define STATS() ({							\
	struct uffdmr_stats now;					\
									\
	uffdmr_get_stats(self->region, &now);				\
	now;								\
})

/* --- each kind of memory */

FIXTURE(kind)
{
	struct scripted source;
	struct uffdmr *region;
	size_t missing;
};

FIXTURE_VARIANT(kind)
{
	enum uffdmr_backing backing;
	size_t page_size, pages;
	bool track_dirty;
};

FIXTURE_VARIANT_ADD(kind, anon)
{
	.page_size = PAGE, .pages = PAGES,
};

FIXTURE_VARIANT_ADD(kind, anon_dirty)
{
	.page_size = PAGE, .pages = PAGES, .track_dirty = true,
};

FIXTURE_VARIANT_ADD(kind, memfd)
{
	.backing = UFFDMR_MEMFD, .page_size = PAGE, .pages = PAGES,
};

FIXTURE_VARIANT_ADD(kind, memfd_dirty)
{
	.backing = UFFDMR_MEMFD, .page_size = PAGE, .pages = PAGES,
	.track_dirty = true,
};

FIXTURE_VARIANT_ADD(kind, huge)
{
	.page_size = HUGE, .pages = 3,
};

FIXTURE_VARIANT_ADD(kind, huge_memfd_dirty)
{
	.backing = UFFDMR_MEMFD, .page_size = HUGE, .pages = 3,
	.track_dirty = true,
};

FIXTURE_SETUP(kind)
{
	struct uffdmr_attr attr = {
		.source = &self->source.source,
		.length = variant->pages * variant->page_size,
		.page_size = variant->page_size,
		.backing = variant->backing,
		.track_dirty = variant->track_dirty,
	};

	self->source = SCRIPTED;
	self->region = uffdmr_create(&attr);
	ASSERT_NE(NULL, self->region) TH_LOG("%s", uffdmr_error());
}

FIXTURE_TEARDOWN(kind)
{
	EXPECT_EQ(self->missing, uffdmr_destroy(self->region));
}

TEST_F(kind, comes_when_touched)
{
	size_t length = variant->pages * variant->page_size, start, missing;
	char *addr = uffdmr_addr(self->region);
	struct uffdmr_stats stats;

	ASSERT_EQ(length, uffdmr_length(self->region));
	ASSERT_TRUE(uffdmr_missing(self->region, 0, &start, &missing));
	ASSERT_EQ(0, start);
	ASSERT_EQ(length, missing);
	ASSERT_TRUE(right(addr, 0, length));
	ASSERT_FALSE(uffdmr_missing(self->region, 0, &start, &missing));
	uffdmr_get_stats(self->region, &stats);
	ASSERT_EQ(length, stats.present);
	ASSERT_EQ(length, stats.demand_bytes);
	ASSERT_EQ(variant->pages, stats.messages);
	ASSERT_EQ(variant->pages, stats.latency_count);
	ASSERT_EQ(0, stats.duplicates);
	ASSERT_EQ(0, uffdmr_wait(self->region, 0));
	ASSERT_EQ(0, uffdmr_finish(self->region));
	ASSERT_TRUE(right(addr, 0, length));
}

TEST_F(kind, comes_in_the_background)
{
	size_t length = variant->pages * variant->page_size;
	struct uffdmr_stats stats;

	ASSERT_EQ(-1, uffdmr_wait(self->region, 0));
	ASSERT_EQ(ETIMEDOUT, errno);
	ASSERT_EQ(-1, uffdmr_finish(self->region));
	ASSERT_EQ(EBUSY, errno);
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	uffdmr_get_stats(self->region, &stats);
	ASSERT_EQ(length, stats.background_bytes);
	ASSERT_EQ(0, stats.messages);
	/* One call of the kernel an extent. */
	if (variant->page_size == PAGE)
		ASSERT_EQ(PAGES / 16, stats.copies);
	ASSERT_TRUE(right(uffdmr_addr(self->region), 0, length));
}

static int note(size_t offset, size_t length, void *arg)
{
	size_t *sum = arg;

	*sum += offset + length;
	return 0;
}

TEST_F(kind, knows_what_was_written)
{
	size_t size = variant->page_size, sum = 0;
	char *addr = uffdmr_addr(self->region);
	struct uffdmr_stats stats;

	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	if (!variant->track_dirty) {
		ASSERT_EQ(-1, uffdmr_dirty(self->region, note, &sum));
		ASSERT_EQ(EINVAL, errno);
		return;
	}
	/* What was supplied is clean. */
	ASSERT_EQ(0, uffdmr_dirty(self->region, note, &sum));
	ASSERT_EQ(0, sum);
	addr[size + 5]++;
	ASSERT_EQ(0, uffdmr_dirty(self->region, note, &sum));
	ASSERT_EQ(2 * size, sum);
	sum = 0;
	ASSERT_EQ(0, uffdmr_dirty(self->region, note, &sum));
	ASSERT_EQ(0, sum);
	/* Also a page of a file that is not mapped any more, by reclaim: the second. */
	if (variant->backing == UFFDMR_MEMFD) {
		addr[size]++;
		ASSERT_EQ(0, madvise(addr, 2 * size, MADV_DONTNEED));
		ASSERT_EQ(0, uffdmr_dirty(self->region, note, &sum));
		ASSERT_EQ(2 * size, sum);
		sum = 0;
		ASSERT_EQ(0, uffdmr_dirty(self->region, note, &sum));
		ASSERT_EQ(0, sum);
	}
	/* Also when all of it is memory like any other. */
	ASSERT_EQ(0, uffdmr_finish(self->region));
	addr[2 * size]++;
	ASSERT_EQ(0, uffdmr_dirty(self->region, note, &sum));
	ASSERT_EQ(3 * size, sum);
	uffdmr_get_stats(self->region, &stats);
	ASSERT_EQ(0, stats.duplicates);
}

struct noted {
	size_t runs, stop_at, end;
	bool in_order;
};

static int note_run(size_t offset, size_t length, void *arg)
{
	struct noted *noted = arg;

	noted->in_order &= offset >= noted->end && length == PAGE;
	if (++noted->runs == noted->stop_at)
		return 7;
	noted->end = offset + length;
	return 0;
}

/* What was not taken stays dirty, also the run that it stopped at. */
TEST_F(region, stops_and_goes_on_with_what_was_written)
{
	struct noted noted = { .stop_at = 70, .in_order = true };
	size_t i;

	CREATE(.length = 256 * PAGE, .track_dirty = true);
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	for (i = 0; i < 128; i++)
		self->addr[2 * i * PAGE]++;
	ASSERT_EQ(7, uffdmr_dirty(self->region, note_run, &noted));
	ASSERT_EQ(70, noted.runs);
	ASSERT_EQ((2 * 68 + 1) * PAGE, noted.end);
	ASSERT_EQ(0, uffdmr_dirty(self->region, note_run, &noted));
	ASSERT_EQ(70 + 128 - 69, noted.runs);
	ASSERT_EQ((2 * 127 + 1) * PAGE, noted.end);
	ASSERT_TRUE(noted.in_order);
	ASSERT_EQ(0, uffdmr_dirty(self->region, note_run, &noted));
	ASSERT_EQ(70 + 128 - 69, noted.runs);
}

/* What a file has lost, or private memory: it is not there any more. */
static int throw_away(char *addr, size_t length, enum uffdmr_backing backing)
{
	return madvise(addr, length, backing == UFFDMR_MEMFD ? MADV_REMOVE :
							       MADV_DONTNEED);
}

TEST_F(kind, fetches_again_what_was_discarded)
{
	size_t size = variant->page_size, length = variant->pages * size;
	char *addr = uffdmr_addr(self->region);
	size_t start, missing;

	ASSERT_TRUE(right(addr, 0, length));
	addr[size]++;
	ASSERT_EQ(0, uffdmr_discard(self->region, size, size));
	ASSERT_TRUE(uffdmr_missing(self->region, 0, &start, &missing));
	ASSERT_EQ(size, start);
	/* In the background, though that may have been there before. */
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_TRUE(right(addr, 0, length));
	/* Or when it is touched. */
	addr[2 * size]++;
	ASSERT_EQ(0, uffdmr_discard(self->region, 0, length));
	ASSERT_TRUE(right(addr, 0, length));
	ASSERT_EQ(-1, uffdmr_discard(self->region, 1, size));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-1, uffdmr_discard(self->region, length, size));
	ASSERT_EQ(EINVAL, errno);
	/* A page may be seen before it is counted. */
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_EQ(0, uffdmr_finish(self->region));
	ASSERT_EQ(-1, uffdmr_discard(self->region, 0, size));
	ASSERT_EQ(EINVAL, errno);
}

TEST_F(kind, serves_again_what_was_thrown_away)
{
	size_t size = variant->page_size, length = variant->pages * size;
	char *addr = uffdmr_addr(self->region);
	struct uffdmr_stats stats;

	ASSERT_TRUE(right(addr, 0, length));
	ASSERT_EQ(0, throw_away(addr + size, size, variant->backing));
	ASSERT_TRUE(right(addr, 0, length));
	uffdmr_get_stats(self->region, &stats);
	ASSERT_EQ(variant->pages + 1, stats.messages);
	ASSERT_EQ(length, stats.present);
}

TEST_F(kind, is_zero_after_finish)
{
	size_t size = variant->page_size;
	char *addr = uffdmr_addr(self->region);

	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_EQ(0, uffdmr_finish(self->region));
	ASSERT_EQ(0, throw_away(addr + size, size, variant->backing));
	ASSERT_EQ(0, addr[size + 1]);
	ASSERT_TRUE(right(addr, 0, size));
}

/* Poisoned, and so not dirty, and neither are its neighbours. */
TEST_F(kind, ends_though_the_source_fails)
{
	size_t length = variant->pages * variant->page_size, sum = 0;
	struct uffdmr_stats stats;

	self->source.bad_from = length - 1;
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(-1, uffdmr_wait(self->region, 20000));
	ASSERT_EQ(EIO, errno);
	uffdmr_get_stats(self->region, &stats);
	ASSERT_LE(variant->page_size, stats.poisoned);
	ASSERT_EQ(length, stats.present + stats.poisoned);
	if (variant->track_dirty) {
		ASSERT_EQ(0, uffdmr_dirty(self->region, note, &sum));
		ASSERT_EQ(0, sum);
	}
	/* Thrown away, all of it is like new. */
	self->source.bad_from = SIZE_MAX;
	ASSERT_EQ(0, uffdmr_pause(self->region));
	ASSERT_EQ(0, uffdmr_discard(self->region, 0, length));
	uffdmr_get_stats(self->region, &stats);
	ASSERT_EQ(0, stats.present + stats.poisoned);
	ASSERT_TRUE(right(uffdmr_addr(self->region), 0, length));
}

static void *fail_all(void *arg)
{
	struct uffdmr_extent *extent;

	while ((extent = scripted_take(arg)))
		uffdmr_fail(extent, EIO);
	return NULL;
}

struct writer {
	pthread_t thread;
	char *addr;
	size_t length, step;
	bool poisoned;
};

/* The kernel reads each page, and says what a thread of its own would get SIGBUS for. */
static void *write_each(void *arg)
{
	struct writer *writer = arg;
	int pipes[2];
	size_t at;

	/* One of its own: a pipe has a lock. */
	writer->poisoned = !pipe(pipes);
	for (at = 0; at < writer->length; at += writer->step)
		writer->poisoned &= write(pipes[1], writer->addr + at, 1) < 0 &&
				    errno == EFAULT;
	close(pipes[0]);
	close(pipes[1]);
	return NULL;
}

/* Also when somebody asks for a page that is poisoned in this moment. */
TEST_F(kind, counts_what_is_poisoned)
{
	size_t length = variant->pages * variant->page_size;
	struct writer writers[8];
	struct uffdmr_stats stats;
	pthread_t failing;
	int i, round;

	self->source.keep = true;
	pthread_create(&failing, NULL, fail_all, &self->source);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 8; i++) {
			writers[i] = (struct writer){
				.addr = uffdmr_addr(self->region),
				.length = length,
				.step = variant->page_size,
			};
			pthread_create(&writers[i].thread, NULL, write_each,
				       &writers[i]);
		}
		for (i = 0; i < 8; i++) {
			pthread_join(writers[i].thread, NULL);
			ASSERT_TRUE(writers[i].poisoned);
		}
		/* A message that was read late has one of them asked for again. */
		do {
			ASSERT_EQ(-1, uffdmr_wait(self->region, 5000));
			ASSERT_EQ(EIO, errno);
			uffdmr_get_stats(self->region, &stats);
		} while (stats.present + stats.poisoned < length);
		ASSERT_EQ(length, stats.poisoned);
		ASSERT_EQ(0, madvise(uffdmr_addr(self->region), length,
				     MADV_DONTNEED));
	}
	scripted_over(&self->source);
	pthread_join(failing, NULL);
	self->missing = length;
}

/* One call of the kernel an extent, as for what a source supplies. */
TEST_F(region, may_be_zero)
{
	struct { size_t page_size, length, extent; bool track_dirty; } kinds[] = {
		{ PAGE, LENGTH, 16 * PAGE, true },
		{ HUGE, 2 * HUGE, 2 * HUGE, false },
	};
	size_t at;
	int i;

	for (i = 0; i < 2; i++) {
		struct uffdmr_attr attr = {
			.source = uffdmr_zero(),
			.length = kinds[i].length,
			.page_size = kinds[i].page_size,
			.extent = kinds[i].extent,
			.track_dirty = kinds[i].track_dirty,
		};

		self->region = uffdmr_create(&attr);
		ASSERT_NE(NULL, self->region) TH_LOG("%s", uffdmr_error());
		self->addr = uffdmr_addr(self->region);
		ASSERT_EQ(0, uffdmr_populate(self->region, 0));
		ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
		ASSERT_EQ(attr.length / attr.extent, STATS().copies);
		for (at = 0; at < attr.length; at += PAGE / 2)
			ASSERT_EQ(0, self->addr[at]);
		uffdmr_destroy(self->region);
		self->region = NULL;
	}
}

/* --- memory that the caller has */

TEST(keeps_what_others_have_put_in_the_file)
{
	struct scripted source = SCRIPTED;
	struct uffdmr_attr attr = { .source = &source.source,
				    .length = 2 * HUGE };
	int memfd = memfd_create("region", MFD_HUGETLB);
	struct uffdmr *region;
	char *theirs, *ours;

	ASSERT_EQ(0, ftruncate(memfd, 2 * HUGE));
	theirs = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      memfd, 0);
	ours = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd,
		    0);
	ASSERT_NE(MAP_FAILED, theirs);
	ASSERT_NE(MAP_FAILED, ours);
	theirs[HUGE] = 'x';
	attr.addr = ours;
	region = uffdmr_create(&attr);
	ASSERT_NE(NULL, region) TH_LOG("%s", uffdmr_error());
	ASSERT_EQ(0, uffdmr_populate(region, 0));
	ASSERT_EQ(0, uffdmr_wait(region, 20000)) TH_LOG("%s", uffdmr_error());
	ASSERT_EQ('x', ours[HUGE]);
	ASSERT_TRUE(right(ours, 0, HUGE));
	ASSERT_EQ(0, uffdmr_destroy(region));
}

TEST_F(region, of_several_mappings)
{
	CREATE();
	ASSERT_EQ(0, mprotect(self->addr + 5 * PAGE, 2 * PAGE, PROT_READ));
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_EQ(0, uffdmr_finish(self->region));
	ASSERT_TRUE(right(self->addr, 0, LENGTH));
	ASSERT_EQ(0, STATS().duplicates);
}

TEST_F(region, keeps_what_is_there)
{
	char *mine = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, mine);
	memset(mine + 3 * PAGE, 'x', 2 * PAGE);
	CREATE(.addr = mine);
	ASSERT_EQ(mine, self->addr);
	ASSERT_EQ(2 * PAGE, STATS().present);
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_TRUE(right(mine, 0, 3 * PAGE));
	ASSERT_EQ('x', mine[3 * PAGE]);
	ASSERT_EQ('x', mine[5 * PAGE - 1]);
	ASSERT_TRUE(right(mine + 5 * PAGE, 5 * PAGE, LENGTH - 5 * PAGE));
	ASSERT_EQ(0, uffdmr_destroy(self->region));
	self->region = NULL;
	/* It is still the caller's. */
	ASSERT_EQ('x', mine[3 * PAGE]);
	ASSERT_EQ(0, munmap(mine, LENGTH));
}

/* Nothing of a region stays in it. */
TEST_F(region, is_like_new_after_destroy)
{
	int memfd = memfd_create("region", 0), i;
	struct { int flags, fd; size_t length; } kinds[] = {
		{ MAP_PRIVATE | MAP_ANONYMOUS, -1, LENGTH },
		{ MAP_SHARED, memfd, LENGTH },
		{ MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 2 * HUGE },
	};
	char *mine;

	ASSERT_EQ(0, ftruncate(memfd, LENGTH));
	for (i = 0; i < 3; i++) {
		mine = mmap(NULL, kinds[i].length, PROT_READ | PROT_WRITE,
			    kinds[i].flags, kinds[i].fd, 0);
		ASSERT_NE(MAP_FAILED, mine);
		CREATE(.addr = mine, .length = kinds[i].length);
		self->source.bad_from = 0;
		ASSERT_EQ(0, uffdmr_populate(self->region, 0));
		ASSERT_EQ(-1, uffdmr_wait(self->region, 20000));
		ASSERT_EQ(EIO, errno);
		ASSERT_EQ(kinds[i].length, uffdmr_destroy(self->region));
		self->source = SCRIPTED;
		CREATE(.addr = mine, .length = kinds[i].length);
		ASSERT_EQ(0, STATS().present);
		ASSERT_TRUE(right(mine, 0, kinds[i].length));
		uffdmr_destroy(self->region);
		self->region = NULL;
		munmap(mine, kinds[i].length);
	}
}

TEST_F(region, serves_again_what_was_thrown_away)
{
	CREATE();
	ASSERT_TRUE(right(self->addr, 0, LENGTH));
	ASSERT_EQ(0, madvise(self->addr + PAGE, PAGE, MADV_DONTNEED));
	ASSERT_TRUE(right(self->addr, 0, LENGTH));
	ASSERT_EQ(PAGES + 1, STATS().messages);
	ASSERT_EQ(LENGTH, STATS().present);
}

TEST_F(region, is_missing_after_destroy)
{
	CREATE();
	ASSERT_TRUE(right(self->addr, 0, PAGE));
	ASSERT_EQ(LENGTH - PAGE, uffdmr_destroy(self->region));
	self->region = NULL;
}

static bool no_memory(const void *addr)
{
	return mincore((void *)addr, PAGE, (unsigned char[1]){}) &&
	       errno == ENOMEM;
}

/* Does a child have the page? Returns its status: 0, 1, or another if that failed. */
static int in_child(const void *addr)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(!no_memory(addr));
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
	       WEXITSTATUS(status) : -1;
}

TEST_F(region, is_one_region_s_only)
{
	char *mine = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CREATE(.addr = mine);
	REFUSED(EBUSY, "refuses memory of this kind", .length = LENGTH,
		.addr = mine);
	ASSERT_EQ(0, in_child(mine));
	ASSERT_TRUE(right(mine, 0, LENGTH));
	ASSERT_EQ(0, uffdmr_destroy(self->region));
	self->region = NULL;
	ASSERT_EQ(1, in_child(mine));
}

TEST_F(region, is_the_child_s_no_more_than_before)
{
	char *mine = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_EQ(0, madvise(mine, LENGTH, MADV_DONTFORK));
	CREATE(.addr = mine);
	uffdmr_destroy(self->region);
	self->region = NULL;
	ASSERT_EQ(0, in_child(mine));
}

static int refused(int result)
{
	return result == -1 && errno == EINVAL;
}

TEST_F(region, is_not_the_child_s)
{
	struct uffdmr_stats stats;
	size_t start, length;
	pid_t pid;
	int status;

	CREATE(.track_dirty = true);
	ASSERT_TRUE(right(self->addr, 0, PAGE));
	pid = fork();
	if (!pid) {
		alarm(5);
		uffdmr_get_stats(self->region, &stats);
		_exit(no_memory(self->addr) &&
		      refused(uffdmr_populate(self->region, 0)) &&
		      refused(uffdmr_pause(self->region)) &&
		      refused(uffdmr_on_progress(self->region, 0, NULL, NULL)) &&
		      refused(uffdmr_wait(self->region, 0)) &&
		      refused(uffdmr_finish(self->region)) &&
		      refused(uffdmr_discard(self->region, 0, PAGE)) &&
		      refused(uffdmr_dirty(self->region, note, &start)) &&
		      !uffdmr_reg_mr(self->region, NULL, 0) && errno == EINVAL &&
		      !uffdmr_missing(self->region, 0, &start, &length) &&
		      !stats.length ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_EQ(PAGE, STATS().present);
	ASSERT_TRUE(right(self->addr, 0, LENGTH));
}

TEST_F(region, ends_in_its_own_process)
{
	pid_t pid;
	int status;

	CREATE();
	ASSERT_TRUE(right(self->addr, 0, PAGE));
	pid = fork();
	if (!pid) {
		alarm(5);
		uffdmr_destroy(self->region);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_TRUE(right(self->addr, 0, LENGTH));
	ASSERT_EQ(PAGES, STATS().messages);
}

/* --- sources that answer later */

static void *touch(void *arg)
{
	return (void *)(uintptr_t)*(volatile char *)arg;
}

TEST_F(region, answers_in_any_order)
{
	struct uffdmr_extent *extents[8];
	pthread_t threads[8];
	int i;

	CREATE();
	self->source.keep = true;
	for (i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, touch,
			       self->addr + 2 * i * PAGE);
	for (i = 0; i < 8; i++)
		extents[i] = scripted_take(&self->source);
	for (i = 0; i < 8; i++)
		scripted_answer(extents[(i * 5 + 3) % 8]);
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	ASSERT_EQ(8 * PAGE, STATS().demand_bytes);
	self->source.keep = false;
	ASSERT_TRUE(right(self->addr, 0, LENGTH));
}

TEST_F(region, asks_for_no_more_than_depth)
{
	struct uffdmr_extent *extent;
	int i;

	CREATE(.depth = 4, .extent = PAGE);
	self->source.keep = true;
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	extent = scripted_take(&self->source);
	usleep(50000);
	/* A share is left for those who wait. */
	ASSERT_EQ(1, self->source.asked);
	scripted_answer(extent);
	for (i = 1; i < PAGES; i++)
		scripted_answer(scripted_take(&self->source));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_EQ(PAGE, self->source.largest);
}

TEST_F(region, who_waits_goes_first)
{
	struct uffdmr_extent *first, *extent;
	pthread_t thread;

	CREATE(.depth = 4, .extent = PAGE);
	self->source.keep = true;
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	first = scripted_take(&self->source);
	pthread_create(&thread, NULL, touch, self->addr + 50 * PAGE);
	extent = scripted_take(&self->source);
	ASSERT_EQ(50 * PAGE, extent->offset);
	ASSERT_TRUE(extent->demand);
	ASSERT_FALSE(first->demand);
	scripted_answer(extent);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	self->source.keep = false;
	scripted_answer(first);
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_EQ(PAGE, STATS().demand_bytes);
}

/* How many threads wait for a page of which no message was read yet. */
static unsigned long unread(void)
{
	unsigned long n = 0;
	char path[64], text[64];
	FILE *info;
	int fd;

	/* The library's descriptors are some of the first. */
	for (fd = 0; fd < 64 && !n; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		info = fopen(path, "r");
		while (info && fgets(text, sizeof(text), info))
			sscanf(text, "pending: %lu", &n);
		if (info)
			fclose(info);
	}
	return n;
}

struct gate {
	pthread_mutex_t shut;	/* locked: the first fill waits */
	_Atomic int fills, before;	/* the far page came after so many */
};

static int fill_at_gate(void *buffer, size_t offset, size_t length, void *arg)
{
	struct gate *gate = arg;

	if (offset == 50 * PAGE)
		gate->before = gate->fills;
	if (!gate->fills++)
		pthread_mutex_lock(&gate->shut);
	pattern_fill(buffer, length, SEED, offset);
	return 0;
}

/* Though the source answers at once, in the thread that reads messages. */
TEST_F(region, who_waits_does_so_for_one_fill)
{
	struct gate gate = { .shut = PTHREAD_MUTEX_INITIALIZER };
	struct uffdmr_attr attr = {
		.source = uffdmr_callback(fill_at_gate, &gate),
		.length = LENGTH, .extent = PAGE,
	};
	struct uffdmr *region = uffdmr_create(&attr);
	pthread_t thread;

	ASSERT_NE(NULL, region) TH_LOG("%s", uffdmr_error());
	pthread_mutex_lock(&gate.shut);
	ASSERT_EQ(0, uffdmr_populate(region, 0));
	while (!gate.fills)
		usleep(1000);
	pthread_create(&thread, NULL, touch,
		       (char *)uffdmr_addr(region) + 50 * PAGE);
	while (!unread())
		usleep(1000);
	pthread_mutex_unlock(&gate.shut);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(1, gate.before);
	uffdmr_destroy(region);
}

TEST_F(region, asks_once_for_neighbours)
{
	pthread_t threads[16];
	int i;

	/* The first one keeps the only extent. */
	CREATE(.depth = 1);
	self->source.keep = true;
	pthread_create(&threads[0], NULL, touch, self->addr + 40 * PAGE);
	while (!self->source.asked)
		usleep(1000);
	for (i = 1; i < 16; i++)
		pthread_create(&threads[i], NULL, touch, self->addr + i * PAGE);
	while (STATS().messages < 16)
		usleep(1000);
	self->source.keep = false;
	scripted_answer(scripted_take(&self->source));
	for (i = 0; i < 16; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	/* Those that came first may have come out of order. */
	ASSERT_LT(self->source.asked, 16);
	ASSERT_LT(STATS().copies, 16);
	ASSERT_LT(PAGE, self->source.largest);
}

TEST_F(region, destroy_cancels)
{
	CREATE();
	self->source.keep = true;
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	while (!self->source.asked)
		usleep(1000);
	ASSERT_EQ(LENGTH, uffdmr_destroy(self->region));
	self->region = NULL;
	ASSERT_EQ(1, self->source.cancelled);
	ASSERT_EQ(1, self->source.closed);
}

/* --- sources that fail */

TEST_F(region, retries)
{
	CREATE(.retries = 3, .retry_ms = 1);
	self->source.fail = 3;
	ASSERT_TRUE(right(self->addr, 0, PAGE));
	ASSERT_EQ(3, STATS().failures);
	ASSERT_EQ(3, STATS().retries);
	ASSERT_EQ(ENOENT, STATS().error);
	ASSERT_EQ(0, STATS().poisoned);
}

TEST_F(region, zero_after_retries)
{
	static const char zeros[PAGE];

	CREATE(.retries = 2, .retry_ms = 1, .policy = UFFDMR_ZERO);
	self->source.fail = 3;
	ASSERT_EQ(0, memcmp(zeros, self->addr, PAGE));
	ASSERT_EQ(PAGE, STATS().zeroed_bytes);
	ASSERT_EQ(3, STATS().failures);
	ASSERT_TRUE(right(self->addr + PAGE, PAGE, PAGE));
}

static void touch_each(pthread_t *threads, char *addr, int first, int n)
{
	int i;

	for (i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, touch,
			       addr + (first + i) * PAGE);
}

/* All that may be asked for fail, and wait long until they are asked for again. */
TEST_F(region, comes_though_others_fail)
{
	char *mine = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t threads[4];
	int i;

	CREATE(.addr = mine, .depth = 4, .extent = PAGE, .retries = ~0U,
	       .retry_ms = 3600000);
	self->source.bad_from = 60 * PAGE;
	touch_each(threads, mine, 60, 4);
	while (STATS().failures < 4)
		usleep(1000);
	ASSERT_TRUE(right(mine, 0, PAGE));
	/* Now they come, and the source was not asked for them all the time. */
	ASSERT_GT(20, STATS().failures);
	self->source.bad_from = SIZE_MAX;
	ASSERT_TRUE(right(mine + PAGE, PAGE, 4 * PAGE));
	uffdmr_destroy(self->region);
	self->region = NULL;
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
}

/* More of them fail than may be asked for: each is asked for again and again. */
TEST_F(region, those_that_fail_take_turns)
{
	pthread_t threads[2];

	CREATE(.depth = 1, .extent = PAGE, .retries = ~0U, .retry_ms = 1);
	self->source.bad_from = 60 * PAGE;
	touch_each(&threads[0], self->addr, 61, 1);
	while (STATS().messages < 1)
		usleep(1000);
	touch_each(&threads[1], self->addr, 60, 1);
	while (STATS().messages < 2)
		usleep(1000);
	self->source.bad_from = 61 * PAGE;
	ASSERT_EQ(0, pthread_join(threads[1], NULL));
	touch_each(&threads[1], self->addr, 62, 1);
	while (STATS().messages < 3)
		usleep(1000);
	self->source.bad_from = 62 * PAGE;
	ASSERT_EQ(0, pthread_join(threads[0], NULL));
	self->source.bad_from = SIZE_MAX;
	ASSERT_EQ(0, pthread_join(threads[1], NULL));
	ASSERT_EQ(3 * PAGE, STATS().demand_bytes);
}

/* However often its turn is another's, it is retried so often, and no more. */
TEST_F(region, counts_retries_of_a_page)
{
	pthread_t threads[4];
	int i;

	CREATE(.depth = 1, .extent = PAGE, .retries = 5, .retry_ms = 1,
	       .policy = UFFDMR_ZERO);
	self->source.bad_from = 60 * PAGE;
	touch_each(threads, self->addr, 60, 4);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	ASSERT_EQ(4 * 6, STATS().failures);
	ASSERT_EQ(4 * 5, STATS().retries);
	ASSERT_EQ(4 * PAGE, STATS().zeroed_bytes);
}

/* Somebody has begun to wait for it since it was asked for the first time. */
TEST_F(region, is_urgent_when_retried)
{
	pthread_t thread;

	CREATE(.extent = PAGE, .length = PAGE, .retries = ~0U, .retry_ms = 1);
	self->source.bad_from = 0;
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	while (!STATS().failures)
		usleep(1000);
	ASSERT_EQ(0, self->source.urgent);
	touch_each(&thread, self->addr, 0, 1);
	while (!self->source.urgent)
		usleep(1000);
	self->source.bad_from = SIZE_MAX;
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_F_SIGNAL(region, poison_is_sigbus, SIGBUS)
{
	CREATE(.retries = 2, .retry_ms = 1);
	self->source.fail = 3;
	touch(self->addr);
}

TEST_F(region, poisoned_is_missing)
{
	size_t start, length;

	CREATE(.extent = PAGE);
	self->source.bad_from = 60 * PAGE;
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(-1, uffdmr_wait(self->region, 20000));
	ASSERT_EQ(EIO, errno);
	ASSERT_EQ(4 * PAGE, STATS().poisoned);
	ASSERT_TRUE(uffdmr_missing(self->region, 0, &start, &length));
	ASSERT_EQ(60 * PAGE, start);
	ASSERT_EQ(4 * PAGE, length);
	ASSERT_EQ(-1, uffdmr_finish(self->region));
	/* Thrown away, they are asked for again. */
	self->source.bad_from = SIZE_MAX;
	ASSERT_EQ(0, madvise(self->addr + start, length, MADV_DONTNEED));
	ASSERT_TRUE(right(self->addr, 0, LENGTH));
	ASSERT_EQ(0, uffdmr_finish(self->region));
}

/* --- in the background */

TEST_F(region, pauses_and_keeps_to_its_rate)
{
	uint64_t begun = now_ns();
	size_t present;

	/* Half a second for all of it. */
	CREATE(.extent = PAGE);
	ASSERT_EQ(0, uffdmr_populate(self->region, 2 * LENGTH));
	usleep(100000);
	ASSERT_EQ(0, uffdmr_pause(self->region));
	usleep(50000);
	present = STATS().present;
	ASSERT_LT(present, LENGTH);
	usleep(100000);
	ASSERT_EQ(present, STATS().present);
	ASSERT_EQ(0, uffdmr_populate(self->region, 2 * LENGTH));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_LT(500 * NSEC_PER_MSEC, now_ns() - begun);
}

struct told {
	_Atomic int calls;
	_Atomic size_t present;
};

static void tell(size_t present, size_t length, void *arg)
{
	struct told *told = arg;

	(void)length;
	told->calls++;
	told->present = present;
}

TEST_F(region, tells_of_progress)
{
	struct told told = { 0 };
	int calls;

	CREATE(.extent = PAGE);
	ASSERT_EQ(0, uffdmr_on_progress(self->region, 10, tell, &told));
	ASSERT_EQ(0, uffdmr_populate(self->region, 4 * LENGTH));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	while (told.present < LENGTH)
		usleep(1000);
	calls = told.calls;
	ASSERT_LT(2, calls);
	usleep(50000);
	/* The last time when the last page was there. */
	ASSERT_EQ(calls, told.calls);
}

static void tell_slowly(size_t present, size_t length, void *arg)
{
	struct told *told = arg;

	tell(present, length, arg);
	usleep(100000);
	told->present = 0;
}

TEST_F(region, is_told_no_more)
{
	struct told told = { 0 };

	CREATE();
	ASSERT_EQ(0, uffdmr_on_progress(self->region, 0, tell_slowly, &told));
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	while (!told.calls)
		usleep(100);
	ASSERT_EQ(0, uffdmr_on_progress(self->region, 0, NULL, NULL));
	ASSERT_EQ(0, told.present);
}

/* --- many threads */

struct toucher {
	char *addr;
	unsigned int seed;
	pthread_t thread;
	bool ok;
};

#define THREADS	8
#define LARGE	(2048 * PAGE)

static void *touch_all(void *arg)
{
	struct toucher *toucher = arg;
	size_t i, at;

	toucher->ok = true;
	for (i = 0; i < 1000 && toucher->ok; i++) {
		at = rand_r(&toucher->seed) % (LARGE / PAGE) * PAGE;
		toucher->ok = right(toucher->addr + at, at, 64);
	}
	return NULL;
}

TEST_F(region, many_threads)
{
	struct toucher touchers[THREADS];
	struct uffdmr_stats stats;
	uint64_t sum = 0;
	int i;

	CREATE(.length = LARGE);
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	for (i = 0; i < THREADS; i++) {
		touchers[i] = (struct toucher){ .addr = self->addr, .seed = i };
		pthread_create(&touchers[i].thread, NULL, touch_all,
			       &touchers[i]);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(touchers[i].thread, NULL);
		ASSERT_TRUE(touchers[i].ok);
	}
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	stats = STATS();
	ASSERT_EQ(LARGE, stats.demand_bytes + stats.background_bytes);
	for (i = 0; i < UFFDMR_BUCKETS; i++)
		sum += stats.latency[i];
	ASSERT_EQ(sum, stats.latency_count);
	ASSERT_EQ(stats.latency_count * PAGE, stats.demand_bytes);
	ASSERT_LE(uffdmr_percentile(&stats, 50), uffdmr_percentile(&stats, 99));
	ASSERT_LE(uffdmr_percentile(&stats, 100), stats.latency_max_ns);
	ASSERT_TRUE(right(self->addr, 0, LARGE));
}

TEST_F(region, discards_nothing_that_is_on_its_way)
{
	self->source.keep = true;
	CREATE();
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	while (!self->source.asked)
		usleep(1000);
	ASSERT_EQ(-1, uffdmr_discard(self->region, 0, LENGTH));
	ASSERT_EQ(EBUSY, errno);
}

struct discarder {
	struct uffdmr *region;
	_Atomic pid_t tid;
};

static void *discard_page(void *arg)
{
	struct discarder *discarder = arg;

	discarder->tid = gettid();
	return (void *)(intptr_t)uffdmr_discard(discarder->region, 5 * PAGE, PAGE);
}

/* Does a thread of ours sleep where no signal reaches it? */
static bool sleeps(pid_t tid)
{
	char path[64], state = 0;
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	stat = fopen(path, "r");
	if (stat) {
		if (fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
			state = 0;
		fclose(stat);
	}
	return state == 'D';
}

struct file_writer {
	int fd;
	const char *from;
};

static void *write_page(void *arg)
{
	struct file_writer *writer = arg;

	return (void *)pwrite(writer->fd, writer->from, PAGE, 10 * PAGE);
}

/* Who writes to the file has its lock, which throwing pages away takes, and waits. */
TEST_F(region, discards_while_a_writer_waits)
{
	int memfd = memfd_create("region", 0);
	struct discarder discarder = { 0 };
	pthread_t discarding, writing;
	struct file_writer writer;
	char *mine;
	void *result;

	ASSERT_EQ(0, ftruncate(memfd, LENGTH));
	mine = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT_NE(MAP_FAILED, mine);
	CREATE(.addr = mine, .extent = PAGE);
	ASSERT_TRUE(right(mine + 5 * PAGE, 5 * PAGE, PAGE));
	self->source.keep = true;
	writer = (struct file_writer){ memfd, mine + PAGE };
	pthread_create(&writing, NULL, write_page, &writer);
	while (self->source.asked < 2)
		usleep(1000);
	discarder.region = self->region;
	pthread_create(&discarding, NULL, discard_page, &discarder);
	while (!discarder.tid || !sleeps(discarder.tid))
		usleep(1000);
	scripted_release(&self->source);
	ASSERT_EQ(0, pthread_join(writing, &result));
	ASSERT_EQ(PAGE, (uintptr_t)result);
	ASSERT_EQ(0, pthread_join(discarding, &result));
	ASSERT_EQ(NULL, result);
	ASSERT_TRUE(right(mine, 0, 10 * PAGE));
	ASSERT_TRUE(right(mine + 10 * PAGE, PAGE, PAGE));
}

TEST_HARNESS_MAIN
