// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/* Sources that answer at once: zero, and a function of the caller. */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "uffdmr.h"

struct simple {
	struct uffdmr_source source;
	int (*fill)(void *buffer, size_t offset, size_t length, void *arg);
	void *arg;
};

static void fetch(struct uffdmr_source *source,
		  struct uffdmr_extent *const *extents, size_t n)
{
	struct simple *simple = (struct simple *)source;
	size_t i;

	for (i = 0; i < n; i++) {
		struct uffdmr_extent *extent = extents[i];
		int err = 0;

		if (simple->fill)
			err = simple->fill(extent->buffer, extent->offset,
					   extent->length, simple->arg);
		if (err)
			uffdmr_fail(extent, err);
		else
			uffdmr_supply(extent,
				      simple->fill ? extent->buffer : NULL);
	}
}

static void end(struct uffdmr_source *source)
{
	free(source);
}

struct uffdmr_source *uffdmr_callback(int (*fill)(void *buffer, size_t offset,
						  size_t length, void *arg),
				      void *arg)
{
	struct simple *simple = calloc(1, sizeof(*simple));

	if (!simple) {
		uffdmr_set_error(ENOMEM, "cannot make a source");
		return NULL;
	}
	simple->source.fetch = fetch;
	simple->source.close = end;
	simple->fill = fill;
	simple->arg = arg;
	return &simple->source;
}

struct uffdmr_source *uffdmr_zero(void)
{
	return uffdmr_callback(NULL, NULL);
}
