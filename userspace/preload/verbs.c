// SPDX-License-Identifier: GPL-2.0
/*
 * The functions of libibverbs that register memory, in front of its own, and in all
 * versions that it has of them.
 */
#include <dlfcn.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "advise_mr.h"
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

static bool has_odp(struct ibv_pd *pd, struct ibv_odp_caps *caps)
{
	struct ibv_device_attr_ex attr;

	if (ibv_query_device_ex(pd->context, NULL, &attr))
		return false;
	*caps = attr.odp_caps;
	return caps->general_caps & IBV_ODP_SUPPORT;
}

/* What of a transport's operations does not go with on-demand paging. */
static void say_missing(const char *device, const struct ibv_odp_caps *caps)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} operations[] = {
		{ IBV_ODP_SUPPORT_SEND, "send" },
		{ IBV_ODP_SUPPORT_RECV, "receive" },
		{ IBV_ODP_SUPPORT_SRQ_RECV, "SRQ receive" },
		{ IBV_ODP_SUPPORT_WRITE, "write" },
		{ IBV_ODP_SUPPORT_READ, "read" },
		{ IBV_ODP_SUPPORT_ATOMIC, "atomic" },
	};
	const struct {
		const char *name;
		uint32_t has;
		size_t n;	/* of @operations, which it has without paging */
	} transports[] = {
		{ "RC", caps->per_transport_caps.rc_odp_caps, 6 },
		{ "UC", caps->per_transport_caps.uc_odp_caps, 4 },
		{ "UD", caps->per_transport_caps.ud_odp_caps, 3 },
	};
	char text[400];
	size_t i, j, length = 0;

	for (i = 0; i < ARRAY_SIZE(transports); i++)
		for (j = 0; j < transports[i].n; j++)
			if (!(transports[i].has & operations[j].bit))
				length += snprintf(text + length,
						   sizeof(text) - length,
						   "%s %s %s",
						   length ? "," : "",
						   transports[i].name,
						   operations[j].name);
	if (length)
		say("with on-demand paging %s cannot do:%s", device, text);
}

/*
 * Whether the driver waits for userfaultfd when a page is missing. Linux without this
 * project's series has rxe fail the access at once.
 */
static bool waits(struct ibv_pd *pd)
{
	size_t length = sysconf(_SC_PAGESIZE);
	void *page = lazy_page();
	struct ibv_sge sge = { .addr = (uintptr_t)page, .length = length };
	struct ibv_mr *mr = NULL;
	int err = 0;

	if (page)
		mr = ibv_reg_mr(pd, page, length, IBV_ACCESS_LOCAL_WRITE |
						  IBV_ACCESS_ON_DEMAND);
	if (mr) {
		sge.lkey = mr->lkey;
		err = ibv_advise_mr(pd, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
				    IBV_ADVISE_MR_FLAG_FLUSH, &sge, 1);
		if (err == EOPNOTSUPP)
			err = uverbs_advise_mr(pd, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
					       IBV_ADVISE_MR_FLAG_FLUSH, &sge, 1);
		ibv_dereg_mr(mr);
	}
	if (page)
		memory_unmap(page, length);
	/* Any other error is that of the question. */
	return err != EFAULT;
}

/* What was found out about a device: it may be asked by several threads at a time. */
#define DEVICES	16
static struct {
	char name[IBV_SYSFS_NAME_MAX];
	atomic_bool known;
	bool lazy;
} devices[DEVICES];
static atomic_uint n_devices;

static bool can_be_lazy(struct ibv_pd *pd)
{
	const char *name = ibv_get_device_name(pd->context->device);
	struct ibv_odp_caps caps;
	bool odp, lazy;
	unsigned int i;

	for (i = 0; i < DEVICES; i++)
		if (devices[i].known && !strcmp(devices[i].name, name))
			return devices[i].lazy;
	odp = has_odp(pd, &caps);
	lazy = odp && waits(pd);
	if (!odp)
		say("%s has no on-demand paging: memory stays as it is", name);
	else if (!lazy)
		say("%s cannot wait for userfaultfd with this kernel's driver: memory stays as it is",
		    name);
	else
		say_missing(name, &caps);
	i = atomic_fetch_add(&n_devices, 1);
	if (i < DEVICES) {
		snprintf(devices[i].name, sizeof(devices[i].name), "%s", name);
		devices[i].lazy = lazy;
		devices[i].known = true;
	}
	return lazy;
}

static void *reg(const struct registration *wanted, struct ibv_pd *pd)
{
	struct registration lazy = *wanted;
	static bool said;
	void *mr;
	int err;

	/* With no address it is all memory, which is lazy by itself. */
	if (inside || !wanted->addr || !wanted->length ||
	    (uintptr_t)wanted->addr + wanted->length < wanted->length)
		return wanted->next(wanted);
	inside = true;
	if (!can_be_lazy(pd)) {
		mr = wanted->next(wanted);
		err = errno;
		if (mr)
			lazy_stays(wanted->length);
		goto out;
	}
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
out:
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
