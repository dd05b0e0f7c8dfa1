// SPDX-License-Identifier: GPL-2.0
/*
 * A verbs program that knows nothing of userfaultfd, and looks whether its memory is
 * gone after it was registered, and all right whatever it does with it. It has to be
 * run by uffdmr run, alone it fails.
 */
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "verbs_1_0.h"

#define PAGE	4096UL
#define HUGE	(2UL << 20)
#define PAGES	40
#define SIZE	(PAGES * PAGE)
#define SLOW	120	/* s: a debug kernel, emulated, with two CPUs that others use, too */

#undef ibv_reg_mr
#undef ibv_reg_mr_iova

/*
 * Some libraries replace these functions, which then lock what the caller of
 * ibv_reg_mr() may have locked: only the program's threads may call them. Here: one.
 */
static atomic_int elsewhere;

static void note_caller(void)
{
	elsewhere += gettid() != getpid();
}

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	note_caller();
	return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
}

int munmap(void *addr, size_t length)
{
	note_caller();
	return syscall(SYS_munmap, addr, length);
}

int madvise(void *addr, size_t length, int advice)
{
	note_caller();
	return syscall(SYS_madvise, addr, length, advice);
}

void *mremap(void *addr, size_t old_length, size_t length, int flags, ...)
{
	void *to;
	va_list args;

	note_caller();
	va_start(args, flags);
	to = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) ? va_arg(args, void *) :
							 NULL;
	va_end(args);
	return (void *)syscall(SYS_mremap, addr, old_length, length, flags, to);
}

static size_t absent(const void *addr, size_t length)
{
	uintptr_t page = (uintptr_t)addr / PAGE;
	uintptr_t end = ((uintptr_t)addr + length + PAGE - 1) / PAGE;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry;
	size_t n = 0;

	for (; page < end; page++)
		if (pread(fd, &entry, sizeof(entry), page * sizeof(entry)) ==
		    sizeof(entry))
			n += !(entry >> 63);
	close(fd);
	return n;
}

static void fill(void *addr, size_t length, unsigned int seed)
{
	unsigned char *byte = addr;
	size_t i;

	for (i = 0; i < length; i++)
		byte[i] = i * 7 + (i >> 8) + seed;
}

static size_t wrong(const void *addr, size_t length, unsigned int seed)
{
	const unsigned char *byte = addr;
	size_t i, n = 0;

	for (i = 0; i < length; i++)
		n += byte[i] != (unsigned char)(i * 7 + (i >> 8) + seed);
	return n;
}

static size_t nonzero(const char *byte, size_t length)
{
	size_t n = 0;

	while (length--)
		n += !!*byte++;
	return n;
}

FIXTURE(lazy)
{
	struct lab lab;
	char *mine;		/* the other side of all transfers, and its region */
	struct ibv_mr *mine_mr;
};

FIXTURE_SETUP(lazy)
{
	DO(&self->lab, lab_open(&self->lab));
	self->mine = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mine);
	self->mine_mr = ibv_reg_mr(self->lab.pd, self->mine, 2 * HUGE,
				   ACCESS_ALL);
	ASSERT_NE(NULL, self->mine_mr);
}

FIXTURE_TEARDOWN(lazy)
{
	ibv_dereg_mr(self->mine_mr);
	lab_close(&self->lab);
}

static int transfer(struct lab *lab, struct ibv_mr *mine,
		    enum ibv_wr_opcode opcode, uint32_t rkey, uint64_t addr,
		    size_t length)
{
	struct rc_op op = {
		.opcode = opcode,
		.laddr = (uintptr_t)mine->addr,
		.lkey = mine->lkey,
		.raddr = addr,
		.rkey = rkey,
		.length = length,
	};

	return lab_run(lab, &op);
}

#define READ(rkey, addr, length)						\
	DO(&self->lab, transfer(&self->lab, self->mine_mr, IBV_WR_RDMA_READ,	\
				rkey, (uintptr_t)(addr), length))
#define WRITE(rkey, addr, length)						\
	DO(&self->lab, transfer(&self->lab, self->mine_mr, IBV_WR_RDMA_WRITE,	\
				rkey, (uintptr_t)(addr), length))

/* --- each kind of memory */

enum where { HEAP, LARGE, ANON, SHARED_ANON, MEMFD, HUGE_MEMFD, SYSV, HUGE_SYSV, BSS };

