// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lab.h"
#include "machine.h"

/*
 * Loads the provider once for all tests of a program: each runs in a child, where that
 * would be most of its time on a debug kernel.
 */
static void __attribute__((constructor)) load_provider(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);

	if (list)
		ibv_free_device_list(list);
}

int lab_open_on(struct lab *lab, const char *device)
{
	struct failure *failure = &lab->failure;
	int err;

	*lab = (struct lab){ .page_size = sysconf(_SC_PAGESIZE) };
	err = rdma_dev_open(&lab->dev, device, 1, -1, failure);
	if (err)
		return err;
	lab->pd = ibv_alloc_pd(lab->dev.ctx);
	if (!lab->pd)
		return fail(failure, errno,
			    "cannot allocate a protection domain");
	return rc_pair_open(&lab->pair, &lab->dev, lab->pd, &rc_params_default,
			    failure);
}

int lab_open(struct lab *lab)
{
	return lab_open_on(lab, NULL);
}

int lab_reconnect(struct lab *lab)
{
	rc_pair_close(&lab->pair);
	return rc_pair_open(&lab->pair, &lab->dev, lab->pd, &rc_params_default,
			    &lab->failure);
}

static void mem_free(struct mem *mem)
{
	if (mem->mr)
		ibv_dereg_mr(mem->mr);
	if (mem->addr != MAP_FAILED)
		munmap(mem->addr, mem->len);
	if (mem->memfd >= 0)
		close(mem->memfd);
	free(mem->image);
	free(mem);
}

int lab_counter(struct lab *lab, const char *name, uint64_t *value)
{
	int err;

	/* What can be read may be 10 ms old. */
	usleep(20000);
	err = read_counter(rdma_dev_name(&lab->dev), name, value);
	return err ? fail(&lab->failure, -err, "cannot read %s", name) : 0;
}

int lab_counter_above(struct lab *lab, const char *name, uint64_t above)
{
	uint64_t value, until = now_ns() + PATIENCE;
	int err;

	do {
		err = lab_counter(lab, name, &value);
		if (!err && value <= above && now_ns() > until)
			err = fail(&lab->failure, ETIMEDOUT, "%s stays at %lu",
				   name, value);
	} while (!err && value <= above);
	return err;
}

void lab_close(struct lab *lab)
{
	struct mem *mem, *next;

	/* Whatever still waits for a page ends here, before its owners do. */
	for (mem = lab->mems; mem; mem = mem->next) {
		page_source_stop(mem->source);
		mem->source = NULL;
	}
	rc_pair_close(&lab->pair);
	for (mem = lab->mems; mem; mem = next) {
		next = mem->next;
		mem_free(mem);
	}
	lab->mems = NULL;
	if (lab->pd)
		ibv_dealloc_pd(lab->pd);
	rdma_dev_close(&lab->dev);
}

bool mem_is_uffd(const struct mem *mem)
{
	return mem->kind >= MEM_UFFD;
}

static void fill(void *page, size_t offset, void *arg)
{
	const struct mem *mem = arg;

	pattern_fill(page, mem->len / mem->pages, mem->seed, offset);
}

static int map_memory(struct lab *lab, struct mem *mem)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	if (mem->kind == MEM_UFFD_SHMEM) {
		flags = MAP_SHARED;
		mem->memfd = memfd_create("rdma-uffd", MFD_CLOEXEC);
		if (mem->memfd < 0 || ftruncate(mem->memfd, mem->len))
			return fail(&lab->failure, errno,
				    "cannot create a memfd");
	}
	mem->addr = mmap(NULL, mem->len, PROT_READ | PROT_WRITE, flags,
			 mem->memfd, 0);
	if (mem->addr == MAP_FAILED)
		return fail(&lab->failure, errno, "cannot map memory");
	return 0;
}

static int start_source(struct lab *lab, struct mem *mem)
{
	struct page_source_config config = {
		.base = mem->addr,
		.length = mem->len,
		.page_size = lab->page_size,
		.fill = mem->kind == MEM_UFFD_ZERO ? NULL : fill,
		.arg = mem,
		.latency_ns = lab->page_latency_ns,
	};

	mem->source = page_source_start(&config, &lab->failure);
	return mem->source ? 0 : -EIO;
}

struct mem *mem_map(struct lab *lab, enum mem_kind kind, size_t pages)
{
	struct mem *mem;
	int err;

	mem = calloc(1, sizeof(*mem));
	if (!mem) {
		fail(&lab->failure, ENOMEM, "no memory");
		return NULL;
	}
	mem->kind = kind;
	mem->pages = pages;
	mem->len = pages * lab->page_size;
	mem->memfd = -1;
	mem->addr = MAP_FAILED;
	mem->seed = ++lab->last_seed;
	/* From here on lab_close() frees it. */
	mem->next = lab->mems;
	lab->mems = mem;

	err = map_memory(lab, mem);
	if (err)
		return NULL;
	mem->image = calloc(1, mem->len);
	if (!mem->image) {
		fail(&lab->failure, ENOMEM, "no memory for the image");
		return NULL;
	}
	if (kind != MEM_UFFD_ZERO)
		pattern_fill(mem->image, mem->len, mem->seed, 0);
	if (mem_is_uffd(mem))
		err = start_source(lab, mem);
	else
		memcpy(mem->addr, mem->image, mem->len);
	return err ? NULL : mem;
}

