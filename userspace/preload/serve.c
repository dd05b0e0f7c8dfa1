// SPDX-License-Identifier: GPL-2.0
/* The serving thread: reads userfaultfd's messages and gives pages back. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clock.h"
#include "lazy.h"
#include "stats.h"
#include "thread.h"
#include "uapi.h"

#define MESSAGES	64	/* of one read() */
#define MILLION		1000000
#define SOON		(100 * NSEC_PER_USEC)
#define LATER		(10 * NSEC_PER_MSEC)
#define HUGE		(2UL << 20)

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t range_gone = PTHREAD_COND_INITIALIZER;
int uffd = -1;
struct published *published;

static struct preload_config config;
static struct drand48_data dice;
static int kick = -1;
static uint64_t populate_next;	/* when */
static uintptr_t populate_at;
static bool busy;	/* userfaultfd has an event to be read first */

/* UFFDIO_ZEROPAGE knows no hugepages. */
static const char zeros[HUGE] __attribute__((aligned(4096)));

/* --- how long a page takes */

/* From 0 to 1, without both. */
static double roll(void)
{
	double d;

	do
		drand48_r(&dice, &d);
	while (d == 0);
	return d;
}

static uint64_t delay(void)
{
	double jitter = config.jitter_ns, ns = config.latency_ns;

	switch (config.distribution) {
	case UNIFORM:
		ns += jitter * (2 * roll() - 1);
		break;
	case NORMAL:	/* Box and Muller */
		ns += jitter * sqrt(-2 * log(roll())) * cos(2 * M_PI * roll());
		break;
	case EXPONENTIAL:
		ns += jitter * -log(roll());
		break;
	}
	return ns > 0 ? ns : 0;
}

/* --- giving pages back; @lock is held */

static struct uffdio_range at_range(const struct range *range, size_t page,
				    size_t n)
{
	return (struct uffdio_range){
		.start = range->start + page * range->page_size,
		.len = n * range->page_size,
	};
}

static void wake(struct uffdio_range range)
{
	ioctl(uffd, UFFDIO_WAKE, &range);
}

static int copy(struct uffdio_range to, const void *from, size_t *done)
{
	struct uffdio_copy arg = {
		.dst = to.start,
		.src = (uintptr_t)from,
		.len = to.len,
	};
	int err = ioctl(uffd, UFFDIO_COPY, &arg) ? errno : 0;

	*done = arg.copy > 0 ? arg.copy : 0;
	return err;
}

static int zero(struct uffdio_range to, size_t page_size, size_t *done)
{
	struct uffdio_zeropage arg = { .range = to };
	int err;

	if (page_size == HUGE)
		return copy(to, zeros, done);
	err = ioctl(uffd, UFFDIO_ZEROPAGE, &arg) ? errno : 0;
	*done = arg.zeropage > 0 ? arg.zeropage : 0;
	return err;
}

/* What is in the file; it may have a hole there. */
static int map_again(struct uffdio_range to, size_t page_size, size_t *done)
{
	struct uffdio_continue arg = { .range = to };
	int err = ioctl(uffd, UFFDIO_CONTINUE, &arg) ? errno : 0;

	*done = arg.mapped > 0 ? arg.mapped : 0;
	if (err != EFAULT || *done)
		return err;
	to.len = page_size;
	return zero(to, page_size, done);
}

static int poison(struct uffdio_range to, size_t *done)
{
	struct uffdio_poison arg = { .range = to };
	int err = ioctl(uffd, UFFDIO_POISON, &arg) ? errno : 0;

	*done = arg.updated > 0 ? arg.updated : 0;
	return err;
}

static void end(struct range *range)
{
	ranges_remove(range);
	range_free(range);
	published->regions--;
	pthread_cond_broadcast(&range_gone);
}

/* It needs nobody any more. */
static void finish(struct range *range)
{
	struct uffdio_range all = at_range(range, 0, range->pages);

	ioctl(uffd, UFFDIO_UNREGISTER, &all);
	end(range);
}

static void here(struct range *range, size_t page, size_t n)
{
	published->stats.present += n * range->page_size;
	for (; n--; page++) {
		range->missing -= (range->state[page] & PAGE_STATE) != HERE;
		range->state[page] = HERE;
	}
}

