// SPDX-License-Identifier: GPL-2.0
/*
 * Every verb on every kind of memory in every mode of userfaultfd: a table of
 * cells, a TAP line each. Cells run in a process of their own, which is left
 * behind when a cell fails or hangs: whatever the kernel, the next cell finds
 * a fresh one.
 */
#include <argp.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "matrix.h"

#define DEFAULT_PATIENCE	10	/* seconds, for one completion */
/* A cell waits for a few of them. */
#define CELL_PATIENCE		4

enum outcome { NOT_RUN, SKIPPED, PASSED, FAILED };

struct result {
	size_t index;
	uint64_t ns;
	int failed;
	struct failure failure;
};

static struct {
	uint64_t seed;
	uint64_t patience;
	bool iova;
	bool list;
	bool times;
	char **filters;
	int filter_count;
} args = { .patience = DEFAULT_PATIENCE };

/* --- the process that runs cells */

static uint64_t cell_seed(const char *name)
{
	uint64_t hash = args.seed;

	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3ULL;
	return hash;
}

static bool wanted(const struct cell *cell)
{
	int i;

	for (i = 0; i < args.filter_count; i++)
		if (!fnmatch(args.filters[i], cell->name, 0))
			return true;
	return !args.filter_count;
}

static void __attribute__((noreturn))
work(struct cell_list *list, size_t first, int out)
{
	struct result result = { .index = first };
	struct worker worker;
	struct cell *cell;
	uint64_t begun;
	int err;

	err = worker_open(&worker, args.patience * NSEC_PER_SEC,
			  &result.failure);
	for (; result.index < list->count; result.index++) {
		cell = &list->cells[result.index];
		if (cell->skip[0] || !wanted(cell))
			continue;
		begun = now_ns();
		worker.other_iova = args.iova;
		if (!err) {
			cell->worker = &worker;
			cell->failure = &result.failure;
			cell->random = cell_seed(cell->name);
			err = cell->run(cell);
		}
		result.failed = !!err;
		result.ns = now_ns() - begun;
		if (write(out, &result, sizeof(result)) != sizeof(result))
			_exit(1);
		if (err)
			break;
	}
	_exit(0);
}

struct process {
	pid_t pid;
	int from;
};

static int start(struct process *process, struct cell_list *list, size_t first)
{
	int fds[2];

	if (pipe(fds))
		return -errno;
	fflush(stdout);
	process->pid = fork();
	if (process->pid < 0)
		return -errno;
	if (!process->pid) {
		close(fds[0]);
		work(list, first, fds[1]);
	}
	close(fds[1]);
	process->from = fds[0];
	return 0;
}

