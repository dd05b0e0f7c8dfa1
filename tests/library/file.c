// SPDX-License-Identifier: GPL-2.0
/* Pages of a region that come from a file. */
#include <fcntl.h>

#include "kselftest_harness.h"
#include "source.h"

#define PAGE	4096UL
#define PAGES	300
#define LENGTH	(PAGES * PAGE)

/* In the middle of a page, with more pages behind it. */
#define FILE_LENGTH	(250 * PAGE + 1234)

FIXTURE(file)
{
	char template[32];
	const char *path;
	int fd;
	struct uffdmr *region;
};

FIXTURE_VARIANT(file)
{
	unsigned int flags;
	size_t offset;
};

FIXTURE_VARIANT_ADD(file, cached)
{
	.offset = 0,
};

FIXTURE_VARIANT_ADD(file, cached_from_the_middle)
{
	.offset = 777,
};

FIXTURE_VARIANT_ADD(file, direct)
{
	.flags = UFFDMR_DIRECT,
};

FIXTURE_VARIANT_ADD(file, direct_from_the_middle)
{
	.flags = UFFDMR_DIRECT,
	.offset = 3 * PAGE,
};

FIXTURE_SETUP(file)
{
	char *bytes = malloc(FILE_LENGTH);

	snprintf(self->template, sizeof(self->template), "/tmp/file-XXXXXX");
	self->fd = mkstemp(self->template);
	self->path = self->template;
	ASSERT_LE(0, self->fd);
	pattern_fill(bytes, FILE_LENGTH, SEED, 0);
	ASSERT_EQ(FILE_LENGTH, write(self->fd, bytes, FILE_LENGTH));
	free(bytes);
}

FIXTURE_TEARDOWN(file)
{
	uffdmr_destroy(self->region);
	close(self->fd);
	unlink(self->path);
}

static bool all_right(const char *addr, size_t offset)
{
	size_t have = FILE_LENGTH - offset, at;
	char *want = malloc(have);
	bool same;

	pattern_fill(want, have, SEED, offset);
	same = !memcmp(want, addr, have);
	free(want);
	for (at = have; same && at < LENGTH; at++)
		same = !addr[at];
	return same;
}

static struct uffdmr *open_region(const char *path, size_t offset,
				  unsigned int flags)
{
	struct uffdmr_attr attr = {
		.length = LENGTH,
		.source = uffdmr_file(path, offset, flags),
	};

	return attr.source ? uffdmr_create(&attr) : NULL;
}

TEST_F(file, comes_when_touched)
{
	self->region = open_region(self->path, variant->offset, variant->flags);
	ASSERT_NE(NULL, self->region) TH_LOG("%s", uffdmr_error());
	/* Its name is of no use any more. */
	ASSERT_EQ(0, rename(self->path, "/tmp/file-renamed"));
	self->path = "/tmp/file-renamed";
	ASSERT_TRUE(all_right(uffdmr_addr(self->region), variant->offset));
}

TEST_F(file, comes_in_the_background)
{
	struct uffdmr_stats stats;

	self->region = open_region(self->path, variant->offset, variant->flags);
	ASSERT_NE(NULL, self->region) TH_LOG("%s", uffdmr_error());
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_EQ(0, uffdmr_finish(self->region));
	ASSERT_TRUE(all_right(uffdmr_addr(self->region), variant->offset));
	uffdmr_get_stats(self->region, &stats);
	ASSERT_EQ(LENGTH, stats.background_bytes);
	ASSERT_EQ(0, stats.failures);
}

TEST_F(file, became_shorter)
{
	char *addr;

	self->region = open_region(self->path, variant->offset, variant->flags);
	ASSERT_NE(NULL, self->region) TH_LOG("%s", uffdmr_error());
	addr = uffdmr_addr(self->region);
	ASSERT_EQ(0, ftruncate(self->fd, 0));
	ASSERT_EQ(0, addr[100 * PAGE]);
}

TEST(refuses_what_is_no_file)
{
	ASSERT_EQ(NULL, uffdmr_file("/tmp/nothing", 0, 0));
	ASSERT_EQ(ENOENT, errno);
	ASSERT_STREQ("cannot open /tmp/nothing: No such file or directory",
		     uffdmr_error());
	ASSERT_EQ(NULL, uffdmr_file("/dev/null", -1, 0));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(NULL, uffdmr_file("/dev/null", 1, UFFDMR_DIRECT));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(NULL, uffdmr_file("/dev/null", 0, 2));
	ASSERT_EQ(EINVAL, errno);
}

/* It can be opened, and not be read. */
TEST(fails_as_a_source)
{
	struct uffdmr_attr attr = {
		.length = LENGTH,
		.source = uffdmr_file("/tmp", 0, 0),
		.policy = UFFDMR_ZERO,
	};
	struct uffdmr_stats stats;
	struct uffdmr *region;

	ASSERT_NE(NULL, attr.source);
	region = uffdmr_create(&attr);
	ASSERT_NE(NULL, region);
	ASSERT_EQ(0, *(char *)uffdmr_addr(region));
	uffdmr_get_stats(region, &stats);
	ASSERT_EQ(1, stats.failures);
	ASSERT_EQ(EISDIR, stats.error);
	ASSERT_EQ(PAGE, stats.zeroed_bytes);
	uffdmr_destroy(region);
}

TEST_HARNESS_MAIN
