// SPDX-License-Identifier: GPL-2.0
/*
 * soak SECONDS SEED [NUMBER]: starts workers for so long, a few at a time, each
 * with a life of its own, and looks how it ends. With NUMBER all live that one life.
 * Prepared by in-guest.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memcg.h"
#include "parse.h"
#include "pattern.h"
#include "soak.h"

#define WORKERS		4
#define DEBUG_WORKERS	2	/* where each step takes long */
#define STEP_MS		5
#define MOST_KILL_MS	3000

/* A run that is as long as this goes on until everything has happened once. */
#define ALL_SECONDS	60
#define MISSING_NS	(300 * NSEC_PER_SEC)	/* so much later at the latest */

/* Longer than the longest wait of a worker that is told to try again. */
#define HUNG_MS		100000

/* What those who are pressed have, and what the hog takes of it at times. */
#define LIMIT		"50331648"
#define HOG		(40UL << 20)

const char *const verb_name[VERBS] = {
	"READ", "WRITE", "WRITE_IMM", "SEND", "CMP_SWAP", "FETCH_ADD",
};

static const char *const cancel_name[CANCELS] = {
	"destroy_qp", "to ERR", "to RESET", "dereg_mr", "munmap",
};

static const char *const happening_name[HAPPENINGS] = {
	"drop", "remap", "mremap", "read-only", "no access", "page out", "fork",
	"prefetch", "CPU write",
};

static const char *const end_name[ENDS] = {
	"clean", "device closed", "userfaultfd closed", "exit", "exec", "killed",
	"killed, descriptors held",
};

struct worker {
	pid_t pid;
	struct plan plan;
	struct slot *slot;
	uint64_t begun;
};

struct shared *shared;
bool tolerant;
uint64_t bound_ms;

static struct memcg memcg;
static struct worker workers[WORKERS];
static int at_once;
static unsigned long lives, ends[ENDS], gave_up, starved;
static uint64_t seed;
static pid_t hog_pid;

