// SPDX-License-Identifier: GPL-2.0
/*
 * touch PAGES [TIMES]: register that many pages and touch each, in a row, as often as
 * that, registered anew each time; and at last in a child, some of them registered twice.
 * Says how many could not be had. Each byte is what it was, or none is: a page that is lost
 * stays lost. To be run by uffdmr run.
 */
#include <infiniband/verbs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	4096UL

static sigjmp_buf no_page;

static void jump(int signal)
{
	siglongjmp(no_page, signal);
}

/* Whether it can be read; what is read has to be right. */
static bool touch(const char *page, size_t number)
{
	size_t i;

	if (sigsetjmp(no_page, 1))
		return false;
	for (i = 0; i < PAGE; i++)
		if (page[i] != (char)(number + 1)) {
			fprintf(stderr, "page %zu has wrong bytes\n", number);
			_exit(1);
		}
	return true;
}

/* Returns how many are lost, of which @lost has to know: all, if it is not the @first. */
static size_t touch_all(const char *addr, size_t pages, bool *lost, bool first)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++) {
		bool here = touch(addr + i * PAGE, i);

		if (here && lost[i]) {
			fprintf(stderr, "page %zu was lost and is back\n", i);
			_exit(1);
		}
		if (!here && !lost[i] && !first) {
			fprintf(stderr, "page %zu was there and is lost\n", i);
			_exit(1);
		}
		lost[i] = !here;
		n += !here;
	}
	return n;
}

static struct ibv_pd *open_device(void)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	struct ibv_context *context;

	context = devices && devices[0] ? ibv_open_device(devices[0]) : NULL;
	return context ? ibv_alloc_pd(context) : NULL;
}

int main(int argc, char **argv)
{
	size_t pages = argc > 1 ? atoi(argv[1]) : 0, i;
	int times = argc > 2 ? atoi(argv[2]) : 1, status;
	bool *lost = calloc(pages, sizeof(*lost));
	struct ibv_pd *pd = open_device();
	struct ibv_mr *mr;
	char *addr;
	pid_t pid;

	addr = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!pd || !lost || addr == MAP_FAILED) {
		fprintf(stderr, "touch: no device or no memory\n");
		return 2;
	}
	/* What hangs fails. */
	alarm(100);
	signal(SIGBUS, jump);
	for (i = 0; i < pages; i++)
		memset(addr + i * PAGE, i + 1, PAGE);
	while (times--) {
		mr = ibv_reg_mr(pd, addr, pages * PAGE, IBV_ACCESS_LOCAL_WRITE);
		if (!mr) {
			perror("touch: ibv_reg_mr");
			return 2;
		}
		printf("%zu lost\n", touch_all(addr, pages, lost, true));
		fflush(stdout);
		ibv_dereg_mr(mr);
	}
	mr = ibv_reg_mr(pd, addr, pages * PAGE, IBV_ACCESS_LOCAL_WRITE);
	ibv_dereg_mr(ibv_reg_mr(pd, addr + pages / 3 * PAGE,
				(pages + 2) / 3 * PAGE, IBV_ACCESS_LOCAL_WRITE));
	pid = fork();
	if (!pid) {
		touch_all(addr, pages, lost, false);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	ibv_dereg_mr(mr);
	return 0;
}