static char bss[SIZE + 100];

/* Nobody else attaches it: it goes with the process. */
static char *shm_only(char *addr, int id)
{
	shmctl(id, IPC_RMID, NULL);
	return addr;
}

static char *get(enum where where, size_t *length)
{
	int flags = MAP_SHARED, fd = -1, id;

	*length = where == HUGE_MEMFD || where == HUGE_SYSV ? HUGE : SIZE;
	switch (where) {
	case HEAP:
		*length = 9000;
		return (char *)malloc(*length + 500) + 123;
	case LARGE:
		/* A mapping of its own, whatever was freed before (mallopt(3)). */
		mallopt(M_MMAP_THRESHOLD, SIZE / 2);
		return malloc(*length);
	case ANON:
		flags = MAP_PRIVATE | MAP_ANONYMOUS;
		break;
	case SHARED_ANON:
		flags |= MAP_ANONYMOUS;
		break;
	case MEMFD:
	case HUGE_MEMFD:
		fd = memfd_create("lazy", where == HUGE_MEMFD ? MFD_HUGETLB : 0);
		if (ftruncate(fd, *length))
			return NULL;
		break;
	case SYSV:
	case HUGE_SYSV:
		id = shmget(IPC_PRIVATE, *length, 0600 |
			    (where == HUGE_SYSV ? SHM_HUGETLB : 0));
		return shm_only(shmat(id, NULL, 0), id);
	case BSS:
		return bss + 50;
	}
	return mmap(NULL, *length, PROT_READ | PROT_WRITE, flags, fd, 0);
}

FIXTURE_VARIANT(lazy)
{
	enum where where;
	bool stays;	/* userfaultfd takes no memory of this kind */
};

#define KIND(name, kind)	\
	FIXTURE_VARIANT_ADD(lazy, name) { .where = kind }
#define KIND_THAT_STAYS(name, kind)	\
	FIXTURE_VARIANT_ADD(lazy, name) { .where = kind, .stays = true }

KIND(heap, HEAP);
KIND(large, LARGE);
KIND(anon, ANON);
KIND(shared_anon, SHARED_ANON);
KIND(memfd, MEMFD);
KIND(huge_memfd, HUGE_MEMFD);
KIND_THAT_STAYS(sysv, SYSV);
KIND_THAT_STAYS(huge_sysv, HUGE_SYSV);
KIND(bss, BSS);

TEST_F(lazy, kept)
{
	struct ibv_mr *mr;
	size_t length, pages;
	char *addr;

	addr = get(variant->where, &length);
	pages = variant->stays ? 0 : length / PAGE;
	ASSERT_NE(NULL, addr);
	ASSERT_NE(MAP_FAILED, addr);
	fill(addr, length, 1);
	mr = ibv_reg_mr(self->lab.pd, addr, length, ACCESS_ALL);
	ASSERT_NE(NULL, mr);
	EXPECT_LE(pages, absent(addr, length));
	if (variant->stays)
		EXPECT_EQ(0, absent(addr, length));

	/* A peer reads part of it, and finds what was there; the rest stays away. */
	READ(mr->rkey, addr, 100);
	EXPECT_EQ(0, wrong(self->mine, 100, 1));
	if (length <= SIZE && !variant->stays)
		EXPECT_LT(0, absent(addr, length));
	READ(mr->rkey, addr, length);
	EXPECT_EQ(0, wrong(self->mine, length, 1));
	EXPECT_EQ(0, absent(addr, length));
	EXPECT_EQ(0, ibv_dereg_mr(mr));

	/* Once more, and a peer writes, and then the CPU reads. */
	mr = ibv_reg_mr(self->lab.pd, addr, length, ACCESS_ALL);
	ASSERT_NE(NULL, mr);
	EXPECT_LE(pages, absent(addr, length));
	fill(self->mine, length, 2);
	WRITE(mr->rkey, addr + 1000, length - 2000);
	EXPECT_EQ(0, wrong(addr, 1000, 1));
	EXPECT_EQ(0, memcmp(addr + 1000, self->mine, length - 2000));
	fill(self->mine, length, 1);
	EXPECT_EQ(0, memcmp(addr + length - 1000, self->mine + length - 1000,
			    1000));
	EXPECT_EQ(0, ibv_dereg_mr(mr));
}

/* --- what a program does with it; private memory, all of it away */

