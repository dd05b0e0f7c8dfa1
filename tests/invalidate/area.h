/* SPDX-License-Identifier: GPL-2.0 */
#ifndef AREA_H
#define AREA_H

/*
 * An area of memory with on-demand paging that things happen to, and the device
 * on its way in and out of it. The area is the remote memory of an RDMA READ
 * or WRITE, or the local one; the other is a pinned buffer of the same size:
 *
 *		pull (from the area)	push (into the area)
 *	remote	RDMA READ		RDMA WRITE
 *	local	RDMA WRITE		RDMA READ
 *
 * An image next to the area has what must be in it. All accesses of tests that
 * do not say otherwise are whole pages: the subject is the page table.
 */

#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"

/* Of an area of small pages. */
#define AREA_PAGES	16
#define AREA_LEN	(AREA_PAGES << 12)

enum area_backing {
	BACK_ANON,
	BACK_SHMEM,
	BACK_PRIVATE,		/* a private mapping of a memfd */
	BACK_HUGETLB,
	BACK_THP,		/* anonymous, huge pages wanted */
	BACK_ANON_2M,		/* small pages, with room for huge ones */
	BACK_SHMEM_2M,
	BACK_FILE,		/* shared, of the file that ->memfd is */
};

enum area_side {
	SIDE_REMOTE,
	SIDE_LOCAL,
};

enum area_way {
	PULL,
	PUSH,
};

struct area {
	struct lab lab;
	struct mem odp;		/* ours, not the lab's */
	struct mem *buf;	/* the lab's */
	enum area_backing backing;
	enum area_side side;
	void *space;		/* what the area was cut out of */
	size_t space_len;
};

static inline bool area_is_huge(const struct area *a)
{
	return a->backing == BACK_HUGETLB || a->backing == BACK_THP ||
	       a->backing == BACK_ANON_2M || a->backing == BACK_SHMEM_2M;
}

static inline bool area_is_anon(const struct area *a)
{
	return a->backing == BACK_ANON || a->backing == BACK_THP ||
	       a->backing == BACK_ANON_2M;
}

/* Map what a->backing says at @where, or where there is room for it. */
static inline void *area_map_at(struct area *a, void *where, int prot)
{
	bool anon = area_is_anon(a);
	bool private = anon || a->backing == BACK_PRIVATE;
	int flags = (private ? MAP_PRIVATE : MAP_SHARED) |
		    (anon ? MAP_ANONYMOUS : 0) | (where ? MAP_FIXED : 0);

	return mmap(where, a->odp.len, prot, flags, a->odp.memfd, 0);
}

static inline int area_new_file(struct area *a)
{
	unsigned int flags = MFD_CLOEXEC;
	int fd;

	if (a->backing == BACK_HUGETLB)
		flags |= MFD_HUGETLB;
	fd = memfd_create("area", flags);
	if (fd < 0 || ftruncate(fd, a->odp.len))
		return fail(&a->lab.failure, errno, "cannot create a memfd");
	a->odp.memfd = fd;
	return 0;
}

/*
 * The address space, at a boundary of 2 MiB where the area has huge pages, with
 * nothing else in that of ours.
 */
