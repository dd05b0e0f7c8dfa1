// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "progress.h"

#define EVERY	(100 * NSEC_PER_MSEC)

void progress_start(struct progress *progress, const char *what)
{
	*progress = (struct progress){
		.what = what,
		.next = isatty(STDERR_FILENO) ? now_ns() + EVERY : UINT64_MAX,
	};
}

void progress_at(struct progress *progress, uint64_t done, uint64_t total)
{
	uint64_t now;

	if (progress->next == UINT64_MAX)
		return;
	now = now_ns();
	if (now < progress->next)
		return;
	progress->next = now + EVERY;
	progress->shown = true;
	fprintf(stderr, "\r%s: %3.0f %%\033[K", progress->what,
		total ? 100.0 * done / total : 100.0);
	fflush(stderr);
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fprintf(stderr, "\r\033[K");
	progress->shown = false;
	progress->next = UINT64_MAX;
}
