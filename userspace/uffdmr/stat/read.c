// SPDX-License-Identifier: GPL-2.0
/* Finds what a process publishes. Nothing that is read is taken for granted. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stat.h"

#define MAX_FILES	1024

/* What was read: files, a process may have one under several numbers. */
struct seen {
	ino_t files[MAX_FILES];
	size_t n;
};

static bool is_new(struct seen *seen, int fd)
{
	struct stat stat;
	size_t i;

	if (seen->n == MAX_FILES || fstat(fd, &stat))
		return false;
	for (i = 0; i < seen->n; i++)
		if (seen->files[i] == stat.st_ino)
			return false;
	seen->files[seen->n++] = stat.st_ino;
	return true;
}

static int read_slots(int fd, struct published *slots, int max)
{
	struct published_file head;
	uint32_t i;
	int n = 0;

	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    head.magic != PUBLISHED_MAGIC ||
	    head.slot_size != sizeof(struct published))
		return 0;
	for (i = 0; i < head.slots && n < max; i++) {
		struct published *slot = &slots[n];

		if (pread(fd, slot, sizeof(*slot), published_size(i)) !=
		    sizeof(*slot))
			break;
		slot->program[sizeof(slot->program) - 1] = 0;
		if (slot->pid)
			n++;
	}
	return n;
}

int stat_read(pid_t pid, struct published *slots, int max,
	      struct failure *failure)
{
	static const char name[] = "/memfd:" PUBLISHED_NAME;
	struct seen seen = { .n = 0 };
	struct dirent *entry;
	char path[64], target[sizeof(name)];
	DIR *dir;
	int n = 0, fd;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir && errno == ENOENT)
		return fail(failure, ESRCH, "process %d", pid);
	if (!dir)
		return fail(failure, errno,
			    "cannot look at process %d (is it another user's?)",
			    pid);
	while ((entry = readdir(dir))) {
		ssize_t length = readlinkat(dirfd(dir), entry->d_name, target,
					    sizeof(target));

		if (length < (ssize_t)sizeof(name) - 1 ||
		    memcmp(target, name, sizeof(name) - 1))
			continue;
		fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (is_new(&seen, fd))
			n += read_slots(fd, slots + n, max - n);
		close(fd);
	}
	closedir(dir);
	return n;
}