int mem_register(struct lab *lab, struct mem *mem, unsigned int access,
		 uint64_t iova)
{
	if (mem->kind != MEM_PINNED)
		access |= IBV_ACCESS_ON_DEMAND;
	mem->mr = ibv_reg_mr_iova(lab->pd, mem->addr, mem->len, iova, access);
	if (!mem->mr)
		return fail(&lab->failure, errno,
			    "cannot register a memory region");
	mem->iova = iova;
	return 0;
}

struct mem *mem_new(struct lab *lab, enum mem_kind kind, size_t pages,
		    unsigned int access)
{
	struct mem *mem = mem_map(lab, kind, pages);

	if (mem && mem_register(lab, mem, access, (uintptr_t)mem->addr))
		return NULL;
	return mem;
}

void mem_expect(struct mem *mem, size_t offset, const void *bytes, size_t len)
{
	memcpy(mem->image + offset, bytes, len);
}

int mem_check(struct lab *lab, struct mem *mem, const char *name)
{
	size_t at;

	if (bytes_equal(mem->image, mem->addr, mem->len, &at))
		return 0;
	return fail(&lab->failure, 0,
		    "%s memory: byte %zu (page %zu, byte %zu of it) is %#x and not %#x",
		    name, at, at / lab->page_size, at % lab->page_size,
		    (unsigned char)mem->addr[at],
		    (unsigned char)mem->image[at]);
}

unsigned int mem_messages(struct mem *mem)
{
	return mem->source ? page_source_all_messages(mem->source) : 0;
}

int mem_check_messages(struct lab *lab, struct mem *mem, const char *name,
		       size_t offset, size_t len, unsigned int each)
{
	size_t first = offset / lab->page_size;
	size_t end = (offset + len + lab->page_size - 1) / lab->page_size;
	unsigned int want, have;
	size_t page;

	if (!mem->source)
		return 0;
	for (page = 0; page < mem->pages; page++) {
		want = page >= first && page < end ? each : 0;
		have = page_source_messages(mem->source, page);
		if (have != want)
			return fail(&lab->failure, 0,
				    "%s memory: %u fault messages for page %zu and not %u",
				    name, have, page, want);
	}
	return 0;
}

int mem_drop(struct lab *lab, struct mem *mem, size_t first, size_t pages)
{
	size_t offset = first * lab->page_size;
	size_t len = pages * lab->page_size;
	/* The page cache would give a shared page back as it was. */
	int advice = mem->memfd >= 0 ? MADV_REMOVE : MADV_DONTNEED;

	mem->seed = ++lab->last_seed;
	pattern_fill(mem->image + offset, len, mem->seed, offset);
	if (madvise(mem->addr + offset, len, advice))
		return fail(&lab->failure, errno, "cannot drop pages");
	return 0;
}

struct rc_op mem_op(enum ibv_wr_opcode opcode, const struct mem *local,
		    size_t loff, const struct mem *remote, size_t roff,
		    size_t len)
{
	return (struct rc_op){
		.opcode = opcode,
		.laddr = local->iova + loff,
		.lkey = local->mr->lkey,
		.length = len,
		.raddr = remote->iova + roff,
		.rkey = remote->mr->rkey,
	};
}

int lab_run_status(struct lab *lab, struct rc_end *end, const struct rc_op *op,
		   enum ibv_wc_status want, struct ibv_wc *wc)
{
	int err;

	err = rc_post(end, op, &lab->failure);
	if (!err)
		err = rc_wait(&end->send, wc, now_ns() + PATIENCE,
			      &lab->failure);
	if (err)
		return err;
	if (wc->status != want)
		return fail(&lab->failure, 0, "completion: %s, and not %s",
			    ibv_wc_status_str(wc->status),
			    ibv_wc_status_str(want));
	return 0;
}

int lab_access(struct lab *lab, struct mem *local, struct ibv_mr *mr,
	       enum ibv_wr_opcode opcode, uint64_t addr, size_t len,
	       enum ibv_wc_status want)
{
	struct rc_op op = {
		.opcode = opcode,
		.laddr = local->iova,
		.lkey = local->mr->lkey,
		.length = len,
		.raddr = addr,
		.rkey = mr->rkey,
	};
	struct ibv_wc wc;

	return lab_run_status(lab, &lab->pair.end[0], &op, want, &wc);
}

int lab_run(struct lab *lab, const struct rc_op *op)
{
	struct ibv_wc wc;

	return lab_run_status(lab, &lab->pair.end[0], op, IBV_WC_SUCCESS, &wc);
}

int lab_read(struct lab *lab, struct mem *local, size_t loff,
	     struct mem *remote, size_t roff, size_t len)
{
	struct rc_op op = mem_op(IBV_WR_RDMA_READ, local, loff, remote, roff,
				 len);

	mem_expect(local, loff, remote->image + roff, len);
	return lab_run(lab, &op);
}

int lab_write(struct lab *lab, struct mem *local, size_t loff,
	      struct mem *remote, size_t roff, size_t len)
{
	struct rc_op op = mem_op(IBV_WR_RDMA_WRITE, local, loff, remote, roff,
				 len);

	mem_expect(remote, roff, local->image + loff, len);
	return lab_run(lab, &op);
}
