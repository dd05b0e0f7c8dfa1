// SPDX-License-Identifier: GPL-2.0
/* Runs the program. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

#define PRELOAD	"uffdmr-preload.so"

static pid_t program;

/* The library is beside the command, as it was built, or where it was installed. */
static int find_preload(char **path, struct failure *failure)
{
	static const char *const places[] = { "", "../lib/uffdmr/" };
	char here[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);
	size_t i;

	if (n < 0)
		return fail(failure, errno, "cannot find myself");
	here[n] = 0;
	*strrchr(here, '/') = 0;
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		if (asprintf(path, "%s/%s" PRELOAD, here, places[i]) < 0)
			return fail(failure, ENOMEM, "cannot start");
		if (access(*path, R_OK)) {
			free(*path);
			continue;
		}
		/* That is how ld.so tells one from the next. */
		if (strpbrk(*path, " :"))
			return fail(failure, 0,
				    "%s: LD_PRELOAD takes no path with a space or a colon in it",
				    *path);
		return 0;
	}
	return fail(failure, 0, "there is no " PRELOAD " beside %s, nor in %s/%s",
		    here, here, places[1]);
}

static void set_environment(const struct preload_config *config,
			    const char *preload)
{
	const char *others = getenv("LD_PRELOAD");
	char text[256], *list;

	snprintf(text, sizeof(text), CONFIG_FORMAT,
		 config->latency_ns, config->jitter_ns, config->distribution,
		 config->fail_ppm, config->populate, config->seed, config->pid,
		 config->fd);
	setenv(CONFIG_VARIABLE, text, 1);
	/* A sanitizer's library has to be the first. */
	if (asprintf(&list, "%s%s%s", others ? others : "", others ? ":" : "",
		     preload) >= 0)
		setenv("LD_PRELOAD", list, 1);
}

static void pass_on(int signal)
{
	kill(program, signal);
}

/* What a terminal sends to both is for the program to answer. */
static void set_signals(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGTERM, pass_on);
	signal(SIGHUP, pass_on);
}

int run_program(const struct run_options *options, int *exit_status,
		struct failure *failure)
{
	char *preload;
	int status, err;

	err = find_preload(&preload, failure);
	if (err)
		return err;
	program = fork();
	if (program < 0)
		return fail(failure, errno, "cannot start a process");
	if (!program) {
		set_environment(&options->config, preload);
		execvp(options->program[0], options->program);
		fprintf(stderr, "uffdmr run: cannot run %s: %s\n",
			options->program[0], strerror(errno));
		_exit(127);
	}
	free(preload);
	set_signals();
	while (waitpid(program, &status, 0) < 0)
		if (errno != EINTR)
			return fail(failure, errno, "cannot wait for the program");
	*exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
					     WEXITSTATUS(status);
	return 0;
}
