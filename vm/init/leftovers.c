// SPDX-License-Identifier: GPL-2.0
/*
 * What the command left behind must go: its processes, and with them all that
 * holds rxe0. What cannot go is a bug in the kernel, and reported as one.
 */
#include "init.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

static void log_lines(char *text)
{
	char *line;

	while ((line = strsep(&text, "\n")))
		if (*line)
			kernel_log("%s", line);
}

static void log_stack(int pid)
{
	char path[64], stack[4096];

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	if (read_file(path, stack, sizeof(stack)))
		log_lines(stack);
}

/* All but PID 1, kernel threads (children of PID 2) and the dead. */
static void log_processes(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		fail("cannot read /proc: %m");
	while ((entry = readdir(proc))) {
		int pid = atoi(entry->d_name), parent;
		char path[64], stat[512], *rest, state;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		if (pid <= 2 || !read_file(path, stat, sizeof(stat)))
			continue;
		rest = strrchr(stat, ')');
		if (!rest || sscanf(rest, ") %c %d", &state, &parent) != 2)
			continue;
		if (parent == 2 || state == 'Z' || state == 'X')
			continue;
		rest[1] = '\0';
		kernel_log("BUG: cannot kill the process %s, state %c", stat, state);
		log_stack(pid);
	}
	closedir(proc);
}

/* Orphans are our children, so none is left when we have no child. */
bool leftovers_kill(const struct job *job)
{
	for (int tries = 0; tries < job->grace * 100; tries++) {
		pid_t pid;

		kill(-1, SIGKILL);
		do
			pid = waitpid(-1, NULL, WNOHANG);
		while (pid > 0);
		if (pid < 0 && errno == ECHILD)
			return true;
		nap(10);
	}
	log_processes();
	return false;
}

void leftovers_delete_rxe(const struct job *job)
{
	pid_t pid;

	if (access("/sys/class/infiniband/rxe0", F_OK))
		return;
	pid = start((char *[]){ "rdma", "link", "delete", "rxe0", NULL });
	for (int tries = 0; tries < job->grace * 200; tries++) {
		if (waitpid(pid, NULL, WNOHANG) == pid) {
			if (access("/sys/class/infiniband/rxe0", F_OK))
				return;
			break;
		}
		nap(5);
	}
	kernel_log("BUG: cannot delete rxe0");
	log_stack(pid);
}

void leftovers_scan_kmemleak(void)
{
	char found[8192];

	/* An object younger than 5 s does not count as leaked. */
	sleep(5);
	if (!write_file(KMEMLEAK, "scan") || !read_file(KMEMLEAK, found, sizeof(found)))
		fail("this kernel has no kmemleak: --kmemleak needs the debug kernel");
	if (!*found)
		return;
	kernel_log("BUG: leaked memory");
	log_lines(found);
}
