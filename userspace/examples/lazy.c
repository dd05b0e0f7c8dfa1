// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * lazy ADDRESS
 *
 * 1 GiB that peers may read, of which no page exists before somebody asks for it. Ends
 * with its input.
 */
#include <stdio.h>
#include <uffdmr.h>

#include "serve.h"

/* What is in the pages from @offset on: each its own number. */
static int fill(void *buffer, size_t offset, size_t length, void *arg)
{
	size_t i;

	(void)arg;
	for (i = 0; i < length; i += 4096)
		snprintf((char *)buffer + i, 4096, "page %zu\n",
			 (offset + i) / 4096);
	return 0;
}

int main(int argc, char **argv)
{
	struct uffdmr_attr attr = {
		.length = 1UL << 30,
		.source = uffdmr_callback(fill, NULL),
	};
	struct uffdmr *region = uffdmr_create(&attr);
	struct ibv_pd *pd = argc == 2 ? serve_open(argv[1]) : NULL;
	struct ibv_mr *mr = region && pd ?
			    uffdmr_reg_mr(region, pd, IBV_ACCESS_REMOTE_READ) : NULL;
	struct uffdmr_stats stats;

	if (!mr) {
		fprintf(stderr, "lazy: %s\n",
			pd ? uffdmr_error() : "usage: lazy ADDRESS");
		return 1;
	}
	serve(mr);
	getchar();
	uffdmr_get_stats(region, &stats);
	printf("%zu of %zu bytes were asked for\n", stats.present, stats.length);
	ibv_dereg_mr(mr);
	uffdmr_destroy(region);
	return 0;
}