static inline int area_place(struct area *a)
{
	size_t align = area_is_huge(a) ? HUGE_SIZE : a->lab.page_size;

	a->space_len = a->odp.len + 2 * align;
	a->space = mmap(NULL, a->space_len, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (a->space == MAP_FAILED)
		return fail(&a->lab.failure, errno, "no address space");
	a->odp.addr = (void *)(((uintptr_t)a->space + align - 1) &
			       ~(align - 1));
	if (area_map_at(a, a->odp.addr, PROT_READ | PROT_WRITE) == MAP_FAILED)
		return fail(&a->lab.failure, errno,
			    "cannot map the area (vm/run --hugepages?)");
	if (a->backing == BACK_ANON &&
	    madvise(a->odp.addr, a->odp.len, MADV_NOHUGEPAGE))
		return fail(&a->lab.failure, errno, "MADV_NOHUGEPAGE");
	if (a->backing == BACK_THP &&
	    madvise(a->odp.addr, a->odp.len, MADV_HUGEPAGE))
		return fail(&a->lab.failure, errno, "MADV_HUGEPAGE");
	return 0;
}

static inline int area_register(struct area *a, unsigned int access)
{
	a->odp.mr = ibv_reg_mr(a->lab.pd, a->odp.addr, a->odp.len,
			       access | IBV_ACCESS_ON_DEMAND);
	if (!a->odp.mr)
		return fail(&a->lab.failure, errno,
			    "cannot register the area");
	a->odp.iova = (uintptr_t)a->odp.addr;
	return 0;
}

/*
 * All of it but the registration: an area of zeros, nothing touched yet. A shared
 * mapping of @fd, or with -1 of whatever @backing needs.
 */
static inline int area_map_fd(struct area *a, enum area_backing backing,
			      enum area_side side, size_t len, int fd)
{
	struct lab *lab = &a->lab;
	int err;

	a->backing = backing;
	a->side = side;
	a->odp = (struct mem){ .addr = MAP_FAILED, .memfd = fd, .len = len };
	a->space = MAP_FAILED;
	err = lab_open(lab);
	if (err)
		return err;
	a->odp.pages = len / lab->page_size;
	a->buf = mem_new(lab, MEM_PINNED, a->odp.pages, ACCESS_ALL);
	if (!a->buf)
		return -EIO;
	a->odp.image = calloc(1, len);
	if (!a->odp.image)
		return fail(&lab->failure, ENOMEM, "no memory for an image");
	if (fd < 0 && !area_is_anon(a))
		err = area_new_file(a);
	return err ?: area_place(a);
}

static inline int area_map(struct area *a, enum area_backing backing,
			   enum area_side side, size_t len)
{
	return area_map_fd(a, backing, side, len, -1);
}

/* A shared mapping of a new file, which nobody has a name for any more. */
static inline int area_map_file(struct area *a, enum area_side side, size_t len,
				const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || unlink(path) || ftruncate(fd, len)) {
		a->lab.failure.text[0] = '\0';
		return fail(&a->lab.failure, errno,
			    "cannot create %s (vm/run tests/hmm/on-ext4 ...)", path);
	}
	return area_map_fd(a, BACK_FILE, side, len, fd);
}

static inline void area_close(struct area *a)
{
	if (a->odp.mr)
		ibv_dereg_mr(a->odp.mr);
	lab_close(&a->lab);
	if (a->space != MAP_FAILED)
		munmap(a->space, a->space_len);
	if (a->odp.memfd >= 0)
		close(a->odp.memfd);
	free(a->odp.image);
}

/* The CPU's view of all of the area. */
static inline int area_check(struct area *a)
{
	return mem_check(&a->lab, &a->odp, "the area's");
}

/* The CPU says something new. */
static inline void area_tell_part(struct area *a, size_t at, size_t len)
{
	pattern_fill(a->odp.image + at, len, ++a->lab.last_seed, at);
	memcpy(a->odp.addr + at, a->odp.image + at, len);
}

static inline void area_tell(struct area *a)
{
	area_tell_part(a, 0, a->odp.len);
}

static inline int area_open(struct area *a, enum area_backing backing,
			    enum area_side side, size_t len)
{
	return area_map(a, backing, side, len) ?: area_register(a, ACCESS_ALL);
}

static inline struct rc_op area_op(struct area *a, enum area_way way, size_t at,
				   size_t len)
{
	bool read = (way == PULL) == (a->side == SIDE_REMOTE);
	enum ibv_wr_opcode opcode = read ? IBV_WR_RDMA_READ :
					   IBV_WR_RDMA_WRITE;

	if (a->side == SIDE_REMOTE)
		return mem_op(opcode, a->buf, at, &a->odp, at, len);
	return mem_op(opcode, &a->odp, at, a->buf, at, len);
}

static inline void buf_renew(struct area *a, size_t at, size_t len)
{
	pattern_fill(a->buf->image + at, len, ++a->lab.last_seed, at);
	memcpy(a->buf->addr + at, a->buf->image + at, len);
}

/* The bytes and those around them: to compare all of a large one takes long. */
static inline int buf_check(struct area *a, size_t at, size_t len)
{
	size_t margin = AREA_LEN, first;
	size_t from = at > margin ? at - margin : 0;
	size_t to = at + len + margin < a->buf->len ? at + len + margin :
						      a->buf->len;

	if (bytes_equal(a->buf->image + from, a->buf->addr + from, to - from,
			&first))
		return 0;
	first += from;
	return fail(&a->lab.failure, 0,
		    "byte %zu of the buffer (of %zu at %zu) is %#x and not %#x",
		    first, len, at, (unsigned char)a->buf->addr[first],
		    (unsigned char)a->buf->image[first]);
}

