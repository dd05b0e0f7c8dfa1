// SPDX-License-Identifier: GPL-2.0
/*
 * The functions of libibverbs that register memory, in front of its own, and in all
 * versions that it has of them.
 */
#include <dlfcn.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdint.h>

#include "lazy.h"

#define VERSIONED(name)	__attribute__((symver(name), visibility("default"), used))

/* As programs of libibverbs 1.0 know it. */
struct pd_1_0 {
	void *context;
	uint32_t handle;
	struct ibv_pd *real;
};

/* What is to be registered, and how. */
struct registration {
	void *pd;
	void *addr;
	size_t length;
	uint64_t iova;
	unsigned int access;
	void *(*next)(const struct registration *registration);
};

/* libibverbs calls itself, too. */
static __thread bool inside;

static void *find(const char *name, const char *version)
{
	void *function = dlvsym(RTLD_NEXT, name, version);

	if (!function)
		say("libibverbs has no %s of %s", name, version);
	return function;
}

static bool has_odp(struct ibv_pd *pd)
{
	static bool said;
	struct ibv_device_attr_ex attr;

	if (!ibv_query_device_ex(pd->context, NULL, &attr) &&
	    attr.odp_caps.general_caps & IBV_ODP_SUPPORT)
		return true;
	if (!said)
		say("%s has no on-demand paging: memory stays as it is",
		    ibv_get_device_name(pd->context->device));
	said = true;
	return false;
}

static void *reg(const struct registration *wanted, struct ibv_pd *pd)
{
	struct registration lazy = *wanted;
	static bool said;
	void *mr;
	int err;

	/* With no address it is all memory, which is lazy by itself. */
	if (inside || !wanted->addr || !wanted->length ||
	    (uintptr_t)wanted->addr + wanted->length < wanted->length ||
	    !has_odp(pd))
		return wanted->next(wanted);
	inside = true;
	lazy_arm(wanted->addr, wanted->length);
	lazy.access |= IBV_ACCESS_ON_DEMAND;
	mr = lazy.next(&lazy);
	err = errno;
	if (!mr) {
		lazy_disarm(wanted->addr, wanted->length);
		mr = wanted->next(wanted);
		err = errno;
		if (mr && !said) {
			say("%s does not register memory on demand with access %#x: it stays as it is",
			    ibv_get_device_name(pd->context->device),
			    wanted->access);
			said = true;
		}
	}
	inside = false;
	errno = err;
	return mr;
}

static void *next_reg_mr_1_0(const struct registration *r)
{
	void *(*next)(void *pd, void *addr, size_t length, int access) =
		find("ibv_reg_mr", "IBVERBS_1.0");

	return next ? next(r->pd, r->addr, r->length, r->access) : NULL;
}

static void *next_reg_mr(const struct registration *r)
{
	struct ibv_mr *(*next)(struct ibv_pd *pd, void *addr, size_t length,
			       int access) = find("ibv_reg_mr", "IBVERBS_1.1");

	return next ? next(r->pd, r->addr, r->length, r->access) : NULL;
}

static void *next_reg_mr_iova(const struct registration *r)
{
	struct ibv_mr *(*next)(struct ibv_pd *pd, void *addr, size_t length,
			       uint64_t iova, int access) =
		find("ibv_reg_mr_iova", "IBVERBS_1.7");

	return next ? next(r->pd, r->addr, r->length, r->iova, r->access) : NULL;
}

static void *next_reg_mr_iova2(const struct registration *r)
{
	struct ibv_mr *(*next)(struct ibv_pd *pd, void *addr, size_t length,
			       uint64_t iova, unsigned int access) =
		find("ibv_reg_mr_iova2", "IBVERBS_1.8");

	return next ? next(r->pd, r->addr, r->length, r->iova, r->access) : NULL;
}

VERSIONED("ibv_reg_mr@IBVERBS_1.0")
void *lazy_reg_mr_1_0(struct pd_1_0 *pd, void *addr, size_t length, int access)
{
	struct registration r = {
		.pd = pd,
		.addr = addr,
		.length = length,
		.access = access,
		.next = next_reg_mr_1_0,
	};

	return reg(&r, pd->real);
}

VERSIONED("ibv_reg_mr@@IBVERBS_1.1")
struct ibv_mr *lazy_reg_mr(struct ibv_pd *pd, void *addr, size_t length,
			   int access)
{
	struct registration r = {
		.pd = pd,
		.addr = addr,
		.length = length,
		.access = access,
		.next = next_reg_mr,
	};

	return reg(&r, pd);
}

VERSIONED("ibv_reg_mr_iova@@IBVERBS_1.7")
struct ibv_mr *lazy_reg_mr_iova(struct ibv_pd *pd, void *addr, size_t length,
				uint64_t iova, int access)
{
	struct registration r = {
		.pd = pd,
		.addr = addr,
		.length = length,
		.iova = iova,
		.access = access,
		.next = next_reg_mr_iova,
	};

	return reg(&r, pd);
}

VERSIONED("ibv_reg_mr_iova2@@IBVERBS_1.8")
struct ibv_mr *lazy_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length,
				 uint64_t iova, unsigned int access)
{
	struct registration r = {
		.pd = pd,
		.addr = addr,
		.length = length,
		.iova = iova,
		.access = access,
		.next = next_reg_mr_iova2,
	};

	return reg(&r, pd);
}