/* How that many pages come to be there: all of them are zero or none. Returns an errno. */
static int supply(const struct range *range, size_t page, size_t n, bool fail,
		  size_t *done)
{
	struct uffdio_range to = at_range(range, page, n);

	if (fail)
		return poison(to, done);
	if (range->shared)
		return map_again(to, range->page_size, done);
	if (range->state[page] & PAGE_ZERO)
		return zero(to, range->page_size, done);
	return copy(to, (void *)(range->shadow + page * range->page_size), done);
}

/*
 * Give @n pages, all of them zero or none; with *@lost, poison them, and it tells whether
 * that is what became of them. Returns how many: fewer if something is in the way;
 * none if it has to be tried again, later if not @busy.
 */
static size_t give(struct range *range, size_t page, size_t n, bool *lost)
{
	size_t offset = page * range->page_size, done;
	int err = supply(range, page, n, *lost, &done);

	/* The program has made several mappings of it: userfaultfd takes one at a time. */
	while (err == ENOENT && n > 1) {
		n /= 2;
		err = supply(range, page, n, *lost, &done);
	}
	done /= range->page_size;
	if (!done && !*lost && (err == EFAULT || err == EIO)) {
		/* Where it is nobody can read it: it had been poisoned before, or is broken. */
		*lost = true;
		return give(range, page, 1, lost);
	}
	if (done) {
		published->stats.copies++;
		/* Not to have it twice. */
		if (range->shadow)
			memory_drop(range->shadow + offset,
				    done * range->page_size);
		if (*lost) {
			published->stats.failures++;
			published->stats.poisoned += range->page_size;
		}
		here(range, page, done);
		return done;
	}
	switch (err) {
	case EAGAIN:
		busy = true;
		return 0;
	case ENOMEM:
		return 0;
	case EEXIST:
		published->stats.duplicates++;
		break;
	}
	/* Or it is not mapped any more: of that an event tells. */
	wake(at_range(range, page, 1));
	here(range, page, 1);
	return 1;
}

/* How many from @page on, at most @most, can be given in one call. */
static size_t run_of(const struct range *range, size_t page, size_t most)
{
	size_t n = 1;

	while (n < most && page + n < range->pages &&
	       (range->state[page + n] & PAGE_STATE) != HERE &&
	       !((range->state[page + n] ^ range->state[page]) & PAGE_ZERO))
		n++;
	return n;
}

static void give_due(const struct due *due, uint64_t now)
{
	struct range *range = ranges_at(due->at);
	struct due again = *due;
	size_t page;
	bool lost;

	due_drop();
	if (!range)
		return;
	page = (again.at - range->start) / range->page_size;
	if ((range->state[page] & PAGE_STATE) != WAITED)
		return;
	again.when = now + SOON;
	if (!range->ready) {
		due_add(&again);
		return;
	}
	lost = again.since && config.fail_ppm &&
	       roll() * MILLION < config.fail_ppm;
	if (!give(range, page, 1, &lost)) {
		if (!busy)
			again.when = now + LATER;
		due_add(&again);
		return;
	}
	if (!lost && again.since) {
		published->stats.demand_bytes += range->page_size;
		stats_latency(&published->stats, now_ns() - again.since);
	}
	if (!range->missing)
		finish(range);
}

/* All of it. */
static void rush(struct range *range)
{
	size_t page = 0, n;
	bool lost;

	while (page < range->pages) {
		if ((range->state[page] & PAGE_STATE) == HERE) {
			page++;
			continue;
		}
		lost = false;
		n = give(range, page, run_of(range, page, SIZE_MAX), &lost);
		if (!n)
			return;
		page += n;
	}
	finish(range);
}

/* A range that is in a hurry, at or behind @at. */
static struct range *hurried(uintptr_t at)
{
	struct range *range = ranges_from(at);

	while (range && !(range->hurry && range->ready))
		range = ranges_next(range);
	return range;
}

/* Who wants to be populated next, from where it was left; NULL: nobody. */
static struct range *to_populate(void)
{
	struct range *range = ranges_from(populate_at);
	int round;

