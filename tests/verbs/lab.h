/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LAB_H
#define LAB_H

#include <stdatomic.h>
#include <stdbool.h>

#include "clock.h"
#include "page_source.h"
#include "pattern.h"
#include "rc_pair.h"

#define ACCESS_ALL	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | \
			 IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC)

/* The longest that any one completion may take. */
#define PATIENCE	(20 * NSEC_PER_SEC)

/* The latency of pages that nobody supplies. */
#define NEVER		(3600 * NSEC_PER_SEC)

enum mem_kind {
	MEM_PINNED,		/* the control: no on-demand paging */
	MEM_RESIDENT,		/* on-demand paging, every page there */
	MEM_UFFD,		/* anonymous, userfaultfd supplies the pages */
	MEM_UFFD_SHMEM,		/* the same on a memfd */
	MEM_UFFD_ZERO,		/* anonymous, resolved with UFFDIO_ZEROPAGE */
};

struct lab;

/*
 * A memory region under test, and next to it an image of what has to be in
 * it. At first that is a pattern, different for each region of a lab.
 */
struct mem {
	enum mem_kind kind;
	char *addr;
	size_t len;
	size_t pages;
	int memfd;
	_Atomic uint64_t seed;	/* of what the page source supplies */
	char *image;
	struct page_source *source;
	struct ibv_mr *mr;
	uint64_t iova;		/* how the device addresses addr[0] */
	struct mem *next;
};

struct lab {
	struct rdma_dev dev;
	struct ibv_pd *pd;
	struct rc_pair pair;
	struct mem *mems;
	size_t page_size;
	uint64_t page_latency_ns;	/* of the regions mapped after it is set */
	uint64_t last_seed;
	struct failure failure;
};

/* All functions return 0 or a negative errno and describe it in ->failure. */

int lab_open(struct lab *lab);

/* Not the first device, but this one. */
int lab_open_on(struct lab *lab, const char *device);

/* One of the device's hw_counters, as of now. */
int lab_counter(struct lab *lab, const char *name, uint64_t *value);

/* Until that is more than @above. */
int lab_counter_above(struct lab *lab, const char *name, uint64_t above);

/* Safe with accesses still waiting: gives the pages up first. */
void lab_close(struct lab *lab);

/* After an error: a new connection in place of the broken one. */
int lab_reconnect(struct lab *lab);

bool mem_is_uffd(const struct mem *mem);

/* Map @pages pages of @kind and register all of them. */
struct mem *mem_new(struct lab *lab, enum mem_kind kind, size_t pages,
		    unsigned int access);

/* The two halves of mem_new(), for tests that register in another way. */
struct mem *mem_map(struct lab *lab, enum mem_kind kind, size_t pages);
int mem_register(struct lab *lab, struct mem *mem, unsigned int access,
		 uint64_t iova);

/* What @len bytes at @offset have to be from now on. */
void mem_expect(struct mem *mem, size_t offset, const void *bytes, size_t len);

/* Compare all of the region with its image. */
int mem_check(struct lab *lab, struct mem *mem, const char *name);

/*
 * Compare how many fault messages came for each page: @each for the pages
 * that [@offset, @offset + @len) touches, none for any other.
 */
int mem_check_messages(struct lab *lab, struct mem *mem, const char *name,
		       size_t offset, size_t len, unsigned int each);
unsigned int mem_messages(struct mem *mem);

/*
 * Throw pages away behind the device's back; from now on the source supplies
 * another pattern, and the image says so.
 */
int mem_drop(struct lab *lab, struct mem *mem, size_t first, size_t pages);

/* A work request between the regions' bytes at @loff and @roff. */
struct rc_op mem_op(enum ibv_wr_opcode opcode, const struct mem *local,
		    size_t loff, const struct mem *remote, size_t roff,
		    size_t len);

/* Post to one end, wait, and want that status of the completion. */
int lab_run_status(struct lab *lab, struct rc_end *end, const struct rc_op *op,
		   enum ibv_wc_status want, struct ibv_wc *wc);

/* From end 0, between the start of @local and @addr by the key of @mr. */
int lab_access(struct lab *lab, struct mem *local, struct ibv_mr *mr,
	       enum ibv_wr_opcode opcode, uint64_t addr, size_t len,
	       enum ibv_wc_status want);

/* From end 0, and only success will do. */
int lab_run(struct lab *lab, const struct rc_op *op);

/*
 * RDMA READ and WRITE of a range in one work request; with the images of both
 * regions brought up to date.
 */
int lab_read(struct lab *lab, struct mem *local, size_t loff,
	     struct mem *remote, size_t roff, size_t len);
int lab_write(struct lab *lab, struct mem *local, size_t loff,
	      struct mem *remote, size_t roff, size_t len);

/* For the tests: go on only if that worked, else say what did not. */
#define DO(lab, call) \
	ASSERT_EQ(0, call) TH_LOG("%s", (lab)->failure.text)

#endif
