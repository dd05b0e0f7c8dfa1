// SPDX-License-Identifier: GPL-2.0
/* The arming thread: takes pages away from memory that the program registers. */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lazy.h"
#include "thread.h"
#include "uapi.h"
#include "userfaultfd.h"

/* What is wanted of the arming thread; the caller has @turn until it is done. */
static struct {
	pthread_mutex_t turn;
	sem_t wanted, done;
	uintptr_t start, end;
	bool arm;		/* or only give back what is away there */
} request = { .turn = PTHREAD_MUTEX_INITIALIZER };

/* @turn is held. */
static enum { NOT_STARTED, STARTED, USELESS } state;
static int maps = -1;

void say(const char *fmt, ...)
{
	char line[512];
	size_t n;
	va_list args;

	n = snprintf(line, sizeof(line), "uffdmr run: ");
	va_start(args, fmt);
	vsnprintf(line + n, sizeof(line) - n - 1, fmt, args);
	va_end(args);
	n = strlen(line);
	line[n] = '\n';
	if (write(STDERR_FILENO, line, n + 1) < 0)
		return;
}

int out_of_the_way(int fd)
{
	struct rlimit limit;
	int high;

	/* Not too high: the kernel's table is as large as the highest one. */
	if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < 256)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC,
		     (limit.rlim_cur < 1024 ? (int)limit.rlim_cur : 1024) - 32);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

/* --- taking away */

/* No range crosses that page's begin any more, if it can be helped. */
static void cut(uintptr_t at)
{
	struct range *range = ranges_at(at);

	/* Of one that is on its way to its shadow an event comes, about all of it. */
	if (range && range->ready)
		ranges_cut(at & ~(range->page_size - 1));
}

/* Wait until no range is left there. */
static void settle(uintptr_t start, uintptr_t end)
{
	struct range *range;

	pthread_mutex_lock(&lock);
	/* What is beside it stays away. */
	cut(start);
	range = ranges_at(end);
	cut(range ? end + range->page_size - 1 : end);
	while ((range = ranges_from(start)) && range->start < end) {
		for (; range && range->start < end; range = ranges_next(range))
			range->hurry = true;
		serve_kick();
		pthread_cond_wait(&range_gone, &lock);
	}
	pthread_mutex_unlock(&lock);
}

/* The range is known, and userfaultfd has it: take its pages away. Returns whether. */
static bool take(uintptr_t start, size_t length, bool shared)
{
	struct range *range;

	if (!shared)
		/* The serving thread reads the event of it, and then they are ready. */
		return !memory_move_pages(start, length);
	pthread_mutex_lock(&lock);
	range = ranges_at(start);
	if (range)
		range->ready = true;
	pthread_mutex_unlock(&lock);
	return !memory_drop(start, length);
}

/* Make memory lazy that has one kind of pages. */
static bool arm(uintptr_t start, uintptr_t end, size_t page_size, bool shared)
{
	size_t length = end - start;
	struct uffdio_register arg = {
		.range = { .start = start, .len = length },
		.mode = UFFDIO_REGISTER_MODE_MISSING |
			(shared ? UFFDIO_REGISTER_MODE_MINOR : 0),
	};
	struct range *range = range_new(start, length / page_size, page_size,
					shared);
	bool known;

	if (!range)
		return false;
	pthread_mutex_lock(&lock);
	known = !ranges_add(range);
	if (known) {
		published->regions++;
		published->stats.length += length;
	}
	pthread_mutex_unlock(&lock);
	if (!known) {
		range_free(range);
		return false;
	}
	if (!ioctl(uffd, UFFDIO_REGISTER, &arg) && take(start, length, shared))
		return true;
	/* All that is away, if anything, comes back. */
	ioctl(uffd, UFFDIO_UNREGISTER, &arg.range);
	pthread_mutex_lock(&lock);
	range = ranges_at(start);
	if (range) {
		published->regions--;
		published->stats.length -= length;
		ranges_remove(range);
		range_free(range);
	}
	pthread_mutex_unlock(&lock);
	return false;
}