FIXTURE(away)
{
	struct lab lab;
	char *mine;
	struct ibv_mr *mine_mr;
	char *addr;
	struct ibv_mr *mr;
};

FIXTURE_SETUP(away)
{
	DO(&self->lab, lab_open(&self->lab));
	self->mine = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	self->addr = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mine);
	ASSERT_NE(MAP_FAILED, self->addr);
	self->mine_mr = ibv_reg_mr(self->lab.pd, self->mine, SIZE, ACCESS_ALL);
	ASSERT_NE(NULL, self->mine_mr);
	fill(self->addr, SIZE, 3);
	self->mr = ibv_reg_mr(self->lab.pd, self->addr, SIZE, ACCESS_ALL);
	ASSERT_NE(NULL, self->mr);
	ASSERT_EQ(PAGES, absent(self->addr, SIZE));
}

FIXTURE_TEARDOWN(away)
{
	if (self->mr)
		ibv_dereg_mr(self->mr);
	ibv_dereg_mr(self->mine_mr);
	lab_close(&self->lab);
}

TEST_F(away, thrown_away)
{
	char *half = self->addr + SIZE / 2;

	/* One that is there already, and many that are not. */
	EXPECT_EQ(0, wrong(self->addr, PAGE, 3));
	ASSERT_EQ(0, madvise(self->addr, SIZE / 2, MADV_DONTNEED));
	EXPECT_EQ(0, nonzero(self->addr, PAGE));
	READ(self->mr->rkey, self->addr, SIZE);
	EXPECT_EQ(0, nonzero(self->mine, SIZE / 2));
	fill(self->addr, SIZE, 3);
	EXPECT_EQ(0, memcmp(half, self->mine + SIZE / 2, SIZE / 2));
}

TEST_F(away, unmapped)
{
	char *again;

	ASSERT_EQ(0, munmap(self->addr, SIZE));
	again = mmap(self->addr, SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(self->addr, again);
	EXPECT_EQ(0, nonzero(self->addr, SIZE));
	fill(again, SIZE, 4);
	ibv_dereg_mr(self->mr);
	self->mr = ibv_reg_mr(self->lab.pd, again, SIZE, ACCESS_ALL);
	ASSERT_NE(NULL, self->mr);
	EXPECT_EQ(PAGES, absent(again, SIZE));
	READ(self->mr->rkey, again, SIZE);
	EXPECT_EQ(0, wrong(self->mine, SIZE, 4));
}

TEST_F(away, half_unmapped)
{
	ASSERT_EQ(0, munmap(self->addr + 10 * PAGE, 20 * PAGE));
	EXPECT_EQ(0, wrong(self->addr, 10 * PAGE, 3));
	READ(self->mr->rkey, self->addr + 30 * PAGE, 10 * PAGE);
	fill(self->addr, 10 * PAGE, 3);
	fill(self->mine + SIZE / 2, 10, 3);
	EXPECT_EQ((unsigned char)(30 * PAGE * 7 + (30 * PAGE >> 8) + 3),
		  (unsigned char)self->mine[0]);
}

TEST_F(away, moved)
{
	char *to;

	to = mremap(self->addr, SIZE, 2 * SIZE, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, to);
	EXPECT_EQ(0, wrong(to, SIZE, 3));
	EXPECT_EQ(0, nonzero(to + SIZE, SIZE));
}

struct writer {
	volatile uint64_t *count;	/* one a page */
	atomic_bool stop;
	uint64_t rounds;
};

/* A file that goes on behind what was registered of it. */
TEST_F(away, grown_over_a_file)
{
	int fd = memfd_create("lazy", 0);
	char *file, *part;

	ASSERT_EQ(0, ftruncate(fd, 2 * SIZE));
	file = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, file);
	fill(file, 2 * SIZE, 7);
	part = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, part);
	ASSERT_NE(NULL, ibv_reg_mr(self->lab.pd, part, SIZE, ACCESS_ALL));
	EXPECT_EQ(PAGES, absent(part, SIZE));
	part = mremap(part, SIZE, 2 * SIZE, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, part);
	EXPECT_EQ(0, wrong(part, 2 * SIZE, 7));
}

static void *throw_away(void *arg)
{
	struct writer *writer = arg;

	while (!writer->stop)
		writer->rounds += !madvise((void *)writer->count, PAGE,
					   MADV_DONTNEED);
	return NULL;
}