/* It may be in the kernel for long, or for ever: nobody waits for it. */
static void leave(struct process *process)
{
	kill(process->pid, SIGKILL);
	close(process->from);
	process->pid = 0;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* What became of the cell @index. */
static void wait_result(struct process *process, size_t index,
			struct result *result)
{
	uint64_t deadline = now_ns() +
			    CELL_PATIENCE * args.patience * NSEC_PER_SEC;
	struct pollfd fd = { .fd = process->from, .events = POLLIN };
	int n;

	do {
		n = poll(&fd, 1, poll_ms(deadline));
	} while (n < 0 && errno == EINTR);
	*result = (struct result){ .index = index, .failed = 1 };
	if (!n) {
		fail(&result->failure, 0, "hangs: its process was left behind");
		return;
	}
	if (read(process->from, result, sizeof(*result)) == sizeof(*result) &&
	    result->index == index)
		return;
	*result = (struct result){ .index = index, .failed = 1 };
	fail(&result->failure, 0, "its process has died");
}

/* The last one, whose cells have passed, has to come to its end. */
static int finish(struct process *process)
{
	uint64_t deadline = now_ns() +
			    CELL_PATIENCE * args.patience * NSEC_PER_SEC;

	if (!process->pid)
		return 0;
	close(process->from);
	while (waitpid(process->pid, NULL, WNOHANG) != process->pid) {
		if (now_ns() > deadline) {
			printf("# the process of the last cells does not end\n");
			return 1;
		}
		usleep(1000);
	}
	return 0;
}

/* --- TAP */

static void report(const struct cell *cell, int number,
		   const struct result *result)
{
	printf("%sok %d - %s\n", result->failed ? "not " : "", number,
	       cell->name);
	if (result->failed)
		printf("# %s: %s\n", cell->name, result->failure.text);
	if (args.times)
		printf("# %llu us\n", result->ns / NSEC_PER_USEC);
	fflush(stdout);
}

static int run_all(struct cell_list *list, enum outcome *outcomes)
{
	struct process process = { 0 };
	struct result result;
	struct cell *cell;
	int number = 0, failed = 0;
	size_t i;

	for (i = 0; i < list->count; i++) {
		cell = &list->cells[i];
		if (!wanted(cell))
			continue;
		number++;
		if (cell->skip[0]) {
			printf("ok %d - %s # SKIP %s\n", number, cell->name,
			       cell->skip);
			outcomes[i] = SKIPPED;
			continue;
		}
		if (!process.pid && start(&process, list, i)) {
			printf("Bail out! Cannot start a process: %s\n",
			       strerror(errno));
			exit(1);
		}
		wait_result(&process, i, &result);
		report(cell, number, &result);
		outcomes[i] = result.failed ? FAILED : PASSED;
		failed += result.failed;
		if (result.failed)
			leave(&process);
	}
	return failed + finish(&process);
}

/* --- the table at the end */

#define MAX_NAMES	64

struct names {
	const char *name[MAX_NAMES];
	int count;
};

static int position(struct names *names, const char *name)
{
	int i;

	for (i = 0; i < names->count; i++)
		if (!strcmp(names->name[i], name))
			return i;
	if (names->count < MAX_NAMES)
		names->name[names->count++] = name;
	return i;
}

static bool is_at(const struct cell *cell, const char *table, const char *row,
		  const char *column)
{
	return cell->table && !strcmp(cell->table, table) &&
	       (!row || !strcmp(cell->row, row)) &&
	       (!column || !strcmp(cell->column, column));
}

/* "ok", "FAIL", or F and the initials of the sides that fail. */
static void print_entry(const struct cell_list *list,
			const enum outcome *outcomes, const char *table,
			const char *row, const char *column)
{
	char sides[NR_SIDES + 2] = "F";
	int ran = 0, failed = 0, skipped = 0;
	size_t i;

	for (i = 0; i < list->count; i++) {
		const struct cell *cell = &list->cells[i];

		if (!is_at(cell, table, row, column))
			continue;
		skipped += outcomes[i] == SKIPPED;
		ran += outcomes[i] >= PASSED;
		if (outcomes[i] == FAILED)
			sides[++failed] = side_names[cell->side][0];
	}
	if (!ran)
		printf(" %-4s", skipped ? "-" : ".");
	else if (!failed)
		printf(" %-4s", "ok");
	else
		printf(" %-4s", failed == ran ? "FAIL" : sides);
}

static void print_table(const struct cell_list *list,
			const enum outcome *outcomes, const char *table)
{
	struct names rows = { 0 }, columns = { 0 };
	bool any = false;
	size_t i;
	int r, c;

	for (i = 0; i < list->count; i++) {
		if (!is_at(&list->cells[i], table, NULL, NULL))
			continue;
		any |= outcomes[i] != NOT_RUN;
		position(&rows, list->cells[i].row);
		position(&columns, list->cells[i].column);
	}
	if (!any)
		return;
	printf("#\n# %s\n", table);
	for (c = 0; c < columns.count; c++)
		printf("#   %c  %s\n", 'A' + c, columns.name[c]);
	printf("# %-27s", "");
	for (c = 0; c < columns.count; c++)
		printf(" %-4c", 'A' + c);
	for (r = 0; r < rows.count; r++) {
		printf("\n# %-27s", rows.name[r]);
		for (c = 0; c < columns.count; c++)
			print_entry(list, outcomes, table, rows.name[r],
				    columns.name[c]);
	}
	printf("\n");
}

static void print_tables(const struct cell_list *list,
			 const enum outcome *outcomes)
{
	int passed = 0, failed = 0, skipped = 0;
	size_t i;

	print_table(list, outcomes, "verbs");
	print_table(list, outcomes, "paths");
	print_table(list, outcomes, "features");
	for (i = 0; i < list->count; i++) {
		passed += outcomes[i] == PASSED;
		failed += outcomes[i] == FAILED;
		skipped += outcomes[i] == SKIPPED;
	}
	printf("#\n# ok: all sides; F and r(emote), l(ocal), b(oth): which fail; -: makes no sense; .: not run\n");
	printf("# %d cells passed, %d failed, %d make no sense; seed %" PRIu64 "\n",
	       passed, failed, skipped, args.seed);
}

/* --- the command line */

static uint64_t number(const char *text, struct argp_state *state)
{
	uint64_t value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-')
		argp_error(state, "'%s' makes no seed or time", text);
	return value;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 's':
		args.seed = number(arg, state);
		break;
	case 'p':
		args.patience = number(arg, state);
		if (!args.patience || args.patience > 3600)
			argp_error(state, "patience is 1 to 3600 seconds");
		break;
	case 'i':
		args.iova = true;
		break;
	case 'l':
		args.list = true;
		break;
	case 't':
		args.times = true;
		break;
	case ARGP_KEY_ARGS:
		args.filters = state->argv + state->next;
		args.filter_count = state->argc - state->next;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option options[] = {
	{ "seed", 's', "NUMBER", 0, "Where random data and ranges start", 0 },
	{ "patience", 'p', "SECONDS", 0,
	  "How long a completion may take (10)", 0 },
	{ "iova", 'i', NULL, 0,
	  "Let memory regions begin at another iova than their address: Linux 7.2 does not survive it",
	  0 },
	{ "list", 'l', NULL, 0, "Name the cells, and run none", 0 },
	{ "times", 't', NULL, 0, "Say how long each cell took", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[PATTERN...]",
	.doc = "Run every verb on every kind of memory in every mode of userfaultfd, or the cells whose name matches a PATTERN (as of a shell: 'write/*').",
};

int main(int argc, char **argv)
{
	struct cell_list list = { 0 };
	enum outcome *outcomes;
	int count = 0, failed;
	size_t i;

	if (getrandom(&args.seed, sizeof(uint32_t), 0) < 0)
		args.seed = now_ns();
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	if (cells_make(&list)) {
		fprintf(stderr, "matrix: no memory for the table\n");
		return 1;
	}
	outcomes = calloc(list.count, sizeof(*outcomes));
	if (!outcomes)
		return 1;
	for (i = 0; i < list.count; i++) {
		if (!wanted(&list.cells[i]))
			continue;
		count++;
		if (args.list)
			printf("%s%s%s\n", list.cells[i].name,
			       list.cells[i].skip[0] ? " # " : "",
			       list.cells[i].skip);
	}
	if (!count) {
		fprintf(stderr, "matrix: no cell is called like that (--list names them)\n");
		return 2;
	}
	if (args.list)
		return 0;
	printf("TAP version 13\n1..%d\n# --seed %" PRIu64 "%s\n", count,
	       args.seed, args.iova ? " --iova" : "");
	memory_init(args.seed);
	failed = run_all(&list, outcomes);
	print_tables(&list, outcomes);
	return failed ? 1 : 0;
}