	if (!config.populate)
		return NULL;
	for (round = 0; round < 2; round++) {
		for (; range; range = ranges_next(range)) {
			while (range->cursor < range->pages &&
			       (range->state[range->cursor] & PAGE_STATE) != AWAY)
				range->cursor++;
			if (range->ready && range->cursor < range->pages)
				return range;
		}
		range = ranges_from(0);
	}
	return NULL;
}

static void populate(uint64_t now)
{
	struct range *range;
	bool lost;

	/* What was missed for want of a CPU is made up for, but not all of a night. */
	if (populate_next + LATER < now)
		populate_next = now - LATER;
	while (populate_next <= now && (range = to_populate())) {
		populate_at = range->start;
		lost = false;
		if (!give(range, range->cursor, 1, &lost))
			return;
		range->cursor++;
		if (!lost)
			published->stats.background_bytes += range->page_size;
		populate_next += NSEC_PER_SEC / config.populate;
		if (!range->missing)
			finish(range);
	}
}

/* Returns when there will be something to do, at the latest; 0: now. */
static uint64_t work(void)
{
	uint64_t until = UINT64_MAX, now = now_ns();
	uintptr_t at = 0;
	const struct due *due;
	struct range *range;

	busy = false;
	while ((range = hurried(at))) {
		at = range_end(range);
		rush(range);
	}
	while (!busy && (due = due_first()) && due->when <= now)
		give_due(due, now);
	if (!busy)
		populate(now);
	if (busy || hurried(0))
		return now + SOON;
	due = due_first();
	if (due)
		until = due->when;
	if (to_populate() && populate_next < until)
		until = populate_next;
	return until;
}

/* --- messages; @lock is held */

/* Memory that a mapping has got since: nobody has taken anything away from it. */
static void give_nobodys(uintptr_t at)
{
	struct uffdio_range here = { .start = at & ~4095UL, .len = 4096 };
	struct uffdio_range huge = { .start = at & ~(HUGE - 1), .len = HUGE };
	struct uffdio_continue in_file = { .range = here };
	size_t done;
	int err = zero(here, here.len, &done);

	switch (err) {
	case 0:
		return;
	case EEXIST:
		/* If not in a file, it came meanwhile, and a wake is all it takes. */
		ioctl(uffd, UFFDIO_CONTINUE, &in_file);
		break;
	case EAGAIN:	/* as long as an event is on its way */
	case ENOENT:	/* it has gone since */
		break;
	case EINVAL:	/* a hugepage */
		ioctl(uffd, UFFDIO_UNREGISTER, &huge);
		break;
	default:
		/* Linux says what becomes of who touches it. */
		ioctl(uffd, UFFDIO_UNREGISTER, &here);
	}
	wake(here);
}

static void forget(struct range *range)
{
	size_t i;

	for (i = 0; i < range->pages; i++)
		if ((range->state[i] & PAGE_STATE) == WAITED)
			range->state[i] = (range->state[i] & PAGE_ZERO) | AWAY;
	range->cursor = 0;
	wake(at_range(range, 0, range->pages));
}

static void note_fault(uintptr_t at, uint64_t now)
{
	struct range *range = ranges_at(at);
	struct due due = { .when = now, .at = at };
	uint8_t *state;

	if (!range) {
		give_nobodys(at);
		return;
	}
	state = &range->state[(at - range->start) / range->page_size];
	switch (*state & PAGE_STATE) {
	case WAITED:
		return;
	case HERE:
		/* Thrown away; or it came meanwhile, and a wake is all it takes. */
		range->missing++;
		published->stats.present -= range->page_size;
		*state = PAGE_ZERO;
		break;
	default:
		published->stats.messages++;
		due.since = now;
		due.when += delay();
	}
	*state = (*state & PAGE_ZERO) | WAITED;
	/* For want of memory: it has to ask once more. */
	if (due_add(&due))
		forget(range);
}

/* The program throws pages away. */
static void note_remove(uintptr_t start, uintptr_t end)
{
	struct range *range;
	size_t i;

	for (range = ranges_from(start); range && range->start < end;
	     range = ranges_next(range))
		for (i = 0; !range->shared && i < range->pages; i++) {
			uintptr_t at = range->start + i * range->page_size;

			if (at >= start && at < end)
				range->state[i] |= PAGE_ZERO;
		}
}