/*
 * Whether its pages can be taken away: not those of a stack that grows, nor of a file
 * of which they are private copies, nor what could not be read to give it back.
 */
static bool can_go(const struct procmap_query *vma, const char *name)
{
	if (!(vma->vma_flags & PROCMAP_QUERY_VMA_READABLE))
		return false;
	if (vma->vma_flags & PROCMAP_QUERY_VMA_SHARED)
		return true;
	return !vma->inode && strcmp(name, "[stack]") && strncmp(name, "[v", 2);
}

static void arm_all(uintptr_t start, uintptr_t end)
{
	char name[64];
	struct procmap_query vma;

	while (start < end) {
		uintptr_t low = start, high = end;
		bool armed = false;

		vma = (struct procmap_query){
			.size = sizeof(vma),
			.query_flags = PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
			.query_addr = start,
			.vma_name_addr = (uintptr_t)name,
			.vma_name_size = sizeof(name),
		};
		name[0] = 0;
		/* A long name is that of a file. */
		if (ioctl(maps, PROCMAP_QUERY, &vma) && errno == ENAMETOOLONG) {
			vma.vma_name_addr = 0;
			vma.vma_name_size = 0;
			if (ioctl(maps, PROCMAP_QUERY, &vma))
				break;
		}
		if (!vma.vma_end || vma.vma_start >= end)
			break;
		start = vma.vma_end;
		low &= ~(vma.vma_page_size - 1);
		high = (high + vma.vma_page_size - 1) & ~(vma.vma_page_size - 1);
		if (low < vma.vma_start)
			low = vma.vma_start;
		if (high > vma.vma_end)
			high = vma.vma_end;
		if (can_go(&vma, name))
			armed = arm(low, high, vma.vma_page_size,
				    vma.vma_flags & PROCMAP_QUERY_VMA_SHARED);
		if (!armed)
			published->unmanaged += high - low;
	}
}

static void *serve_requests(void *arg)
{
	(void)arg;
	for (;;) {
		while (sem_wait(&request.wanted))
			;
		settle(request.start, request.end);
		if (request.arm) {
			published->registrations++;
			arm_all(request.start, request.end);
		}
		sem_post(&request.done);
	}
	return NULL;
}

/* --- what the program's threads call */

static int read_config(struct preload_config *config)
{
	const char *text = getenv(CONFIG_VARIABLE);

	*config = (struct preload_config){ 0 };
	return text && sscanf(text, CONFIG_FORMAT,
			      &config->latency_ns, &config->jitter_ns,
			      &config->distribution, &config->fail_ppm,
			      &config->populate, &config->seed, &config->pid,
			      &config->fd) == CONFIG_FIELDS ? 0 : -1;
}

/*
 * A slot of @file that nobody has, or if all are taken one whose process has ended: its
 * numbers stay in the sum.
 */
static struct published *take_slot(struct published_file *file)
{
	struct published *slot = file->slot;
	uint32_t pid;
	size_t i;

	for (i = 0; i < PUBLISHED_SLOTS; i++)
		if (published_take(&slot[i]))
			return &slot[i];
	for (i = 0; i < PUBLISHED_SLOTS; i++) {
		pid = slot[i].pid;
		if (!kill(pid, 0) || errno != ESRCH ||
		    !__sync_bool_compare_and_swap(&slot[i].pid, pid, 0))
			continue;
		memset(slot[i].program, 0, sizeof(slot[i].program));
		slot[i].regions = 0;
		if (published_take(&slot[i]))
			return &slot[i];
	}
	return NULL;
}

