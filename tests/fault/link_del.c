// SPDX-License-Identifier: GPL-2.0
/*
 * A device that is removed, by its name or with the netdev below it, while accesses
 * wait for pages which nobody supplies. It goes when the last process that has
 * it open does, and that takes no longer for what is waiting.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"
#include "waiting.h"

#define DEVICE	"rxe-del"
#define NETDEV	"del-net0"

/* With so many faults that wait, in turn; the better of two turns counts. */
static const int waiting_pages[] = { 0, 1, MANY };

#define TURNS	2

/* No longer, but for what comes between when the machine is busy. */
#define RATIO	3
#define BUSY	AT_ONCE

static const char *const removal[][5] = {
	{ "rdma", "link", "delete", DEVICE },
	{ "ip", "link", "delete", NETDEV },
};

enum which { LINK, NETDEVICE };

FIXTURE(link_del)
{
	struct failure failure;
};

FIXTURE_VARIANT(link_del)
{
	enum which which;
	enum side side;
	enum ibv_wr_opcode opcode;
};

FIXTURE_VARIANT_ADD(link_del, link)
{
	.which = LINK, .side = REMOTE, .opcode = IBV_WR_RDMA_WRITE,
};

FIXTURE_VARIANT_ADD(link_del, netdev)
{
	.which = NETDEVICE, .side = LOCAL, .opcode = IBV_WR_RDMA_READ,
};

static pid_t start(const char *const *args)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(args[0], (char *const *)args);
		_exit(127);
	}
	return pid;
}

static int run(const char *line)
{
	return system(line) ? -EIO : 0;
}

static bool is_there(void)
{
	return !access("/sys/class/infiniband/" DEVICE, F_OK);
}

FIXTURE_SETUP(link_del)
{
}

/* What a test that failed has left of it. */
FIXTURE_TEARDOWN(link_del)
{
	run("ip link delete " NETDEV " 2> /dev/null");
}

static int add_device(void)
{
	int err = 0;

	if (access("/sys/class/net/" NETDEV, F_OK))
		err = run("ip link add " NETDEV " mtu 9000 type dummy && "
			  "ip link set " NETDEV " up && "
			  "ip address add 10.8.0.1/24 dev " NETDEV);
	return err ?: run("rdma link add " DEVICE " type rxe netdev " NETDEV);
}

/* It gets its GIDs a little later than its name. */
static int open_device(struct lab *lab)
{
	uint64_t deadline = now_ns() + PATIENCE;
	int err;

	do {
		err = lab_open_on(lab, DEVICE);
		if (!err)
			return 0;
		rdma_dev_close(&lab->dev);
		usleep(5000);
	} while (now_ns() < deadline);
	return err;
}

/* A process that has the device open, and accesses that wait. */
static void user(int ready, const FIXTURE_VARIANT(link_del) *variant,
		 int pages)
{
	struct waiting w;
	struct lab lab;
	int err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	err = open_device(&lab);
	if (!err && pages)
		err = set_out(&lab, &w, variant->side, pages, variant->opcode);
	else if (!err)
		err = make_ready(&lab, &w, MANY);
	if (err)
		fprintf(stderr, "# %s\n", lab.failure.text);
	(void)!write(ready, &err, sizeof(err));
	for (;;)
		pause();
}

/* In which order: the device is removed, and its user killed. */
enum order { REMOVE_FIRST, KILL_FIRST };

/* How long both take from the second of them on. */
static void time_removal(struct __test_metadata *_metadata,
			 const FIXTURE_VARIANT(link_del) *variant,
			 enum order order, int pages, uint64_t *took)
{
	const char *const *args = removal[variant->which];
	pid_t pid, remover = -1;
	int ready[2], err, status;
	uint64_t begun;

	ASSERT_EQ(0, add_device());
	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		user(ready[1], variant, pages);
	ASSERT_EQ(sizeof(err), read(ready[0], &err, sizeof(err)));
	ASSERT_EQ(0, err);

	if (order == REMOVE_FIRST) {
		remover = start(args);
		/* It waits for the user: rxe takes nothing away from one. */
		usleep(200000);
		ASSERT_EQ(0, waitpid(remover, &status, WNOHANG));
	}
	begun = now_ns();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	if (order == KILL_FIRST)
		remover = start(args);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(remover, waitpid(remover, &status, 0));
	ASSERT_EQ(0, status);
	while (is_there() && now_ns() - begun < PATIENCE)
		usleep(1000);
	ASSERT_FALSE(is_there());
	*took = now_ns() - begun;

	close(ready[0]);
	close(ready[1]);
}

static void compare(struct __test_metadata *_metadata,
		    const FIXTURE_VARIANT(link_del) *variant, enum order order)
{
	uint64_t best[ARRAY_SIZE(waiting_pages)], took;
	int turn;
	size_t i;

	memset(best, 0xff, sizeof(best));
	for (turn = 0; turn < rounds(TURNS); turn++) {
		for (i = 0; i < ARRAY_SIZE(best); i++) {
			time_removal(_metadata, variant, order,
				     waiting_pages[i], &took);
			if (took < best[i])
				best[i] = took;
		}
	}
	for (i = 0; i < ARRAY_SIZE(best); i++) {
		TH_LOG("with %d faults that wait: %lu ms", waiting_pages[i],
		       best[i] / NSEC_PER_MSEC);
	}
	ASSERT_LT(best[1], RATIO * best[0] + BUSY);
	ASSERT_LT(best[2], RATIO * best[0] + BUSY);
}

TEST_F_TIMEOUT(link_del, then_kill, 120)
{
	compare(_metadata, variant, REMOVE_FIRST);
}

TEST_F_TIMEOUT(link_del, after_kill, 120)
{
	compare(_metadata, variant, KILL_FIRST);
}

TEST_HARNESS_MAIN
