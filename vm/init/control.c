// SPDX-License-Identifier: GPL-2.0
/*
 * The control port to vm/run. Messages are lines:
 *   to here:   "go", "end", "winsize ROWS COLUMNS", "show-blocked"
 *   to vm/run: "ready", "status N", "done", "failed MESSAGE"
 * Before them comes the job: "name=value" strings, each ended by a NUL, and an
 * empty one after the last.
 */
#include "init.h"

#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int control = -1;
static FILE *input;
static sem_t ended;

/* A port is there as soon as the virtio-serial driver has probed. */
int port_open(int number)
{
	char pattern[32];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "/dev/vport*p%d", number);
	for (int tries = 0; tries < 2000; tries++) {
		if (!glob(pattern, 0, NULL, &found)) {
			int fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);

			globfree(&found);
			if (fd >= 0)
				return fd;
		}
		nap(5);
	}
	fail("no port %d to vm/run in /dev", number);
}

void control_open(void)
{
	control = port_open(1);
	input = fdopen(control, "r");
	if (!input)
		fail("fdopen: %m");
}

void control_say(const char *format, ...)
{
	char line[1100];
	va_list args;
	int length;

	if (control < 0)
		return;
	va_start(args, format);
	length = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (length > (int)sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	write_all(control, line, length);
}

static void job_set(struct job *job, const char *name, char *value)
{
	struct { const char *name; char **to; } texts[] = {
		{ "name", &job->name }, { "cwd", &job->cwd }, { "marker", &job->marker },
	};
	struct { const char *name; int *to; } numbers[] = {
		{ "host", &job->host }, { "rxe", &job->rxe },
		{ "interactive", &job->interactive }, { "kmemleak", &job->kmemleak },
		{ "hung", &job->hung }, { "grace", &job->grace },
	};
	struct { const char *name; struct strings *to; } lists[] = {
		{ "env", &job->env }, { "arg", &job->args },
		{ "folder", &job->folders }, { "share", &job->shares },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!strcmp(name, texts[i].name))
			*texts[i].to = value;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!strcmp(name, numbers[i].name))
			*numbers[i].to = atoi(value);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (!strcmp(name, lists[i].name))
			strings_add(lists[i].to, value);
}

void control_read_job(struct job *job)
{
	while (1) {
		char *item = NULL, *equals;
		size_t size = 0;

		/* Without vm/run there is nothing to do. */
		if (getdelim(&item, &size, '\0', input) < 0)
			reset_machine();
		equals = strchr(item, '=');
		if (!equals)
			break;
		*equals = '\0';
		job_set(job, item, equals + 1);
	}
}

static void next_line(char *line, int size)
{
	if (!fgets(line, size, input))
		reset_machine();
	line[strcspn(line, "\n")] = '\0';
}

static void *serve(void *unused)
{
	char line[64];

	(void)unused;
	while (1) {
		struct winsize size = {};

		next_line(line, sizeof(line));
		if (!strcmp(line, "end")) {
			sem_post(&ended);
		} else if (!strcmp(line, "show-blocked")) {
			write_file("/proc/sysrq-trigger", "w");
		} else if (sscanf(line, "winsize %hu %hu", &size.ws_row, &size.ws_col) == 2) {
			int fd = open("/dev/hvc0", O_RDWR | O_NOCTTY | O_CLOEXEC);

			ioctl(fd, TIOCSWINSZ, &size);
			close(fd);
		}
	}
	return NULL;
}

/* Waits for "go", then serves messages in the background. */
void control_serve(void)
{
	char line[64];
	pthread_t thread;

	next_line(line, sizeof(line));
	sem_init(&ended, 0, 0);
	if (pthread_create(&thread, NULL, serve, NULL))
		fail("pthread_create failed");
}

void control_wait_end(void)
{
	while (sem_wait(&ended))
		;
}