/* The one line that tells what is wrong; all that runs is ended with us. */
static __printf(1, 2) void die(const char *fmt, ...)
{
	va_list args;
	int i;

	printf("soak: FAILED: ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf(" (seed %lu)\n", seed);
	for (i = 0; i < WORKERS; i++)
		if (workers[i].pid > 0)
			kill(workers[i].pid, SIGKILL);
	exit(1);
}

long long memcg_ooms(void)
{
	char path[120], line[80];
	long long n = 0;
	FILE *f;

	memcg_file(&memcg, "memory.events", path);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "oom %lld", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

static uint64_t random_of(uint64_t number)
{
	uint64_t value;

	pattern_fill(&value, sizeof(value), seed, number * sizeof(value));
	return value;
}

static struct plan plan_of(unsigned long number)
{
	uint64_t random = random_of(number);

	return (struct plan){
		.number = number,
		.seed = (unsigned int)random,
		/* Each end soon. */
		.end = number < ENDS ? number : (random >> 32) % ENDS,
		.kill_ms = (random >> 40) % MOST_KILL_MS,
		.pressed = random >> 63,
	};
}

/* ---- memory pressure */

static void hog(void)
{
	struct failure failure = {};
	unsigned int rand = seed;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (memcg_enter(&memcg, &failure))
		_exit(LIFE_BAD);
	for (;;) {
		size_t len = HOG / 8 + below(&rand, HOG - HOG / 8), at;
		char *addr = mmap(NULL, len, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (at = 0; addr != MAP_FAILED && at < len; at += PAGE)
			addr[at] = 1;
		usleep(below(&rand, 300000));
		if (addr != MAP_FAILED)
			munmap(addr, len);
		usleep(below(&rand, 300000));
	}
}

static void start_hog(void)
{
	hog_pid = fork();
	if (!hog_pid)
		hog();
	if (hog_pid < 0)
		die("cannot fork: %s", strerror(errno));
}

/* ---- workers */

static void start(struct worker *w, unsigned long number)
{
	w->plan = plan_of(number);
	*w->slot = (struct slot){ .alive = shared->clock, .doing = "starting" };
	w->begun = shared->clock;
	fflush(stdout);
	w->pid = fork();
	if (w->pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (!w->pid) {
		if (w->plan.pressed && memcg_enter(&memcg, &w->slot->failure))
			_exit(LIFE_BAD);
		_exit(live(&w->plan, w->slot));
	}
	lives++;
}

static void print_stacks(pid_t pid)
{
	char path[300], line[200];
	struct dirent *entry;
	DIR *dir;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stack", pid,
			 entry->d_name);
		f = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			printf("# %s: %s", entry->d_name, line);
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
}

static void bury(struct worker *w, int status)
{
	enum end end = w->plan.end;
	bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	uint64_t ending = w->slot->ending;

	w->pid = 0;
	if (ending && shared->clock - ending > bound_ms)
		die("life %lu (%s): its end took %lu ms", w->plan.number,
		    end_name[end], shared->clock - ending);
	if (w->slot->failure.text[0] &&
	    !(WIFEXITED(status) && WEXITSTATUS(status) == LIFE_GAVE_UP) && !killed)
		die("life %lu (%s), %s: %s", w->plan.number, end_name[end],
		    w->slot->doing, w->slot->failure.text);
	if (WIFEXITED(status) && WEXITSTATUS(status) == LIFE_GAVE_UP) {
		gave_up++;
		return;
	}
	if (killed && ending && (end == END_KILL || end == END_HELD)) {
		ends[end]++;
		return;
	}
	if (killed && w->plan.pressed && memcg_ooms()) {
		starved++;
		return;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != LIFE_GOOD ||
	    end == END_KILL || end == END_HELD)
		die("life %lu (%s), %s: status %#x", w->plan.number,
		    end_name[end], w->slot->doing, status);
	if (end <= END_UFFD && !w->slot->verified)
		die("life %lu (%s) did not look at its memory", w->plan.number,
		    end_name[end]);
	ends[end]++;
}

/* Those whose parent is gone are ours, too. */
static void reap(void)
{
	int status, i;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < WORKERS; i++)
			if (workers[i].pid == pid)
				break;
		if (i < WORKERS) {
			bury(&workers[i], status);
		} else if (pid == hog_pid) {
			if (!memcg_ooms())
				die("the hog has ended: status %#x", status);
			start_hog();
		} else if (WIFEXITED(status) && WEXITSTATUS(status)) {
			die("wrong byte: memory of an orphan changed");
		}
	}
}

/* They end by themselves, and the hog does not. */
static void wait_for_orphans(void)
{
	uint64_t waited = 0;
	int status;
	pid_t pid;

	kill(hog_pid, SIGKILL);
	while ((pid = waitpid(-1, &status, WNOHANG)) >= 0) {
		if (pid && WIFEXITED(status) && WEXITSTATUS(status))
			die("wrong byte: memory of an orphan changed");
		if (waited > bound_ms)
			die("a process of a worker that is gone does not end");
		usleep(STEP_MS * 1000);
		waited += STEP_MS;
	}
}

static void watch(struct worker *w)
{
	uint64_t now = shared->clock, ending = w->slot->ending;

	if (!w->pid)
		return;
	if (w->plan.end == END_KILL && !ending &&
	    now - w->begun > w->plan.kill_ms) {
		kill(w->pid, SIGKILL);
		w->slot->ending = now;
		return;
	}
	if ((ending && now > ending + 3 * bound_ms) ||
	    now > w->slot->alive + HUNG_MS) {
		print_stacks(w->pid);
		die("life %lu (%s) hangs, %s", w->plan.number,
		    end_name[w->plan.end], w->slot->doing);
	}
}

static int busy_workers(void)
{
	int i, n = 0;

	for (i = 0; i < WORKERS; i++)
		n += workers[i].pid > 0;
	return n;
}

/* ---- fault injection, for some time every few seconds */

static void inject(bool on)
{
	struct failure failure = {};

	if (!tolerant || on == shared->injecting % 2)
		return;
	if (on)
		shared->injecting++;
	if (inject_faults(on ? 1 : 0, &failure))
		die("%s", failure.text);
	if (!on)
		shared->injecting++;
}

static void set_up(void)
{
	struct failure failure = {};
	struct slot *slots;
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	shared = mmap(NULL, sizeof(*shared) + WORKERS * sizeof(*slots),
		      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("no memory");
	slots = (struct slot *)(shared + 1);
	for (i = 0; i < WORKERS; i++)
		workers[i].slot = &slots[i];
	bound_ms = is_debug_kernel() ? 10000 : 5000;
	at_once = is_debug_kernel() ? DEBUG_WORKERS : WORKERS;
	tolerant = getenv("TOLERANT");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (memcg_make(&memcg, "soak", &failure) ||
	    memcg_set(&memcg, "memory.max", LIMIT, &failure))
		die("%s", failure.text);
	start_hog();
}

/* What has not happened yet, or NULL. */
static const char *missing(void)
{
	struct totals *t = &shared->totals;
	int i;

	for (i = 0; i < VERBS; i++)
		if (!t->verbs[i])
			return verb_name[i];
	for (i = 0; i < CANCELS; i++)
		if (!t->cancels[i])
			return cancel_name[i];
	for (i = 0; i < HAPPENINGS; i++)
		if (!t->happenings[i])
			return happening_name[i];
	for (i = 0; i < ENDS; i++)
		if (!ends[i])
			return end_name[i];
	if (tolerant && shared->injecting < 2)
		return "fault injection";
	return t->srq ? NULL : "SRQ";
}

static void print_counts(const char *what, const char *const *names,
			 const _Atomic unsigned long *counts, int n)
{
	int i;

	printf("soak: %s:", what);
	for (i = 0; i < n; i++)
		printf("%s %s %lu", i ? "," : "", names[i], counts[i]);
	printf("\n");
}

static void print_summary(uint64_t took)
{
	struct totals *t = &shared->totals;
	unsigned long transfers = 0, cancels = 0;
	int i;

	for (i = 0; i < VERBS; i++)
		transfers += t->verbs[i];
	for (i = 0; i < CANCELS; i++)
		cancels += t->cancels[i];
	print_counts("transfers", verb_name, t->verbs, VERBS);
	print_counts("cancelled by", cancel_name, t->cancels, CANCELS);
	print_counts("memory", happening_name, t->happenings, HAPPENINGS);
	printf("soak: ends:");
	for (i = 0; i < ENDS; i++)
		printf(" %s %lu;", end_name[i], ends[i]);
	printf(" without memory %lu; OOM-killed %lu\n", gave_up, starved);
	printf("soak: %lu workers, %lu transfers (%lu by SRQ, %lu failed as they may), %lu bytes, %lu bytes compared, %lu faults, %lu kills, %lu cancels, %lu times fault injection, %llu s, seed %lu\n",
	       lives, transfers, t->srq, t->failed, t->bytes, t->checked,
	       t->faults, ends[END_KILL] + ends[END_HELD], cancels,
	       shared->injecting / 2, took / NSEC_PER_SEC, seed);
}

int main(int argc, char **argv)
{
	uint64_t seconds, only = 0, begun = now_ns(), until, at_last, next;
	unsigned long number = 0;
	unsigned int rand;
	bool all;
	int i;

	if (argc < 3 || argc > 4 ||
	    parse_number(argv[1], 1, UINT32_MAX, &seconds) ||
	    parse_number(argv[2], 0, UINT64_MAX, &seed) ||
	    (argc > 3 && parse_number(argv[3], 0, UINT64_MAX, &only))) {
		fprintf(stderr, "usage: soak SECONDS SEED [NUMBER]\n");
		return 2;
	}
	set_up();
	rand = seed;
	until = begun + seconds * NSEC_PER_SEC;
	at_last = until + MISSING_NS;
	all = argc < 4 && seconds >= ALL_SECONDS;
	next = begun;
	for (;;) {
		bool more = now_ns() < until ||
			    (all && missing() && now_ns() < at_last);

		for (i = 0; more && i < at_once; i++)
			if (!workers[i].pid)
				start(&workers[i], argc > 3 ? only : number++);
		if (now_ns() > next) {
			inject(more && shared->injecting % 2 == 0);
			next = now_ns() + (100 + below(&rand, 500)) *
			       (shared->injecting % 2 ? 1 : 4) * NSEC_PER_MSEC;
		}
		if (!more)
			inject(false);
		usleep(STEP_MS * 1000);
		shared->clock += STEP_MS;
		reap();
		for (i = 0; i < WORKERS; i++)
			watch(&workers[i]);
		if (!more && !busy_workers())
			break;
	}
	wait_for_orphans();
	if (rmdir(memcg.path))
		die("cannot remove %s: %s", memcg.path, strerror(errno));
	print_summary(now_ns() - begun);
	if (all && missing())
		die("there was no %s in all that time", missing());
	return 0;
}