/* Userfaultfd gives nothing as long as an event is on its way. */
TEST_F_TIMEOUT(away, grown_meanwhile, SLOW)
{
	struct writer writer = { .count = (void *)self->addr };
	size_t length = 50 * PAGE;
	pthread_t thread;
	char *grown;

	grown = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, grown);
	grown[0] = 0;
	ASSERT_NE(NULL, ibv_reg_mr(self->lab.pd, grown, PAGE, ACCESS_ALL));
	grown = mremap(grown, PAGE, length, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, grown);
	ASSERT_EQ(0, pthread_create(&thread, NULL, throw_away, &writer));
	EXPECT_EQ(0, nonzero(grown, length));
	writer.stop = true;
	pthread_join(thread, NULL);
	EXPECT_LT(0, writer.rounds);
}

static void *look(void *arg)
{
	struct writer *writer = arg;

	for (; !writer->stop; writer->rounds++)
		if (!*writer->count)
			return (void *)writer->count;
	return NULL;
}

/* The fault comes before the event that tells of the move. */
TEST_F_TIMEOUT(away, moved_where_others_look, SLOW)
{
	char *from = self->mine + SIZE / 2, *to = self->mine + SIZE / 4;
	struct writer writer = { .count = (void *)to };
	pthread_t thread;
	void *zeros;
	int i;

	fill(to, PAGE, 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, look, &writer));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(from, mmap(from, PAGE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				     -1, 0));
		fill(from, PAGE, i + 1);
		ASSERT_NE(NULL, ibv_reg_mr(self->lab.pd, from, PAGE, ACCESS_ALL));
		ASSERT_EQ(to, mremap(from, PAGE, PAGE,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
		ASSERT_EQ(0, wrong(to, PAGE, i + 1)) TH_LOG("round %d", i);
	}
	writer.stop = true;
	pthread_join(thread, &zeros);
	EXPECT_EQ(NULL, zeros);
	EXPECT_LT(0, writer.rounds);
}

static sigjmp_buf no_page;

static void jump(int signal)
{
	siglongjmp(no_page, signal);
}

/* What cannot be given in a grown mapping is not the matter of who is near it. */
TEST_F(away, grown_over_a_full_disk)
{
	char folder[] = "/tmp/lazy-XXXXXX", name[40];
	char *area, *near, *file;
	int fd;

	ASSERT_NE(NULL, mkdtemp(folder));
	ASSERT_EQ(0, mount("tmpfs", folder, "tmpfs", 0, "size=4k"));
	snprintf(name, sizeof(name), "%s/file", folder);
	fd = open(name, O_RDWR | O_CREAT, 0600);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, umount2(folder, MNT_DETACH));
	ASSERT_EQ(0, ftruncate(fd, 2 * PAGE));
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));

	area = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	area = (void *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	near = mmap(area, SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(area, near);
	fill(near, SIZE, 8);
	ASSERT_NE(NULL, ibv_reg_mr(self->lab.pd, near, SIZE, ACCESS_ALL));
	file = mmap(area + HUGE / 2, PAGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, fd, 0);
	ASSERT_EQ(area + HUGE / 2, file);
	ASSERT_NE(NULL, ibv_reg_mr(self->lab.pd, file, PAGE, ACCESS_ALL));
	ASSERT_EQ(0, munmap(file + PAGE, PAGE));
	ASSERT_EQ(file, mremap(file, PAGE, 2 * PAGE, 0));

	signal(SIGBUS, jump);
	if (!sigsetjmp(no_page, 1)) {
		file[PAGE] = 'y';
		EXPECT_EQ(0, 1) TH_LOG("there was room on the disk");
	}
	signal(SIGBUS, SIG_DFL);
	EXPECT_EQ('x', file[0]);
	EXPECT_EQ(0, wrong(near, SIZE, 8));
}

/* Whether a child sees all of it. */
static bool child_sees(const void *addr)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(wrong(addr, SIZE, 3) ? 1 : 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

TEST_F(away, forked)
{
	EXPECT_TRUE(child_sees(self->addr));
	EXPECT_EQ(0, wrong(self->addr, SIZE, 3));
}

/* What was one mapping is two. */
TEST_F(away, half_protected)
{
	ASSERT_EQ(0, mprotect(self->addr, SIZE / 2, PROT_READ));
	EXPECT_TRUE(child_sees(self->addr));
	EXPECT_EQ(0, wrong(self->addr, SIZE, 3));
}

/* More than the report has room for at a time. */
TEST_F_TIMEOUT(away, forked_often, SLOW)
{
	char *addr = self->mine + SIZE / 2;
	int i, status;
	pid_t pid;

	for (i = 0; i < 70; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(!ibv_reg_mr(self->lab.pd, addr, PAGE, ACCESS_ALL) ||
			      absent(addr, PAGE) != 1);
		EXPECT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status) TH_LOG("child %d", i);
	}
}

TEST_F(away, forked_by_the_shell)
{
	EXPECT_EQ(0, system("exit 0"));
	EXPECT_EQ(0, wrong(self->addr, SIZE, 3));
}

TEST_F(away, registered_twice)
{
	struct ibv_mr *part;

	part = ibv_reg_mr(self->lab.pd, self->addr + 10 * PAGE + 5, 3 * PAGE,
			  ACCESS_ALL);
	ASSERT_NE(NULL, part);
	EXPECT_EQ(PAGES, absent(self->addr, SIZE));
	READ(self->mr->rkey, self->addr, SIZE);
	EXPECT_EQ(0, wrong(self->mine, SIZE, 3));
	fill(self->mine, SIZE, 5);
	WRITE(part->rkey, self->addr + 11 * PAGE, PAGE);
	EXPECT_EQ(0, wrong(self->addr, 11 * PAGE, 3));
	EXPECT_EQ(0, memcmp(self->addr + 11 * PAGE, self->mine, PAGE));
	EXPECT_EQ(0, ibv_dereg_mr(part));
}

TEST_F(away, by_system_calls_of_its_own)
{
	char *shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, shared);
	fill(shared, SIZE, 4);
	ASSERT_NE(NULL, ibv_reg_mr(self->lab.pd, shared, SIZE, ACCESS_ALL));
	EXPECT_EQ(0, wrong(shared, SIZE, 4));
	ASSERT_EQ(0, munmap(self->addr + 10 * PAGE, PAGE));
	EXPECT_EQ(0, wrong(self->addr, 10 * PAGE, 3));
	EXPECT_EQ(0, elsewhere);
}

