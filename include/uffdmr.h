/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
#ifndef UFFDMR_H
#define UFFDMR_H

/*
 * Memory whose pages come when somebody asks for them: the CPU, or a peer by
 * RDMA. See uffdmr(3) for how the parts fit together.
 *
 * Functions that return a pointer return NULL, those that return int return
 * -1 if they fail, set errno, and leave a sentence of what went wrong for
 * uffdmr_error(). All may be called from any thread, also at the same time for
 * the same region, but for uffdmr_destroy(). Nothing is printed.
 *
 * After fork() a region and its source are the parent's. In the child functions of
 * the region fail with EINVAL, uffdmr_missing() knows of nothing, the statistics are
 * zero, and uffdmr_destroy() does nothing.
 */

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What went wrong last in this thread; valid until its next failure. */
const char *uffdmr_error(void);

/* --- where pages come from */

/* Pages next to each other that a source has been asked for. */
struct uffdmr_extent {
	size_t offset;		/* of the first byte, from the region's begin */
	size_t length;		/* in bytes; both are multiples of its page size */
	void *buffer;		/* as large, page aligned: for the source's use */
	bool demand;		/* somebody waits for it */
};

/*
 * A source, of one region only. Put it first in a structure of your own.
 *
 * fetch	asks for @n extents. For each uffdmr_supply() or uffdmr_fail()
 *		has to be called once: before this returns or later, from any
 *		thread, in any order. It is never called by two threads of a
 *		region at once, and gets what is urgent first.
 * open		optional: a region will use it. @buffers, @length bytes, is
 *		where all extents' buffers are. Returns 0 or an errno.
 * cancel	optional: what was asked for is not wanted any more, the sooner
 *		it is failed the better. There is no fetch() at the same time,
 *		nor after it.
 * close	optional: nothing is asked for any more, and nothing is owed.
 *		The source is used no more.
 */
struct uffdmr_source {
	void (*fetch)(struct uffdmr_source *source,
		      struct uffdmr_extent *const *extents, size_t n);
	int (*open)(struct uffdmr_source *source, void *buffers, size_t length);
	void (*cancel)(struct uffdmr_source *source);
	void (*close)(struct uffdmr_source *source);
};

/*
 * The extent's pages are @data, as many bytes: its buffer or any other memory, which
 * is read before this returns. NULL: they are zero. @extent is the library's again.
 */
void uffdmr_supply(struct uffdmr_extent *extent, const void *data);

/* There is nothing to be had, why: an errno. What follows is the region's policy. */
void uffdmr_fail(struct uffdmr_extent *extent, int error);

/* All pages are zero. */
struct uffdmr_source *uffdmr_zero(void);

/*
 * A function that fills @length bytes of @buffer with what is at @offset of the
 * region, and returns 0 or an errno. It runs in the region's thread.
 */
struct uffdmr_source *uffdmr_callback(int (*fill)(void *buffer, size_t offset,
						  size_t length, void *arg),
				      void *arg);

/*
 * A file, from @offset on: a multiple of 4096 with UFFDMR_DIRECT, which goes past
 * the page cache. What is behind its end is zero. Read by io_uring, or where that
 * is not allowed a page at a time by the region's thread. The file may be renamed
 * or deleted meanwhile, but not changed.
 */
#define UFFDMR_DIRECT	0x1
struct uffdmr_source *uffdmr_file(const char *path, off_t offset,
				  unsigned int flags);

/*
 * Memory of a peer, by RDMA READ from @addr on. @qp is connected, its send queue
 * takes max_send_wr requests, and its send CQ has a completion channel and no
 * other user; @pd is that of @qp. They stay the caller's, and must outlive the
 * region. It registers attr.depth times attr.extent bytes of its own with @pd, which
 * are pinned. What is being read when the region is destroyed is flushed: @qp is in the
 * error state then.
 */
struct uffdmr_peer {
	struct ibv_pd *pd;
	struct ibv_qp *qp;
	struct ibv_comp_channel *channel;
	uint64_t addr;
	uint32_t rkey;
};
struct uffdmr_source *uffdmr_rdma_read(const struct uffdmr_peer *peer);

/* --- the region */

enum uffdmr_backing {
	UFFDMR_ANON,		/* private anonymous memory */
	UFFDMR_MEMFD,		/* shared memory without a name */
};

/* After a page could not be had as often as the region may retry. */
enum uffdmr_policy {
	UFFDMR_POISON,		/* who touches it gets SIGBUS, a peer an error */
	UFFDMR_ZERO,		/* it is zero */
};

struct uffdmr_attr {
	size_t length;		/* bytes, a multiple of the page size */
	size_t page_size;	/* 4096 or, from hugetlb, 2 MiB; 0: the system's */
	enum uffdmr_backing backing;
	/*
	 * Instead of new memory what the caller has mapped at @addr, page aligned:
	 * private anonymous memory, memfd, or hugetlb. Pages that are there stay
	 * as they are. It stays mapped when the region is destroyed, and what
	 * was poisoned is absent then. Until then it is no child's
	 * (MADV_DONTFORK).
	 */
	void *addr;
	/* Taken over, and closed in the end, or if there will be no region. */
	struct uffdmr_source *source;
	enum uffdmr_policy policy;
	unsigned int retries;	/* of what failed, before the policy; ~0U: for ever */
	unsigned int retry_ms;	/* between them; 0: 10 ms */
	unsigned int depth;	/* extents asked for at a time; 0: 64 */
	size_t extent;		/* bytes of the largest; 0: 64 KiB or one page */
	bool track_dirty;	/* for uffdmr_dirty() */
};

