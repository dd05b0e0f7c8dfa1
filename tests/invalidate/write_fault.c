// SPDX-License-Identifier: GPL-2.0
/*
 * A page that was faulted in for reading is not written: not the zero page, not
 * a page of the file under a private mapping, not a page that userfaultfd
 * protects. For the first write the device faults again.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "area.h"
#include "wp.h"

AREA_VARIANTS(anon, BACK_ANON, AREA_LEN);
AREA_VARIANTS(thp, BACK_THP, HUGE_SIZE);
AREA_VARIANTS(private, BACK_PRIVATE, AREA_LEN);
AREA_VARIANTS(shmem, BACK_SHMEM, AREA_LEN);
AREA_VARIANTS(hugetlb, BACK_HUGETLB, 2 * HUGE_SIZE);
AREA_SETUP(false)

/*
 * A second mapping of what the area is before anything was written to it: of the
 * zero page, the huge one for huge pages, or of the file.
 */
static char *map_bystander(struct area *a)
{
	struct area twin = *a;

	twin.space = MAP_FAILED;
	return area_place(&twin) ? NULL : twin.odp.addr;
}

static bool all_zero(const char *bytes, size_t len)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

static bool is_private(const struct area *a)
{
	return area_is_anon(a) || a->backing == BACK_PRIVATE;
}

/* Read first, which finds the page that others have too; then written. */
TEST_F_TIMEOUT(area, write_after_read, 120)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;
	char *bystander = map_bystander(a);

	ASSERT_NE(NULL, bystander) TH_LOG("%s", lab->failure.text);
	ASSERT_TRUE(all_zero(bystander, a->odp.len));
	DO(lab, area_move(a, PULL));
	/* It is the same page, so the test is of something. */
	ASSERT_NE(0, pfn_of(a->odp.addr));
	ASSERT_EQ(pfn_of(bystander), pfn_of(a->odp.addr));

	DO(lab, area_move(a, PUSH));
	DO(lab, area_check(a));
	DO(lab, area_move(a, PULL));
	if (is_private(a)) {
		ASSERT_NE(pfn_of(bystander), pfn_of(a->odp.addr));
		ASSERT_TRUE(all_zero(bystander, a->odp.len));
	} else {
		ASSERT_EQ(0, memcmp(bystander, a->odp.image, a->odp.len));
	}
}

/* A mapping that may only be read: it never is written, whatever was read. */
TEST_F_TIMEOUT(area, read_only_mapping, 120)
{
	struct area *a = &self->area;
	struct lab *lab = &a->lab;
	size_t size = lab->page_size;

	ASSERT_EQ(a->odp.addr, area_map_at(a, a->odp.addr, PROT_READ));
	DO(lab, area_refused(a, PUSH, 0, size));
	DO(lab, area_move(a, PULL));
	DO(lab, area_refused(a, PUSH, 0, size));
	DO(lab, area_refused(a, PUSH, a->odp.len - size, size));
	ASSERT_TRUE(all_zero(a->odp.addr, a->odp.len));
	DO(lab, area_move(a, PULL));
}

/* --- userfaultfd: a message comes before a protected page is written */

struct guard {
	struct area *a;
	int uffd, stop;
	size_t step;			/* page size of the mapping */
	const char *before;		/* what a page is until it may change */
	unsigned int messages[HUGE_SIZE >> 12];
	struct failure failure;
};

static int serve(struct guard *guard, const struct uffd_msg *msg)
{
	struct mem *odp = &guard->a->odp;
	size_t page;

	if (msg->event != UFFD_EVENT_PAGEFAULT ||
	    !(msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP))
		return fail(&guard->failure, 0, "a message that is not of WP");
	page = (msg->arg.pagefault.address - (uintptr_t)odp->addr) /
	       guard->step;
	guard->messages[page]++;
	/* Time for a write that does not wait. */
	usleep(2000);
	if (memcmp(odp->addr + page * guard->step,
		   guard->before + page * guard->step, guard->step))
		return fail(&guard->failure, 0,
			    "page %zu was written before it was allowed", page);
	return wp_protect(guard->uffd, odp->addr + page * guard->step,
			  guard->step, false, &guard->failure);
}

static void *stand_guard(void *arg)
{
	struct guard *guard = arg;
	struct pollfd fds[] = {
		{ .fd = guard->stop, .events = POLLIN },
		{ .fd = guard->uffd, .events = POLLIN },
	};
	struct uffd_msg msg;

	while (poll(fds, 2, -1) > 0 && !fds[0].revents)
		if (read(guard->uffd, &msg, sizeof(msg)) == sizeof(msg) &&
		    serve(guard, &msg))
			break;
	/* After an error nobody is kept waiting. */
	close(guard->uffd);
	return NULL;
}

static int start_guard(struct guard *guard, struct area *a, pthread_t *thread)
{
	*guard = (struct guard){
		.a = a,
		.step = a->backing == BACK_HUGETLB ? HUGE_SIZE :
						     a->lab.page_size,
		.before = memcpy(malloc(a->odp.len), a->odp.image, a->odp.len),
		.stop = eventfd(0, EFD_CLOEXEC),
		.uffd = wp_open(0, &a->lab.failure),
	};
	if (guard->uffd < 0)
		return -EIO;
	return wp_register(guard->uffd, a->odp.addr, a->odp.len,
			   &a->lab.failure) ?:
	       wp_protect(guard->uffd, a->odp.addr, a->odp.len, true,
			  &a->lab.failure) ?:
	       -pthread_create(thread, NULL, stand_guard, guard);
}

static void stop_guard(struct guard *guard, pthread_t thread)
{
	eventfd_write(guard->stop, 1);
	pthread_join(thread, NULL);
	close(guard->stop);
	free((void *)guard->before);
}

/* Pages 1 and 2 and some of 3, or of hugetlb a bit of the second. */
static void pushed_range(struct area *a, size_t *at, size_t *len)
{
	*at = a->backing == BACK_HUGETLB ? HUGE_SIZE : a->lab.page_size;
	*len = 3 * a->lab.page_size;
}

static int guarded(struct area *a, enum area_way before)
{
	size_t at, len, page, want;
	struct guard guard;
	pthread_t thread;
	int err;

	pushed_range(a, &at, &len);
	err = area_move(a, before) ?: start_guard(&guard, a, &thread);
	if (err)
		return err;
	err = area_pull(a, at, len) ?: area_push(a, at, len);
	if (!err)
		err = area_pull(a, at, len) ?: area_push(a, at, len);
	for (page = 0; !err && page < a->odp.len / guard.step; page++) {
		want = page * guard.step >= at && page * guard.step < at + len;
		if (guard.messages[page] != want)
			err = fail(&a->lab.failure, 0,
				   "%u messages for page %zu and not %zu",
				   guard.messages[page], page, want);
	}
	stop_guard(&guard, thread);
	if (guard.failure.text[0])
		err = fail(&a->lab.failure, 0, "%s", guard.failure.text);
	return err ?: area_check(a);
}

TEST_F_TIMEOUT(area, uffd_wp_after_read, 120)
{
	struct area *a = &self->area;

	area_tell(a);
	DO(&a->lab, guarded(a, PULL));
}

TEST_F_TIMEOUT(area, uffd_wp_after_write, 120)
{
	struct area *a = &self->area;

	area_tell(a);
	DO(&a->lab, guarded(a, PUSH));
}

TEST_HARNESS_MAIN
