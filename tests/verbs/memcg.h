/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MEMCG_H
#define MEMCG_H

/* A memory cgroup (v2) of its own for a process. */

#include <sys/stat.h>

#include "machine.h"

#define CGROUP	"/sys/fs/cgroup"

struct memcg {
	char path[80];
};

static inline void memcg_file(const struct memcg *cg, const char *name,
			      char path[120])
{
	snprintf(path, 120, "%s/%s", cg->path, name);
}

static inline int memcg_set(const struct memcg *cg, const char *name,
			    const char *value, struct failure *failure)
{
	char path[120];

	memcg_file(cg, name, path);
	return set_knob(path, value, failure);
}

static inline long long memcg_get(const struct memcg *cg, const char *name)
{
	char path[120];

	memcg_file(cg, name, path);
	return get_knob(path);
}

static inline int memcg_make(struct memcg *cg, const char *name,
			     struct failure *failure)
{
	snprintf(cg->path, sizeof(cg->path), CGROUP "/%s-%d", name, getpid());
	if (set_knob(CGROUP "/cgroup.subtree_control", "+memory", failure))
		return -EIO;
	if (mkdir(cg->path, 0755))
		return fail(failure, errno, "cannot make %s", cg->path);
	return 0;
}

/* The calling process goes into it; "0" is itself. */
static inline int memcg_enter(const struct memcg *cg, struct failure *failure)
{
	return memcg_set(cg, "cgroup.procs", "0", failure);
}

#endif
