// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the guest that vm/run boots: makes the host's root file system
 * usable, brings up rxe0, runs one command, hands its output and its status
 * to vm/run. control.c has what the two say to each other; two more ports
 * carry the output, and the job's marker ends each of them.
 */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * The command writes to a pipe, not to the port: a port can be opened once
 * only, and /dev/stdout would open it again.
 */
struct stream {
	int port;
	int pipe[2];
	pthread_t thread;
};

static void *carry(void *argument)
{
	struct stream *stream = argument;
	char data[1 << 16];
	ssize_t size;

	while ((size = read(stream->pipe[0], data, sizeof(data))))
		if (size > 0)
			write_all(stream->port, data, size);
	return NULL;
}

static void stream_open(struct stream *stream, int number)
{
	stream->port = port_open(number);
	if (pipe2(stream->pipe, O_CLOEXEC) ||
	    pthread_create(&stream->thread, NULL, carry, stream))
		fail("cannot carry the output: %m");
}

/*
 * Ends when all processes that have the pipe open are gone: those that cannot
 * be killed get no more than a moment.
 */
static void stream_end(struct stream *stream, bool stuck, const char *marker)
{
	struct timespec until;

	close(stream->pipe[1]);
	if (stuck) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		pthread_timedjoin_np(stream->thread, NULL, &until);
	} else {
		pthread_join(stream->thread, NULL);
	}
	write_all(stream->port, marker, strlen(marker));
}

static void set_limits(const struct job *job)
{
	struct rlimit none = { 0, 0 }, all = { RLIM_INFINITY, RLIM_INFINITY };
	char number[16];

	setrlimit(RLIMIT_CORE, &none);
	setrlimit(RLIMIT_MEMLOCK, &all);
	write_file("/proc/sys/kernel/printk", "8");
	snprintf(number, sizeof(number), "%d", job->hung);
	write_file("/proc/sys/kernel/hung_task_timeout_secs", number);
	if (sethostname(job->name, strlen(job->name)))
		fail("sethostname: %m");
}

static noreturn void become_command(const struct job *job, const int files[3])
{
	setsid();
	for (int i = 0; i < 3; i++)
		dup2(files[i], i);
	if (job->interactive)
		ioctl(0, TIOCSCTTY, 0);
	if (chdir(job->cwd)) {
		fprintf(stderr, "vm/run: cannot go to %s in the guest: %m\n", job->cwd);
		_exit(126);
	}
	environ = job->env.at;
	execvp(job->args.at[0], job->args.at);
	fprintf(stderr, "vm/run: cannot run %s: %m\n", job->args.at[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Runs the command; its status as a shell gives it. Reaps orphans meanwhile. */
static int run_command(const struct job *job, const int files[3])
{
	pid_t command = fork(), pid;
	int status;

	if (command < 0)
		fail("fork: %m");
	if (!command)
		become_command(job, files);
	do
		pid = wait(&status);
	while (pid != command);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(void)
{
	struct job job = {};
	struct stream out, err;
	bool stuck;
	int screen, status;

	/* On the host it tells vm/run what the guest would not find out. */
	if (getpid() != 1) {
		printf("%lu\n", tsc_khz());
		return 0;
	}

	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	control_open();
	control_read_job(&job);
	root_mount(&job);
	set_limits(&job);
	network_up(&job);
	if (job.kmemleak)
		write_file("/sys/kernel/debug/kmemleak", "clear");
	stream_open(&out, 2);
	stream_open(&err, 3);

	control_say("ready");
	control_serve();
	screen = open(job.interactive ? "/dev/hvc0" : "/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (screen < 0)
		fail("no terminal: %m");
	if (job.interactive)
		status = run_command(&job, (int[]){ screen, screen, screen });
	else
		status = run_command(&job, (int[]){ screen, out.pipe[1], err.pipe[1] });
	control_say("status %d", status);
	control_wait_end();

	stuck = !leftovers_kill(&job);
	stream_end(&out, stuck, job.marker);
	stream_end(&err, stuck, job.marker);
	leftovers_delete_rxe(&job);
	if (job.kmemleak)
		leftovers_scan_kmemleak();
	if (job.shares.count)
		sync();
	/* The console's last line, and then vm/run ends the machine. */
	kernel_log("%s", job.marker);
	control_say("done");
	while (1)
		pause();
}
