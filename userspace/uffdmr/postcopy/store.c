// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

#define MAGIC	0x7566666d7270636dULL

static size_t meta_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static int map_file(struct store *store, int fd, size_t length,
		    const char *name, struct failure *failure)
{
	char *base = mmap(NULL, meta_size() + length, PROT_READ | PROT_WRITE,
			  MAP_SHARED, fd, 0);

	if (base == MAP_FAILED)
		return fail(failure, errno, "cannot map %s", name);
	store->meta = (void *)base;
	store->table = base + meta_size();
	store->length = length;
	return 0;
}

/* A tmpfs may promise more than there is, and the kernel kills who takes it. */
static int need_memory(size_t length, struct failure *failure)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long kib = ULONG_MAX;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %lu kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return length >> 10 > kib ?
	       fail(failure, ENOMEM, "a table of %zu MiB, with %lu available",
		    length >> 20, kib >> 10) : 0;
}

/* Have the file empty, if nobody needs what it has. */
static int make_empty(int fd, const char *path, struct failure *failure)
{
	struct store_meta meta;

	if (pread(fd, &meta, sizeof(meta), 0) == sizeof(meta) &&
	    meta.magic == MAGIC && meta.phase == STORE_MOVED)
		return fail(failure, EEXIST,
			    "a destination may need what is in %s (--resume)", path);
	return ftruncate(fd, 0) ? fail(failure, errno, "cannot empty %s", path) :
				  0;
}

/* A page that cannot be had later would be a SIGBUS. */
static int allocate(int fd, size_t size, const char *name,
		    struct failure *failure)
{
	int err = posix_fallocate(fd, 0, size);

	return err ? fail(failure, err, "cannot have %zu bytes in %s", size,
			  name) : 0;
}

int store_new(struct store *store, const char *path, size_t length,
	      struct failure *failure)
{
	const char *name = path ? path : "memory";
	int fd, err;

	err = need_memory(length, failure);
	if (err)
		return err;
	fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) :
		    memfd_create("uffdmr-table", MFD_CLOEXEC);
	if (fd < 0)
		return fail(failure, errno, "cannot make %s", name);
	err = make_empty(fd, name, failure);
	if (!err)
		err = allocate(fd, meta_size() + length, name, failure);
	if (!err)
		err = map_file(store, fd, length, name, failure);
	close(fd);
	if (err)
		return err;
	table_fill(store->table, length);
	*store->meta = (struct store_meta){
		.magic = MAGIC,
		.length = length,
		.phase = STORE_RUNNING,
		.generation = 1,
		.state = CPU_STATE_INIT,
	};
	return 0;
}

static int check(const struct store *store, size_t file, const char *path,
		 struct failure *failure)
{
	const struct store_meta *meta = store->meta;

	if (meta->magic != MAGIC || meta->length != file - meta_size() ||
	    !table_valid(store->table, meta->length))
		return fail(failure, EINVAL, "%s is no memory of a source", path);
	if (meta->phase == STORE_DONE)
		return fail(failure, EINVAL, "no destination needs what is in %s",
			    path);
	if (meta->phase != STORE_MOVED)
		return fail(failure, EINVAL,
			    "the workload was running in %s when its source ended, and cannot go on",
			    path);
	return 0;
}

int store_resume(struct store *store, const char *path, struct failure *failure)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), err;
	struct stat stat;

	if (fd < 0)
		return fail(failure, errno, "cannot open %s", path);
	if (fstat(fd, &stat) || (size_t)stat.st_size < meta_size() + TABLE_MIN)
		err = fail(failure, EINVAL, "%s is no memory of a source", path);
	else
		err = map_file(store, fd, stat.st_size - meta_size(), path, failure);
	close(fd);
	if (err)
		return err;
	err = check(store, stat.st_size, path, failure);
	if (err)
		store_close(store);
	return err;
}

void store_close(struct store *store)
{
	if (store->meta)
		munmap(store->meta, meta_size() + store->length);
	*store = (struct store){ 0 };
}
