// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * restore ADDRESS FILE [BYTES_PER_SECOND]
 *
 * Restores a snapshot: what is in the file is memory at once, that peers can read and
 * write while it is loaded, and what they ask for comes first. Ends with its input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <uffdmr.h>

#include "serve.h"

static void progress(size_t present, size_t length, void *arg)
{
	(void)arg;
	fprintf(stderr, "\r%3zu %%%s", present * 100 / length,
		present == length ? "\n" : "");
}

int main(int argc, char **argv)
{
	struct uffdmr_attr attr = { .policy = UFFDMR_POISON };
	struct uffdmr *region;
	struct uffdmr_stats stats;
	struct stat file;
	struct ibv_mr *mr;

	if (argc < 3 || stat(argv[2], &file))
		die(argc < 3 ? "restore ADDRESS FILE [BYTES_PER_SECOND]" : argv[2]);
	attr.length = (file.st_size + 4095) / 4096 * 4096;
	attr.source = uffdmr_file(argv[2], 0, 0);
	region = attr.source ? uffdmr_create(&attr) : NULL;
	mr = region ? uffdmr_reg_mr(region, serve_open(argv[1]),
				    IBV_ACCESS_LOCAL_WRITE |
				    IBV_ACCESS_REMOTE_READ |
				    IBV_ACCESS_REMOTE_WRITE) : NULL;
	if (!mr) {
		fprintf(stderr, "restore: %s\n", uffdmr_error());
		return 1;
	}
	serve(mr);

	/* Peers need not wait for any of this. */
	uffdmr_on_progress(region, 200, progress, NULL);
	uffdmr_populate(region, argc > 3 ? strtoull(argv[3], NULL, 0) : 0);
	if (uffdmr_wait(region, -1)) {
		fprintf(stderr, "restore: %s\n", uffdmr_error());
		return 1;
	}
	uffdmr_finish(region);
	uffdmr_get_stats(region, &stats);
	printf("loaded; %ju bytes because a peer had asked for them\n",
	       (uintmax_t)stats.demand_bytes);
	fflush(stdout);
	getchar();
	ibv_dereg_mr(mr);
	uffdmr_destroy(region);
	return 0;
}
