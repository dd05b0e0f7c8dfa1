/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MAP_BYTES_H
#define MAP_BYTES_H

#include <errno.h>
#include <sys/mman.h>

#include "failure.h"

/* Memory of nobody else's, all zero: *@where, and 0, or a negative errno. */
static inline int map_bytes(char **where, size_t size, struct failure *failure)
{
	void *address = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (address == MAP_FAILED)
		return fail(failure, errno, "cannot map %zu bytes", size);
	*where = address;
	return 0;
}

#endif