/* A program may take a low descriptor for one that only it can have opened. */
TEST_F(away, descriptors_out_of_the_way)
{
	char path[40], file[100];
	ssize_t length;
	int fd;

	for (fd = 3; fd < 200; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, file, sizeof(file) - 1);
		if (length < 0)
			continue;
		file[length] = 0;
		EXPECT_EQ(NULL, strstr(file, "[userfaultfd]"));
		EXPECT_EQ(NULL, strstr(file, "[eventfd]"));
		EXPECT_EQ(NULL, strstr(file, "maps"));
		EXPECT_EQ(NULL, strstr(file, "uffdmr"));
	}
}

TEST_F(away, given_to_the_kernel)
{
	char byte[8];
	int fd[2];

	ASSERT_EQ(0, pipe(fd));
	EXPECT_EQ(8, write(fd[1], self->addr + 2 * PAGE - 4, 8));
	EXPECT_EQ(8, read(fd[0], byte, 8));
	EXPECT_EQ(0, memcmp(byte, self->addr + 2 * PAGE - 4, 8));
	EXPECT_EQ(8, write(fd[1], byte, 8));
	EXPECT_EQ(8, read(fd[0], self->addr + 5 * PAGE - 4, 8));
	EXPECT_EQ(0, memcmp(byte, self->addr + 5 * PAGE - 4, 8));
	EXPECT_EQ(0, wrong(self->addr, 2 * PAGE, 3));
}

TEST_F(away, refused)
{
	char *addr = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* A peer may not write what the device may not. */
	fill(addr, SIZE, 6);
	errno = 0;
	EXPECT_EQ(NULL, ibv_reg_mr(self->lab.pd, addr, SIZE,
				   IBV_ACCESS_REMOTE_WRITE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, absent(addr, SIZE));
	EXPECT_EQ(0, wrong(addr, SIZE, 6));
}

/* --- shared memory, of either page size */

static size_t wrong_in_child(const void *addr, size_t length, unsigned int seed)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(!!wrong(addr, length, seed));
	return waitpid(pid, &status, 0) == pid && !status ? 0 : length;
}

#define SHARED(name, page_size, flags)						\
	TEST_F(away, name)							\
	{									\
		shared(_metadata, &self->lab, self->mine_mr, page_size, flags);	\
	}