struct uffdmr;

/* Pages are served from now on. */
struct uffdmr *uffdmr_create(const struct uffdmr_attr *attr);

/*
 * Serve no more; pages that are still missing are lost. No thread may be using the
 * region, and its memory regions (uffdmr_reg_mr()) must have been deregistered.
 * Returns how many bytes were missing. NULL is no region.
 */
size_t uffdmr_destroy(struct uffdmr *region);

void *uffdmr_addr(const struct uffdmr *region);
size_t uffdmr_length(const struct uffdmr *region);

/*
 * All of it, registered on demand; ibv_dereg_mr() is the caller's. Fails with
 * EOPNOTSUPP if the device cannot do that.
 */
struct ibv_mr *uffdmr_reg_mr(struct uffdmr *region, struct ibv_pd *pd,
			     int access);

/* --- in the background */

/*
 * Have missing pages fetched that nobody asks for, from the begin on, at most
 * @bytes_per_second of them; 0: as fast as it goes. Who waits goes first. Called
 * again, it changes the speed.
 */
int uffdmr_populate(struct uffdmr *region, uint64_t bytes_per_second);

/* No more for now; uffdmr_populate() goes on. */
int uffdmr_pause(struct uffdmr *region);

/*
 * Call @progress about every @ms milliseconds while pages come, and once when the
 * last is there, in the region's thread. NULL: no more.
 */
int uffdmr_on_progress(struct uffdmr *region, unsigned int ms,
		       void (*progress)(size_t present, size_t length,
					void *arg), void *arg);

/*
 * Wait until no page is missing, at most @ms milliseconds; -1: as long as it
 * takes. Fails with ETIMEDOUT, or with EIO once pages are poisoned and no others
 * are missing.
 */
int uffdmr_wait(struct uffdmr *region, int ms);

/*
 * Make it memory like any other, when no page is missing: EBUSY otherwise. Then
 * pages that are thrown away are zero, and are asked for no more.
 */
int uffdmr_finish(struct uffdmr *region);

/*
 * The first run of missing pages at or behind @offset. Returns false if there is
 * none. Poisoned pages are missing.
 */
bool uffdmr_missing(struct uffdmr *region, size_t offset, size_t *start,
		    size_t *length);

/*
 * Throw whole pages away: they are missing again, and fetched anew when somebody
 * asks for them, or in the background after uffdmr_populate(). For pages that have
 * changed where they come from. Fails with EBUSY if one of them is on its way, and
 * with EINVAL after uffdmr_finish(); nothing is thrown away then. Of another error,
 * madvise(2)'s, some may have been thrown away: all of them count as missing, and one
 * that is still there stays when it is fetched.
 */
int uffdmr_discard(struct uffdmr *region, size_t offset, size_t length);

/* --- what was written */

/*
 * Call @dirty for each run of pages that were written, by a CPU or by RDMA, since
 * the last call or the region's begin, in order. They count as clean from then
 * on. What the source supplied is clean. Stops when @dirty returns other than 0,
 * which is what this returns then; that run, and what it was not called for, stays
 * dirty.
 * Fails with EINVAL without attr.track_dirty.
 */
int uffdmr_dirty(struct uffdmr *region,
		 int (*dirty)(size_t offset, size_t length, void *arg),
		 void *arg);

/* --- statistics */

/* Latencies from 2^n to 2^(n+1) - 1 ns; the last also has what took longer. */
#define UFFDMR_BUCKETS	40

struct uffdmr_stats {
	size_t length;		/* bytes, and of these: */
	size_t present;
	size_t poisoned;
	uint64_t messages;	/* of userfaultfd */
	uint64_t demand_bytes;	/* supplied because somebody waited */
	uint64_t background_bytes;
	uint64_t zeroed_bytes;	/* by UFFDMR_ZERO */
	uint64_t copies;	/* calls of the kernel that supplied them */
	uint64_t duplicates;	/* pages supplied that were there already */
	uint64_t failures;	/* extents that the source failed */
	int error;		/* an errno: why the last of them */
	uint64_t retries;
	/* From the message to the page in place. */
	uint64_t latency_count;
	uint64_t latency_min_ns, latency_max_ns, latency_sum_ns;
	uint64_t latency[UFFDMR_BUCKETS];
};

void uffdmr_get_stats(struct uffdmr *region, struct uffdmr_stats *stats);

/*
 * The latency in ns that @percent of those counted have not exceeded, to the
 * precision of the buckets; 0 if there are none.
 */
uint64_t uffdmr_percentile(const struct uffdmr_stats *stats, double percent);

#ifdef __cplusplus
}
#endif

#endif
