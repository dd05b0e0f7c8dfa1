// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plot.h"

static const struct {
	const char *suffix;
	const char *terminal;
} kinds[] = {
	{ ".svg", "svg size 800,480 background 'white'" },
	{ ".png", "pngcairo size 800,480" },
};

static const char *terminal_of(const char *path)
{
	const char *suffix = strrchr(path, '.');
	size_t i;

	for (i = 0; suffix && i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(suffix, kinds[i].suffix))
			return kinds[i].terminal;
	return NULL;
}

int plot_check(const char *path, struct failure *failure)
{
	bool there;
	FILE *file;

	if (!terminal_of(path))
		return fail(failure, EINVAL,
			    "a picture's name ends with .svg or .png, not '%s'",
			    path);
	if (strpbrk(path, "'\n"))
		return fail(failure, EINVAL, "no picture can have the name %s",
			    path);
	if (system("command -v gnuplot > /dev/null 2>&1"))
		return fail(failure, ENOPKG,
			    "there is no gnuplot: install gnuplot-nox");
	there = !access(path, F_OK);
	file = fopen(path, "ae");
	if (!file)
		return fail(failure, errno, "cannot write %s", path);
	fclose(file);
	if (!there)
		unlink(path);
	return 0;
}

FILE *plot_open(const char *path, struct failure *failure)
{
	FILE *plot;

	if (plot_check(path, failure))
		return NULL;
	/* What goes wrong is told by its status. */
	plot = popen("exec gnuplot 2> /dev/null", "we");
	if (!plot) {
		fail(failure, errno, "cannot start gnuplot");
		return NULL;
	}
	fprintf(plot, "set terminal %s\nset output '%s'\n", terminal_of(path),
		path);
	return plot;
}

int plot_close(FILE *plot, const char *path, struct failure *failure)
{
	int status = pclose(plot);

	return status ? fail(failure, 0, "gnuplot cannot draw %s", path) : 0;
}