static void shared(struct __test_metadata *_metadata, struct lab *lab,
		   struct ibv_mr *mine, size_t page_size, int flags)
{
	size_t length = 4 * page_size;
	int fd = memfd_create("lazy", flags);
	char *addr, *to;
	struct ibv_mr *mr;

	ASSERT_EQ(0, ftruncate(fd, length));
	addr = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, addr);
	fill(addr, length, 1);
	mr = ibv_reg_mr(lab->pd, addr, length, ACCESS_ALL);
	ASSERT_NE(NULL, mr);
	ASSERT_EQ(length / PAGE, absent(addr, length));
	EXPECT_EQ(0, wrong_in_child(addr, length, 1));
	EXPECT_EQ(0, wrong(addr, length, 1));

	/* A hole is made in the file. */
	ibv_dereg_mr(mr);
	mr = ibv_reg_mr(lab->pd, addr, length, ACCESS_ALL);
	ASSERT_NE(NULL, mr);
	ASSERT_EQ(0, madvise(addr, page_size, MADV_REMOVE));
	DO(lab, transfer(lab, mine, IBV_WR_RDMA_READ, mr->rkey, (uintptr_t)addr,
			 100));
	EXPECT_EQ(0, nonzero(mine->addr, 100));
	EXPECT_EQ(0, nonzero(addr, page_size));
	fill(addr, page_size, 1);
	EXPECT_EQ(0, wrong(addr, length, 1));

	/* It moves to where there is room for hugepages. */
	ibv_dereg_mr(mr);
	to = mmap(NULL, length, PROT_NONE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, to);
	ASSERT_NE(NULL, ibv_reg_mr(lab->pd, addr, length, ACCESS_ALL));
	ASSERT_EQ(to, mremap(addr, length, length, MREMAP_MAYMOVE | MREMAP_FIXED,
			     to));
	EXPECT_EQ(length / PAGE, absent(to, length));
	EXPECT_EQ(0, wrong(to, length, 1));
}

SHARED(shared_file, PAGE, 0)
SHARED(shared_hugepages, HUGE, MFD_HUGETLB)

/* It cannot be read, not even to be given back. */
TEST_F(away, unreadable)
{
	char *addr = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	fill(addr, SIZE, 6);
	ASSERT_EQ(0, mprotect(addr, SIZE, PROT_NONE));
	ASSERT_NE(NULL, ibv_reg_mr(self->lab.pd, addr, SIZE, ACCESS_ALL));
	ASSERT_EQ(0, mprotect(addr, SIZE, PROT_READ));
	EXPECT_EQ(0, wrong(addr, SIZE, 6));
}

TEST_F(away, each_version)
{
	struct pd_1_0 pd = {
		.context = self->lab.pd->context,
		.real = self->lab.pd,
	};
	struct mr_1_0 *old;
	struct ibv_mr *mr;

	old = reg_mr_1_0(&pd, self->addr, SIZE, ACCESS_ALL);
	ASSERT_NE(NULL, old);
	EXPECT_EQ(PAGES, absent(self->addr, SIZE));
	READ(old->rkey, self->addr, SIZE);
	EXPECT_EQ(0, wrong(self->mine, SIZE, 3));
	EXPECT_EQ(0, dereg_mr_1_0(old));

	mr = ibv_reg_mr_iova(self->lab.pd, self->addr, SIZE, 0x10000, ACCESS_ALL);
	ASSERT_NE(NULL, mr);
	EXPECT_EQ(PAGES, absent(self->addr, SIZE));
	READ(mr->rkey, 0x10000, SIZE);
	EXPECT_EQ(0, wrong(self->mine, SIZE, 3));
	EXPECT_EQ(0, ibv_dereg_mr(mr));

	mr = ibv_reg_mr_iova2(self->lab.pd, self->addr, SIZE, 0x20000,
			      ACCESS_ALL | IBV_ACCESS_RELAXED_ORDERING);
	ASSERT_NE(NULL, mr);
	EXPECT_EQ(PAGES, absent(self->addr, SIZE));
	READ(mr->rkey, 0x20000, SIZE);
	EXPECT_EQ(0, wrong(self->mine, SIZE, 3));
	EXPECT_EQ(0, ibv_dereg_mr(mr));
}

