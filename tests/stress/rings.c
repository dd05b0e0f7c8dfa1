// SPDX-License-Identifier: GPL-2.0
/*
 * The indexes of a work queue that user space shares with the kernel, with values
 * that no library writes. What the fuzzer of verbs has found.
 */
#include <unistd.h>

#include "kselftest_harness.h"
#include "lab.h"
#include "machine.h"
#include "rawq.h"

FIXTURE(rings)
{
	struct lab lab;
	struct mem *local, *remote;
	struct rawq rawq;
};

FIXTURE_SETUP(rings)
{
	struct lab *lab = &self->lab;
	struct rc_op op;

	DO(lab, lab_open(lab));
	self->local = mem_new(lab, MEM_RESIDENT, 2, ACCESS_ALL);
	ASSERT_NE(NULL, self->local) TH_LOG("%s", lab->failure.text);
	self->remote = mem_new(lab, MEM_RESIDENT, 2, ACCESS_ALL);
	ASSERT_NE(NULL, self->remote) TH_LOG("%s", lab->failure.text);
	/* Of length 0, so that this address need not exist. */
	op = mem_op(IBV_WR_RDMA_WRITE, self->local, 0, self->remote, 0, 0);
	op.raddr = 0xfeed0000;
	DO(lab, lab_run(lab, &op));
	ASSERT_EQ(0, rawq_find_posted(&self->rawq, lab->pair.end[0].qp,
				      op.raddr));
}

FIXTURE_TEARDOWN(rings)
{
	lab_close(&self->lab);
}

/*
 * Only as many bits of an index count as the queue has use for. If the others
 * did, the kernel would never find the end of the queue, and send what happens to
 * be in it for ever.
 */
TEST_F(rings, producer_out_of_range)
{
	struct lab *lab = &self->lab;
	const char *dev = rdma_dev_name(&lab->dev);
	struct rxe_queue_buf *sq = self->rawq.sq;
	uint32_t bits = ~sq->index_mask, producer;
	uint64_t sent[2];
	struct ibv_wc wc;
	int err;

	DO(lab, lab_write(lab, self->local, 0, self->remote, 0, 100));
	producer = sq->producer_index;
	rawq_publish(sq, producer | bits);
	ASSERT_EQ(0, rawq_doorbell(&self->rawq));
	usleep(300000);
	err = read_counter(dev, "sent_pkts", &sent[0]);
	usleep(300000);
	err = err ?: read_counter(dev, "sent_pkts", &sent[1]);
	/* Before anything else, let the kernel find the end. */
	rawq_publish(sq, producer);
	rawq_doorbell(&self->rawq);
	ASSERT_EQ(0, err);
	ASSERT_EQ(sent[0], sent[1])
		TH_LOG("packets are sent that nobody has posted");
	while (!rc_wait(&lab->pair.end[0].send, &wc, now_ns(), &lab->failure))
		;
	DO(lab, lab_reconnect(lab));
	DO(lab, lab_read(lab, self->local, 200, self->remote, 300, 1000));
	DO(lab, mem_check(lab, self->local, "local"));
	DO(lab, mem_check(lab, self->remote, "remote"));
}

/* Hundredths of a second that all CPUs have spent in the kernel. */
static int system_time(unsigned long *ticks)
{
	FILE *f = fopen("/proc/stat", "re");
	int n;

	if (!f)
		return -errno;
	n = fscanf(f, "cpu %*u %*u %lu", ticks);
	fclose(f);
	return n == 1 ? 0 : -EIO;
}

/*
 * The same in the error state, where all of the queue is flushed: a kernel that
 * finds no end of it is busy with that, and does not let the queue pair go.
 */
TEST_F(rings, producer_out_of_range_in_error)
{
	struct lab *lab = &self->lab;
	struct rxe_queue_buf *sq = self->rawq.sq;
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
	uint32_t producer = sq->producer_index;
	unsigned long busy[2];
	int err;

	rawq_publish(sq, producer | ~sq->index_mask);
	ASSERT_EQ(0, ibv_modify_qp(lab->pair.end[0].qp, &attr, IBV_QP_STATE));
	rawq_doorbell(&self->rawq);
	usleep(100000);
	err = system_time(&busy[0]);
	sleep(1);
	err = err ?: system_time(&busy[1]);
	rawq_publish(sq, producer);
	ASSERT_EQ(0, err);
	/* One CPU would make it 100; here only a timer has something to do. */
	ASSERT_LT(busy[1] - busy[0], 50)
		TH_LOG("the kernel is busy with an empty queue");
	DO(lab, lab_reconnect(lab));
	DO(lab, lab_read(lab, self->local, 200, self->remote, 300, 1000));
	DO(lab, mem_check(lab, self->local, "local"));
}

TEST_HARNESS_MAIN
