// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * dirty ADDRESS
 *
 * 16 MiB that peers may write. For each line of input it tells which pages they have
 * written since the last: what a checkpoint, or a round of pre-copy, has to save.
 */
#include <stdio.h>
#include <uffdmr.h>

#include "serve.h"

static int tell(size_t offset, size_t length, void *arg)
{
	(void)arg;
	printf("%#zx-%#zx\n", offset, offset + length);
	return 0;
}

int main(int argc, char **argv)
{
	struct uffdmr_attr attr = {
		.length = 16UL << 20,
		.source = uffdmr_zero(),
		.track_dirty = true,
	};
	struct uffdmr *region = uffdmr_create(&attr);
	struct ibv_pd *pd = argc == 2 ? serve_open(argv[1]) : NULL;
	struct ibv_mr *mr = region && pd ?
			    uffdmr_reg_mr(region, pd, IBV_ACCESS_LOCAL_WRITE |
						      IBV_ACCESS_REMOTE_READ |
						      IBV_ACCESS_REMOTE_WRITE) : NULL;
	char line[80];

	if (!mr) {
		fprintf(stderr, "dirty: %s\n",
			pd ? uffdmr_error() : "usage: dirty ADDRESS");
		return 1;
	}
	serve(mr);
	while (fgets(line, sizeof(line), stdin)) {
		if (uffdmr_dirty(region, tell, NULL)) {
			fprintf(stderr, "dirty: %s\n", uffdmr_error());
			return 1;
		}
		printf(".\n");
		fflush(stdout);
	}
	ibv_dereg_mr(mr);
	uffdmr_destroy(region);
	return 0;
}