/* Get bytes out of the area through the device: are they what it has? */
static inline int area_pull(struct area *a, size_t at, size_t len)
{
	struct rc_op op = area_op(a, PULL, at, len);

	buf_renew(a, at, len);
	mem_expect(a->buf, at, a->odp.image + at, len);
	return lab_run(&a->lab, &op) ?:
	       buf_check(a, at, len);
}

/* Put new bytes into the area, at which the CPU does not look yet. */
static inline int area_push(struct area *a, size_t at, size_t len)
{
	struct rc_op op = area_op(a, PUSH, at, len);

	buf_renew(a, at, len);
	mem_expect(&a->odp, at, a->buf->image + at, len);
	return lab_run(&a->lab, &op) ?: buf_check(a, at, len);
}

static inline int area_push_check(struct area *a, size_t at, size_t len)
{
	return area_push(a, at, len) ?: area_check(a);
}

/*
 * The error of the side that the area is on, and nothing has moved (the area is
 * the caller's to look at, as it may not be readable); then a new connection.
 */
static inline int area_refused(struct area *a, enum area_way way, size_t at,
			       size_t len)
{
	struct rc_op op = area_op(a, way, at, len);
	enum ibv_wc_status want = a->side == SIDE_REMOTE ?
				  IBV_WC_REM_ACCESS_ERR : IBV_WC_LOC_PROT_ERR;
	struct ibv_wc wc;

	buf_renew(a, at, len);
	return lab_run_status(&a->lab, &a->lab.pair.end[0], &op, want, &wc) ?:
	       buf_check(a, at, len) ?:
	       lab_reconnect(&a->lab);
}

/* Something that happens to the area, and changes its image if need be. */
typedef int (*event_fn)(struct area *a);

/* The whole of it; of huge pages a bit at the beginning, middle and end. */
static inline int area_move(struct area *a, enum area_way way)
{
	int (*move)(struct area *a, size_t at, size_t len) =
		way == PULL ? area_pull : area_push;
	size_t part = 4 * a->lab.page_size;

	if (!area_is_huge(a))
		return move(a, 0, a->odp.len);
	return move(a, 0, part) ?: move(a, a->odp.len / 2 - part, 2 * part) ?:
	       move(a, a->odp.len - part, part);
}

static inline int area_primed_event(struct area *a, event_fn event,
				    enum area_way before, enum area_way after)
{
	return area_move(a, before) ?: area_check(a) ?: event(a) ?:
	       area_move(a, after) ?: area_check(a) ?:
	       area_move(a, after == PULL ? PUSH : PULL) ?: area_check(a);
}

/*
 * The device has read the area, or written it; something happens; and then the
 * device reads, or writes first, what is there by now. All that four times,
 * each after @prepare, if there is one.
 */
static inline int area_happens_to(struct area *a, event_fn prepare,
				  event_fn event)
{
	int i, err = 0;

	for (i = 0; !err && i < 4; i++) {
		if (prepare)
			err = prepare(a);
		err = err ?: area_primed_event(a, event, i & 2 ? PUSH : PULL,
					       i & 1 ? PUSH : PULL);
	}
	return err;
}

static inline int area_happens(struct area *a, event_fn event)
{
	return area_happens_to(a, NULL, event);
}

/* --- the fixture of most tests here */

FIXTURE(area)
{
	struct area area;
};

FIXTURE_VARIANT(area)
{
	enum area_backing backing;
	enum area_side side;
	size_t len;
};

#define AREA_VARIANT(name, backing_, side_, len_) \
	FIXTURE_VARIANT_ADD(area, name) \
	{ \
		.backing = backing_, \
		.side = side_, \
		.len = len_, \
	}

/* The area as the remote memory, and as the local one. */
#define AREA_VARIANTS(name, backing, len) \
	AREA_VARIANT(name##_remote, backing, SIDE_REMOTE, len); \
	AREA_VARIANT(name##_local, backing, SIDE_LOCAL, len)

/*
 * The area is untouched, so that a first read finds the zero page; or the CPU has
 * put something into it, and each page is one.
 */
#define AREA_SETUP(told) \
	FIXTURE_SETUP(area) \
	{ \
		DO(&self->area.lab, area_open(&self->area, variant->backing, \
					      variant->side, variant->len)); \
		if (told) \
			area_tell(&self->area); \
	} \
	FIXTURE_TEARDOWN(area) \
	{ \
		area_close(&self->area); \
	}

/* A test that is one event. */
#define TEST_EVENT(name) \
	TEST_F_TIMEOUT(area, name, 120) \
	{ \
		DO(&self->area.lab, area_happens(&self->area, name)); \
	}

#endif
