// SPDX-License-Identifier: GPL-2.0
/* Small helpers of PID 1. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* With QEMU's -no-reboot a reset is the end of the machine. */
void reset_machine(void)
{
	write_file("/proc/sysrq-trigger", "b");
	/* Without /proc: the end of PID 1 is a panic, with the same effect. */
	_exit(1);
}

void fail(const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	control_say("failed %s", message);
	fprintf(stderr, "vm/init: %s\n", message);
	/* vm/run reads the message and ends the machine. */
	sleep(10);
	reset_machine();
}

/* To the console, whatever its log level is. */
void kernel_log(const char *format, ...)
{
	char line[1024];
	va_list args;
	int used;

	used = snprintf(line, sizeof(line), "<0>vm/init: ");
	va_start(args, format);
	used += vsnprintf(line + used, sizeof(line) - used, format, args);
	va_end(args);
	if (used > (int)sizeof(line) - 2)
		used = sizeof(line) - 2;
	/* A line without its end would wait for more. */
	memcpy(line + used, "\n", 2);
	write_file("/dev/kmsg", line);
}

void strings_add(struct strings *list, char *string)
{
	list->at = realloc(list->at, (list->count + 2) * sizeof(*list->at));
	if (!list->at)
		fail("out of memory");
	list->at[list->count++] = string;
	list->at[list->count] = NULL;
}

void nap(int milliseconds)
{
	struct timespec time = {
		.tv_sec = milliseconds / 1000,
		.tv_nsec = milliseconds % 1000 * 1000000L,
	};

	nanosleep(&time, NULL);
}

void write_all(int fd, const void *data, size_t size)
{
	while (size) {
		ssize_t written = write(fd, data, size);

		if (written < 0) {
			if (errno == EINTR)
				continue;
			/* vm/run is gone, and with it all reason to go on. */
			reset_machine();
		}
		data += written;
		size -= written;
	}
}

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written;

	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text));
	close(fd);
	return written >= 0;
}

/* As much as fits, ended by a NUL. */
bool read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got = 0;

	if (fd < 0)
		return false;
	while (used < size - 1) {
		got = read(fd, text + used, size - 1 - used);
		if (got <= 0)
			break;
		used += got;
	}
	text[used] = '\0';
	close(fd);
	return got >= 0;
}

void make_folders(const char *path)
{
	char *copy = strdup(path), *slash = copy;

	if (!copy)
		fail("out of memory");
	do {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (mkdir(copy, 0755) && errno != EEXIST)
			fail("cannot make the folder %s: %m", copy);
		if (slash)
			*slash = '/';
	} while (slash);
	free(copy);
}

/* Starts a program of the host that helps to set up or to clean up. */
pid_t start(char *const args[])
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork: %m");
	if (!pid) {
		execvp(args[0], args);
		fprintf(stderr, "vm/init: %s: %m\n", args[0]);
		_exit(127);
	}
	return pid;
}