/* In the file of "uffdmr run", or when that is not to be had in one of our own. */
static int open_published(const struct preload_config *config)
{
	struct published_file *file = MAP_FAILED;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%llu/fd/%llu",
		 config->pid, config->fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		file = mmap(NULL, published_size(PUBLISHED_SLOTS),
			    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	published = file == MAP_FAILED ? NULL : take_slot(file);
	if (!published) {
		if (file != MAP_FAILED)
			munmap(file, published_size(PUBLISHED_SLOTS));
		if (fd >= 0)
			close(fd);
		file = published_create(1, &fd);
		if (!file)
			return -1;
		say("process %d is not in the report", getpid());
		published = file->slot;
		published_take(published);
	}
	/* Open for "uffdmr stat". */
	out_of_the_way(fd);
	published->page_size = sysconf(_SC_PAGESIZE);
	return 0;
}

static int begin(void)
{
	struct preload_config config;
	pthread_t thread;
	int err;

	if (read_config(&config)) {
		say("%s is not what uffdmr run has set: memory stays as it is",
		    CONFIG_VARIABLE);
		return -1;
	}
	uffd = uffd_new(PRELOAD_FEATURES);
	if (uffd < 0) {
		say("%s: memory stays as it is", uffdmr_error());
		return -1;
	}
	uffd = out_of_the_way(uffd);
	maps = out_of_the_way(open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
	sem_init(&request.wanted, 0, 0);
	sem_init(&request.done, 0, 0);
	err = maps < 0 || open_published(&config) ? errno : 0;
	if (!err)
		err = serve_start(&config);
	if (!err)
		err = thread_start(&thread, serve_requests, NULL);
	if (err) {
		say("cannot start: %s: memory stays as it is", strerror(err));
		close(uffd);
		close(maps);
		return -1;
	}
	pthread_detach(thread);
	return 0;
}

/* @turn is held. */
static void ask(bool arm, uintptr_t start, uintptr_t end)
{
	request.arm = arm;
	request.start = start;
	request.end = end;
	sem_post(&request.wanted);
	while (sem_wait(&request.done))
		;
}

/* @turn is held. */
static bool started(void)
{
	if (state == NOT_STARTED)
		state = begin() ? USELESS : STARTED;
	return state == STARTED;
}

void lazy_arm(const void *addr, size_t length)
{
	uintptr_t at = (uintptr_t)addr;

	pthread_mutex_lock(&request.turn);
	if (started())
		ask(true, at, at + length);
	pthread_mutex_unlock(&request.turn);
}

void lazy_stays(size_t length)
{
	pthread_mutex_lock(&request.turn);
	if (started()) {
		published->registrations++;
		published->unmanaged += length;
	}
	pthread_mutex_unlock(&request.turn);
}

void *lazy_page(void)
{
	struct uffdio_register arg = {
		.range.len = sysconf(_SC_PAGESIZE),
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	void *page = NULL;

	pthread_mutex_lock(&request.turn);
	if (started())
		page = memory_map(arg.range.len);
	arg.range.start = (uintptr_t)page;
	if (page && ioctl(uffd, UFFDIO_REGISTER, &arg)) {
		memory_unmap(page, arg.range.len);
		page = NULL;
	}
	pthread_mutex_unlock(&request.turn);
	return page;
}

void lazy_disarm(const void *addr, size_t length)
{
	uintptr_t at = (uintptr_t)addr;

	pthread_mutex_lock(&request.turn);
	if (state == STARTED)
		ask(false, at, at + length);
	pthread_mutex_unlock(&request.turn);
}

/* --- fork(): a child has no pages that are away, and nobody to give them */

static void before_fork(void)
{
	pthread_mutex_lock(&request.turn);
	if (state == STARTED)
		ask(false, 0, UINTPTR_MAX);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&request.turn);
}

static void in_child(void)
{
	if (state == STARTED) {
		serve_forget();
		close(maps);
		state = NOT_STARTED;
	}
	pthread_mutex_init(&request.turn, NULL);
}

static void __attribute__((constructor)) watch_forks(void)
{
	pthread_atfork(before_fork, after_fork, in_child);
}
