/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LIBRARY_SOURCE_H
#define LIBRARY_SOURCE_H

/* A source that does what a test says, and what it supplies. */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "pattern.h"
#include "uffdmr.h"

#define SEED	7
#define KEPT	256

struct scripted {
	struct uffdmr_source source;
	/* Extents are kept, for the test to answer, not answered at once. */
	_Atomic bool keep;
	/* So many extents fail first; those from @bad_from on always. */
	_Atomic int fail;
	_Atomic size_t bad_from;
	int open_error;
	_Atomic int opened, cancelled, closed;
	_Atomic size_t fetches, asked, urgent, largest;

	pthread_mutex_t lock;
	pthread_cond_t came;
	struct uffdmr_extent *kept[KEPT];
	size_t n;
	bool over;
};

static inline void scripted_answer(struct uffdmr_extent *extent)
{
	pattern_fill(extent->buffer, extent->length, SEED, extent->offset);
	uffdmr_supply(extent, extent->buffer);
}

static inline bool scripted_keep(struct scripted *s, struct uffdmr_extent *extent)
{
	bool keep;

	pthread_mutex_lock(&s->lock);
	keep = s->keep;
	if (keep) {
		s->kept[s->n++] = extent;
		pthread_cond_signal(&s->came);
	}
	pthread_mutex_unlock(&s->lock);
	return keep;
}

static inline void scripted_fetch(struct uffdmr_source *source,
				  struct uffdmr_extent *const *extents, size_t n)
{
	struct scripted *s = (struct scripted *)source;
	size_t i;

	s->fetches++;
	for (i = 0; i < n; i++) {
		struct uffdmr_extent *extent = extents[i];

		s->asked++;
		s->urgent += extent->demand;
		if (extent->length > s->largest)
			s->largest = extent->length;
		if (extent->offset + extent->length > s->bad_from) {
			uffdmr_fail(extent, EIO);
		} else if (s->fail > 0) {
			s->fail--;
			uffdmr_fail(extent, ENOENT);
		} else if (!scripted_keep(s, extent)) {
			scripted_answer(extent);
		}
	}
}

static inline int scripted_open(struct uffdmr_source *source, void *buffers,
				size_t length)
{
	(void)buffers;
	(void)length;
	((struct scripted *)source)->opened++;
	return ((struct scripted *)source)->open_error;
}

/* The test answers no more. */
static inline void scripted_cancel(struct uffdmr_source *source)
{
	struct scripted *s = (struct scripted *)source;

	s->cancelled++;
	pthread_mutex_lock(&s->lock);
	while (s->n)
		uffdmr_fail(s->kept[--s->n], ECANCELED);
	s->keep = false;
	pthread_mutex_unlock(&s->lock);
}

static inline void scripted_close(struct uffdmr_source *source)
{
	((struct scripted *)source)->closed++;
}

#define SCRIPTED (struct scripted){ \
	.source = { scripted_fetch, scripted_open, scripted_cancel, \
		    scripted_close }, \
	.bad_from = SIZE_MAX, \
	.lock = PTHREAD_MUTEX_INITIALIZER, \
	.came = PTHREAD_COND_INITIALIZER, \
}

/* One that was kept; of those, the one that came last. NULL if it is over. */
static inline struct uffdmr_extent *scripted_take(struct scripted *s)
{
	struct uffdmr_extent *extent;

	pthread_mutex_lock(&s->lock);
	while (!s->n && !s->over)
		pthread_cond_wait(&s->came, &s->lock);
	extent = s->n ? s->kept[--s->n] : NULL;
	pthread_mutex_unlock(&s->lock);
	return extent;
}

/* All that were kept, and from now on each at once. */
static inline void scripted_release(struct scripted *s)
{
	pthread_mutex_lock(&s->lock);
	s->keep = false;
	while (s->n)
		scripted_answer(s->kept[--s->n]);
	pthread_mutex_unlock(&s->lock);
}

static inline void scripted_over(struct scripted *s)
{
	pthread_mutex_lock(&s->lock);
	s->over = true;
	pthread_cond_signal(&s->came);
	pthread_mutex_unlock(&s->lock);
}

/* Is @data what is at @offset of the region? */
static inline bool right(const void *data, size_t offset, size_t length)
{
	char *want = malloc(length);
	bool same;

	pattern_fill(want, length, SEED, offset);
	same = !memcmp(want, data, length);
	free(want);
	return same;
}

#endif