static void note_unmap(uintptr_t start, uintptr_t to)
{
	struct range *range;

	if (!ranges_cut(start) || !ranges_cut(to))
		return;
	while ((range = ranges_from(start)) && range->start < to) {
		forget(range);
		published->dropped += range->missing * range->page_size;
		/* Something else may be there by now. */
		end(range);
	}
}

static void note_remap(uintptr_t from, uintptr_t to, size_t length)
{
	struct range *range = ranges_at(from);

	/* That is what the arming thread does: they went to the shadow. */
	if (range && range->start == from && !range->ready && !range->shared) {
		struct uffdio_range shadow = { .start = to, .len = length };

		ioctl(uffd, UFFDIO_UNREGISTER, &shadow);
		range->shadow = to;
		range->ready = true;
		return;
	}
	if (!ranges_cut(from) || !ranges_cut(from + length))
		return;
	while ((range = ranges_from(from)) && range->start < from + length) {
		forget(range);
		ranges_remove(range);
		range->start += to - from;
		/* It has just left a place. */
		ranges_add(range);
	}
}

static void note_event(const struct uffd_msg *message)
{
	switch (message->event) {
	case UFFD_EVENT_REMOVE:
		note_remove(message->arg.remove.start, message->arg.remove.end);
		break;
	case UFFD_EVENT_UNMAP:
		note_unmap(message->arg.remove.start, message->arg.remove.end);
		break;
	case UFFD_EVENT_REMAP:
		note_remap(message->arg.remap.from, message->arg.remap.to,
			   message->arg.remap.len);
		break;
	}
}

/* --- the loop */

static void read_messages(void)
{
	struct uffd_msg messages[MESSAGES];
	ssize_t n, i;
	uint64_t now;

	/*
	 * Faults are read before events, and may be of what an event tells of: where
	 * memory has moved to. Once that was read userfaultfd takes orders for the
	 * place, so it has to be known before.
	 */
	do {
		n = read(uffd, messages, sizeof(messages));
		n = n > 0 ? n / (ssize_t)sizeof(messages[0]) : 0;
		now = now_ns();
		pthread_mutex_lock(&lock);
		for (i = 0; i < n; i++)
			if (messages[i].event != UFFD_EVENT_PAGEFAULT)
				note_event(&messages[i]);
		for (i = 0; i < n; i++)
			if (messages[i].event == UFFD_EVENT_PAGEFAULT)
				note_fault(messages[i].arg.pagefault.address,
					   now);
		pthread_mutex_unlock(&lock);
	} while (n == MESSAGES);
}

static void *serve(void *arg)
{
	struct pollfd fds[] = {
		{ .fd = uffd, .events = POLLIN },
		{ .fd = kick, .events = POLLIN },
	};
	struct timespec wait;
	uint64_t until, now;
	eventfd_t kicks;

	(void)arg;
	/* Not the usual 50 us late: a latency may be as short as that. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	for (;;) {
		read_messages();
		pthread_mutex_lock(&lock);
		until = work();
		pthread_mutex_unlock(&lock);
		now = now_ns();
		until = until > now ? until - now : 0;
		wait.tv_sec = until / NSEC_PER_SEC;
		wait.tv_nsec = until % NSEC_PER_SEC;
		if (ppoll(fds, 2, &wait, NULL) > 0 && fds[1].revents)
			eventfd_read(kick, &kicks);
	}
	return NULL;
}

void serve_kick(void)
{
	eventfd_write(kick, 1);
}

int serve_start(const struct preload_config *wanted)
{
	pthread_t thread;
	int err;

	config = *wanted;
	srand48_r(config.seed, &dice);
	populate_next = now_ns();
	kick = out_of_the_way(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (kick < 0)
		return errno;
	err = thread_start(&thread, serve, NULL);
	if (!err)
		pthread_detach(thread);
	return err;
}

void serve_forget(void)
{
	pthread_mutex_init(&lock, NULL);
	pthread_cond_init(&range_gone, NULL);
	due_drop_all();
	close(kick);
	close(uffd);
	kick = -1;
	uffd = -1;
}