TEST_F(away, all_memory)
{
	struct ibv_mr *mr = ibv_reg_mr(self->lab.pd, NULL, SIZE_MAX,
				       ACCESS_ALL | IBV_ACCESS_ON_DEMAND);

	ASSERT_NE(NULL, mr);
	READ(mr->rkey, self->addr, SIZE);
	EXPECT_EQ(0, wrong(self->mine, SIZE, 3));
	EXPECT_EQ(0, ibv_dereg_mr(mr));
}

/* --- others write while it goes away and comes back */

static void *write_on(void *arg)
{
	struct writer *writer = arg;
	size_t i;

	for (; !writer->stop; writer->rounds++)
		for (i = 0; i < PAGES; i++)
			writer->count[i * PAGE / sizeof(uint64_t)]++;
	return NULL;
}

TEST_F(away, written_meanwhile)
{
	struct writer writer = { .count = (void *)self->mine };
	pthread_t thread;
	struct ibv_mr *mr;
	int i;

	memset(self->mine, 0, SIZE);
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_on, &writer));
	for (i = 0; i < 100; i++) {
		mr = ibv_reg_mr(self->lab.pd, self->mine, SIZE, ACCESS_ALL);
		ASSERT_NE(NULL, mr);
		READ(self->mr->rkey, self->addr, 8);
		self->mine[0] = 0;
		ibv_dereg_mr(mr);
	}
	writer.stop = true;
	pthread_join(thread, NULL);
	EXPECT_LT(0, writer.rounds);
	/* The first is written by the transfer, too. */
	for (i = 1; i < PAGES; i++)
		EXPECT_EQ(writer.rounds, writer.count[i * PAGE / sizeof(uint64_t)]);
}

struct registrar {
	struct lab *lab;
	char *addr;
	bool failed;
};

static void *register_on(void *arg)
{
	struct registrar *registrar = arg;
	struct ibv_mr *mr;
	int i;

	for (i = 0; i < 30; i++) {
		mr = ibv_reg_mr(registrar->lab->pd, registrar->addr,
				20 * PAGE + 100, ACCESS_ALL);
		/* What is touched is another page each time. */
		if (!mr || !registrar->addr[i % 20 * PAGE])
			registrar->failed = true;
		if (mr)
			ibv_dereg_mr(mr);
	}
	return NULL;
}

TEST_F(away, registered_by_two)
{
	struct registrar low = { .lab = &self->lab, .addr = self->addr };
	struct registrar high = {
		.lab = &self->lab,
		.addr = self->addr + 15 * PAGE + 10,
	};
	pthread_t thread;

	memset(self->addr, 1, SIZE);
	ASSERT_EQ(0, pthread_create(&thread, NULL, register_on, &low));
	register_on(&high);
	pthread_join(thread, NULL);
	EXPECT_FALSE(low.failed);
	EXPECT_FALSE(high.failed);
	EXPECT_EQ(SIZE, nonzero(self->addr, SIZE));
}

/* The stack that it runs on goes away. */
static void *register_stack(void *arg)
{
	struct lab *lab = arg;
	char buffer[3 * PAGE];
	struct ibv_mr *mr;
	size_t bad;

	fill(buffer, sizeof(buffer), 9);
	mr = ibv_reg_mr(lab->pd, buffer, sizeof(buffer), ACCESS_ALL);
	bad = mr ? wrong(buffer, sizeof(buffer), 9) : 1;
	if (mr)
		ibv_dereg_mr(mr);
	return (void *)bad;
}

TEST_F(away, stack)
{
	pthread_t thread;
	void *bad;
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, register_stack,
					    &self->lab));
		pthread_join(thread, &bad);
		ASSERT_EQ(NULL, bad);
	}
}

/* Many small ones, on the heap, whose pages they share. */
TEST_F(away, neighbours)
{
	struct ibv_mr *mr[200];
	char *addr[200];
	int i;

	for (i = 0; i < 200; i++) {
		addr[i] = malloc(700);
		fill(addr[i], 700, i);
		mr[i] = ibv_reg_mr(self->lab.pd, addr[i], 700, ACCESS_ALL);
		ASSERT_NE(NULL, mr[i]);
	}
	for (i = 0; i < 200; i++) {
		READ(mr[i]->rkey, addr[i], 700);
		EXPECT_EQ(0, wrong(self->mine, 700, i));
		EXPECT_EQ(0, ibv_dereg_mr(mr[i]));
		free(addr[i]);
	}
}

TEST_HARNESS_MAIN
