// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>

#include "run.h"
#include "statistics.h"

static void write_text(const struct published *sum)
{
	const struct uffdmr_stats *stats = &sum->stats;

	if (!sum->registrations) {
		fprintf(stderr, "uffdmr run: no memory was registered (is the program static, or setuid, or does it dlopen() libibverbs?)\n");
		return;
	}
	fprintf(stderr, "uffdmr run: %ju registrations, %s of it lazy, %s as it was\n",
		(uintmax_t)sum->registrations, text_bytes(stats->length),
		text_bytes(sum->unmanaged));
	fprintf(stderr, "uffdmr run: %ju faults, %s on demand, %s populated, %s failed",
		(uintmax_t)stats->messages, text_bytes(stats->demand_bytes),
		text_bytes(stats->background_bytes), text_bytes(stats->poisoned));
	if (stats->latency_count)
		fprintf(stderr, "; a page took %s (median), %s (p99)",
			text_time(uffdmr_percentile(stats, 50)),
			text_time(uffdmr_percentile(stats, 99)));
	fprintf(stderr, "\n");
}

static int write_json(const struct published *sum, int exit_status,
		      const char *path, struct failure *failure)
{
	json_t *report = statistics_json(sum);
	int err;

	json_object_set_new(report, "exit_status", json_integer(exit_status));
	err = json_dump_file(report, path, JSON_INDENT(2));
	json_decref(report);
	return err ? fail(failure, errno, "cannot write %s", path) : 0;
}

int run_report(const struct run_options *options,
	       const struct published_file *file, int exit_status,
	       struct failure *failure)
{
	struct published sum = { 0 };
	uint32_t i;

	for (i = 0; i < file->slots; i++)
		statistics_add(&sum, &file->slot[i]);
	if (!options->quiet)
		write_text(&sum);
	return options->json ? write_json(&sum, exit_status, options->json,
					  failure) : 0;
}
