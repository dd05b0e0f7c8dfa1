// SPDX-License-Identifier: GPL-2.0
/*
 * The root file system: the host's (9p, read-only) under a tmpfs that takes
 * what the guest writes and goes with it.
 */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define P9_OPTIONS "trans=virtio,version=9p2000.L,msize=512000"

static const struct {
	const char *type, *path, *options;
} mounts[] = {
	{ "proc", "/proc", "" },
	{ "sysfs", "/sys", "" },
	{ "devtmpfs", "/dev", "mode=755" },
	{ "devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666" },
	{ "tmpfs", "/dev/shm", "mode=1777" },
	{ "hugetlbfs", "/dev/hugepages", "mode=1777" },
	{ "tmpfs", "/run", "mode=755" },
	{ "tmpfs", "/tmp", "mode=1777" },
	{ "tmpfs", "/var/tmp", "mode=1777" },
	{ "cgroup2", "/sys/fs/cgroup", "" },
	{ "debugfs", "/sys/kernel/debug", "" },
	{ "tracefs", "/sys/kernel/tracing", "" },
	{ "configfs", "/sys/kernel/config", "" },
};

static void mount_or_fail(const char *source, const char *path, const char *type,
			  unsigned long flags, const char *options)
{
	if (mount(source, path, type, flags, options))
		fail("cannot mount %s (%s): %m", path, type ? type : "bind");
}

static void mount_overlay(void)
{
	mount_or_fail("upper", "/tmp", "tmpfs", 0, "mode=755");
	make_folders("/tmp/upper");
	make_folders("/tmp/work");
	make_folders("/tmp/root");
	mount_or_fail("root", "/tmp/root", "overlay", 0,
		      "lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work");
	/* The old root ends up on top of the new one; off with it. */
	if (chdir("/tmp/root") || syscall(SYS_pivot_root, ".", ".") ||
	    umount2(".", MNT_DETACH) || chdir("/"))
		fail("cannot change to the new root: %m");
}

static void mount_all(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		if (!strncmp(mounts[i].path, "/dev/", 5))
			make_folders(mounts[i].path);
		/* A kernel without one of these is still of use. */
		if (mount(mounts[i].type, mounts[i].path, mounts[i].type, 0,
			  mounts[i].options) && errno != ENODEV)
			fail("cannot mount %s: %m", mounts[i].path);
	}
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") ||
	    symlink("fd/1", "/dev/stdout") || symlink("fd/2", "/dev/stderr"))
		fail("cannot make the links in /dev: %m");
}

/* A folder that now lies below an empty tmpfs (a clone in /tmp) shows again. */
static void show_folder(const char *path, int folder)
{
	char source[32];
	struct stat then, now;

	if (folder < 0 || fstat(folder, &then))
		return;
	if (!stat(path, &now) && then.st_dev == now.st_dev && then.st_ino == now.st_ino)
		return;
	/* /tmp itself and the like are meant to be empty. */
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
		if (!strcmp(path, mounts[i].path))
			return;
	make_folders(path);
	snprintf(source, sizeof(source), "/proc/self/fd/%d", folder);
	mount_or_fail(source, path, NULL, MS_BIND, NULL);
}

static void mount_shares(const struct strings *shares)
{
	for (size_t i = 0; i < shares->count; i++) {
		char tag[32];

		snprintf(tag, sizeof(tag), "share%zu", i);
		make_folders(shares->at[i]);
		mount_or_fail(tag, shares->at[i], "9p", 0, P9_OPTIONS ",cache=mmap");
	}
}

void root_mount(const struct job *job)
{
	int folders[8];

	if (job->folders.count > ARRAY_SIZE(folders))
		fail("too many folders");
	umask(0);
	mount_overlay();
	for (size_t i = 0; i < job->folders.count; i++)
		folders[i] = open(job->folders.at[i], O_PATH | O_CLOEXEC);
	mount_all();
	for (size_t i = 0; i < job->folders.count; i++) {
		show_folder(job->folders.at[i], folders[i]);
		if (folders[i] >= 0)
			close(folders[i]);
	}
	mount_shares(&job->shares);
	umask(022);
}
