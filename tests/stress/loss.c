// SPDX-License-Identifier: GPL-2.0
/*
 * Two rxe devices with a bad line between them, which on-two-sides has set up:
 * packets get lost, come twice and overtake each other. Each operation has to be
 * executed once, in its order, with the right data, whatever the memory is.
 */
#include <stdlib.h>
#include <string.h>

#include "kselftest_harness.h"
#include "two_sides.h"

#define PAGES		32

FIXTURE(loss)
{
	struct side side[2];
	uint64_t counted[2][2];
	unsigned int seed;
};

FIXTURE_VARIANT(loss)
{
	enum mem_kind kind;
};

FIXTURE_VARIANT_ADD(loss, pinned)
{
	.kind = MEM_PINNED,
};

FIXTURE_VARIANT_ADD(loss, resident)
{
	.kind = MEM_RESIDENT,
};

FIXTURE_VARIANT_ADD(loss, uffd)
{
	.kind = MEM_UFFD,
};

FIXTURE_VARIANT_ADD(loss, uffd_shmem)
{
	.kind = MEM_UFFD_SHMEM,
};

static int read_counters(uint64_t *counted, const char *dev)
{
	return read_counter(dev, "duplicate_request", &counted[0]) ?:
	       read_counter(dev, "out_of_seq_request", &counted[1]);
}

FIXTURE_SETUP(loss)
{
	struct side *side = self->side;
	int i;

	self->seed = getenv("SEED") ? atoi(getenv("SEED")) : (int)now_ns();
	srand(self->seed);
	TH_LOG("seed %u (the variable SEED repeats it)", self->seed);
	for (i = 0; i < 2; i++) {
		DO(&side[i].lab, open_side(&side[i], device[i]));
		side[i].mem = mem_new(&side[i].lab, variant->kind, PAGES,
				      ACCESS);
		ASSERT_NE(NULL, side[i].mem)
			TH_LOG("%s", side[i].lab.failure.text);
		/* Two patterns that are not the same. */
		ASSERT_EQ(0, read_counters(self->counted[i], device[i]));
	}
	/* Close to the wrap of the sequence number, so that it happens. */
	DO(&side[0].lab, connect_side(&side[0], &side[1], 0xffffc0, 0xfffff0));
	DO(&side[1].lab, connect_side(&side[1], &side[0], 0xfffff0, 0xffffc0));
}

FIXTURE_TEARDOWN(loss)
{
	int i;

	for (i = 0; i < 2; i++) {
		stop_source(&self->side[i]);
		close_end(&self->side[i]);
		lab_close(&self->side[i].lab);
	}
}

static struct rc_op op_of(enum ibv_wr_opcode opcode, struct side *left,
			  size_t loff, struct side *right, size_t roff,
			  size_t len)
{
	return mem_op(opcode, left->mem, loff, right->mem, roff, len);
}

#define LEFT	(&self->side[0])
#define RIGHT	(&self->side[1])

/* Not a test of loss if the line was good. */
#define CHECK_LOSS() do { \
	uint64_t _now[2]; \
	ASSERT_EQ(0, read_counters(_now, device[1])); \
	ASSERT_LT(self->counted[1][0] + self->counted[1][1], \
		  _now[0] + _now[1]) \
		TH_LOG("no packet was lost, doubled or late"); \
} while (0)

#define CHECK_BYTES() do { \
	DO(&LEFT->lab, mem_check(&LEFT->lab, LEFT->mem, "left")); \
	DO(&RIGHT->lab, mem_check(&RIGHT->lab, RIGHT->mem, "right")); \
} while (0)

#define ROUNDS	160

/*
 * WRITEs from the left half of one side to that of the other, READs of the right
 * half back, some with the fence: each range is used once, so that what overtakes
 * shows.
 */
TEST_F_TIMEOUT(loss, write_and_read, 300)
{
	size_t half = PAGES / 2 * LEFT->lab.page_size;
	size_t share = half / (ROUNDS / 2);
	int posted = 0, done = 0;
	struct ibv_wc wc;

	while (done < ROUNDS) {
		bool is_read = posted % 2;
		size_t at = posted / 2 * share + is_read * half;
		size_t len = 1 + rand() % share;
		struct rc_op op = op_of(is_read ? IBV_WR_RDMA_READ :
						  IBV_WR_RDMA_WRITE,
					LEFT, at, RIGHT, at, len);

		if (posted < ROUNDS && posted - done < FLIGHT) {
			op.flags = rand() % 4 ? 0 : IBV_SEND_FENCE;
			if (is_read)
				mem_expect(LEFT->mem, at,
					   RIGHT->mem->image + at, len);
			else
				mem_expect(RIGHT->mem, at,
					   LEFT->mem->image + at, len);
			DO(&LEFT->lab, rc_post(&LEFT->end, &op,
					       &LEFT->lab.failure));
			posted++;
			continue;
		}
		DO(&LEFT->lab, wait_for(LEFT, &LEFT->end.send, &wc));
		done++;
	}
	CHECK_BYTES();
	CHECK_LOSS();
}

/* Long ones, of many packets each. */
TEST_F_TIMEOUT(loss, long_ones, 300)
{
	size_t half = PAGES / 2 * LEFT->lab.page_size;
	struct ibv_wc wc;
	int i;

	for (i = 0; i < 4; i++) {
		size_t skip = rand() % 100;
		struct rc_op write = op_of(IBV_WR_RDMA_WRITE, LEFT, skip, RIGHT,
					   skip, half - 200);
		struct rc_op read = op_of(IBV_WR_RDMA_READ, LEFT, half + skip,
					  RIGHT, half + skip, half - 200);

		mem_expect(RIGHT->mem, skip, LEFT->mem->image + skip,
			   half - 200);
		mem_expect(LEFT->mem, half + skip,
			   RIGHT->mem->image + half + skip, half - 200);
		DO(&LEFT->lab, rc_post(&LEFT->end, &write, &LEFT->lab.failure));
		DO(&LEFT->lab, rc_post(&LEFT->end, &read, &LEFT->lab.failure));
		DO(&LEFT->lab, wait_for(LEFT, &LEFT->end.send, &wc));
		DO(&LEFT->lab, wait_for(LEFT, &LEFT->end.send, &wc));
	}
	CHECK_BYTES();
	CHECK_LOSS();
}

/*
 * FETCH_ADDs and CMP_SWPs by turns on one word, pipelined: each has to find
 * exactly what the one before has left.
 */
TEST_F_TIMEOUT(loss, atomics, 300)
{
	uint64_t *image = (uint64_t *)(RIGHT->mem->image +
				       RIGHT->lab.page_size);
	uint64_t want[ROUNDS], value = *image, before;
	int posted = 0, done = 0;
	struct ibv_wc wc;

	while (done < ROUNDS) {
		size_t at = posted % FLIGHT * sizeof(uint64_t);

		if (posted < ROUNDS && posted - done < FLIGHT) {
			bool swap = posted % 3 == 2;
			struct rc_op op = op_of(swap ?
						IBV_WR_ATOMIC_CMP_AND_SWP :
						IBV_WR_ATOMIC_FETCH_AND_ADD,
						LEFT, at, RIGHT,
						RIGHT->lab.page_size,
						sizeof(uint64_t));

			want[posted] = value;
			op.compare_add = swap ? value : (uint64_t)rand();
			op.swap = ~value;
			value = swap ? ~value : value + op.compare_add;
			DO(&LEFT->lab, rc_post(&LEFT->end, &op,
					       &LEFT->lab.failure));
			posted++;
			continue;
		}
		DO(&LEFT->lab, wait_for(LEFT, &LEFT->end.send, &wc));
		at = done % FLIGHT * sizeof(uint64_t);
		before = *(volatile uint64_t *)(LEFT->mem->addr + at);
		ASSERT_EQ(want[done], before)
			TH_LOG("atomic %d", done);
		mem_expect(LEFT->mem, at, &want[done], sizeof(want[done]));
		done++;
	}
	*image = value;
	CHECK_BYTES();
	CHECK_LOSS();
}

/* Each is received once, in its order, at its length. */
TEST_F_TIMEOUT(loss, send, 300)
{
	size_t slot = PAGES * RIGHT->lab.page_size / FLIGHT;
	int posted = 0, received = 0, done = 0;
	size_t from[ROUNDS], len[ROUNDS];
	struct ibv_wc wc;
	int i;

	for (i = 0; i < FLIGHT; i++) {
		struct ibv_sge sge = {
			.addr = RIGHT->mem->iova + i * slot,
			.length = slot,
			.lkey = RIGHT->mem->mr->lkey,
		};

		DO(&RIGHT->lab, rc_post_recv(&RIGHT->end, &sge, 1,
					     &RIGHT->lab.failure));
	}
	while (done < ROUNDS) {
		if (posted < ROUNDS && posted - done < FLIGHT) {
			struct rc_op op;

			len[posted] = 1 + rand() % (posted % 8 ? 2000 : slot);
			from[posted] = rand() % (LEFT->mem->len - len[posted]);
			op = op_of(IBV_WR_SEND_WITH_IMM, LEFT, from[posted],
				   RIGHT, 0, len[posted]);
			op.imm = htobe32(posted);
			DO(&LEFT->lab, rc_post(&LEFT->end, &op,
					       &LEFT->lab.failure));
			posted++;
			continue;
		}
		DO(&RIGHT->lab, wait_for(RIGHT, &RIGHT->end.recv, &wc));
		ASSERT_EQ(received, (int)be32toh(wc.imm_data));
		ASSERT_EQ(len[received], wc.byte_len);
		i = received % FLIGHT;
		ASSERT_EQ(0, memcmp(RIGHT->mem->addr + i * slot,
				    LEFT->mem->image + from[received],
				    len[received]))
			TH_LOG("SEND %d", received);
		mem_expect(RIGHT->mem, i * slot,
			   LEFT->mem->image + from[received], len[received]);
		received++;
		if (received <= ROUNDS - FLIGHT) {
			struct ibv_sge sge = {
				.addr = RIGHT->mem->iova + i * slot,
				.length = slot,
				.lkey = RIGHT->mem->mr->lkey,
			};

			DO(&RIGHT->lab, rc_post_recv(&RIGHT->end, &sge, 1,
						     &RIGHT->lab.failure));
		}
		DO(&LEFT->lab, wait_for(LEFT, &LEFT->end.send, &wc));
		done++;
	}
	CHECK_BYTES();
	CHECK_LOSS();
}

/*
 * An ATOMIC_WRITE and a FETCH_ADD by turns on one word: an ATOMIC_WRITE that is
 * executed again would undo the FETCH_ADD after it.
 */
TEST_F_TIMEOUT(loss, atomic_write, 300)
{
	uint64_t *image = (uint64_t *)RIGHT->mem->image;
	uint64_t addr = RIGHT->mem->iova, want[ROUNDS], before;
	uint32_t rkey = RIGHT->mem->mr->rkey;
	uint64_t value = 0;
	int posted = 0, done = 0;
	struct ibv_wc wc;

	while (done < ROUNDS) {
		size_t at = posted % FLIGHT * sizeof(uint64_t);

		if (posted < ROUNDS && posted - done < FLIGHT) {
			struct rc_op op = op_of(IBV_WR_ATOMIC_FETCH_AND_ADD,
						LEFT, at, RIGHT, 0,
						sizeof(uint64_t));

			if (posted % 2) {
				want[posted] = value;
				op.compare_add = 1;
				value++;
				DO(&LEFT->lab, rc_post(&LEFT->end, &op,
						       &LEFT->lab.failure));
			} else {
				value = (uint64_t)rand() << 20;
				ASSERT_EQ(0, rawq_atomic_write(&LEFT->rawq,
							       addr, rkey,
							       value));
			}
			posted++;
			continue;
		}
		DO(&LEFT->lab, wait_for(LEFT, &LEFT->end.send, &wc));
		if (done % 2) {
			at = done % FLIGHT * sizeof(uint64_t);
			before = *(volatile uint64_t *)(LEFT->mem->addr + at);
			ASSERT_EQ(want[done], before)
				TH_LOG("FETCH_ADD %d", done);
			mem_expect(LEFT->mem, at, &want[done],
				   sizeof(want[done]));
		} else {
			ASSERT_EQ(RAWQ_WC_ATOMIC_WRITE, (int)wc.opcode);
		}
		done++;
	}
	*image = value;
	CHECK_BYTES();
	CHECK_LOSS();
}

/* WRITEs with a FLUSH of what each wrote after it. */
TEST_F_TIMEOUT(loss, flush, 300)
{
	size_t share = PAGES * LEFT->lab.page_size / (ROUNDS / 2);
	int posted = 0, done = 0;
	struct ibv_wc wc;
	size_t len = 0;

	while (done < ROUNDS) {
		size_t at = posted / 2 * share;

		if (posted < ROUNDS && posted - done < FLIGHT) {
			if (posted % 2) {
				ASSERT_EQ(0, rawq_flush(&LEFT->rawq,
							RIGHT->mem->iova + at,
							RIGHT->mem->mr->rkey,
							len));
			} else {
				struct rc_op op;

				len = 1 + rand() % share;
				op = op_of(IBV_WR_RDMA_WRITE, LEFT, at, RIGHT,
					   at, len);
				mem_expect(RIGHT->mem, at,
					   LEFT->mem->image + at, len);
				DO(&LEFT->lab, rc_post(&LEFT->end, &op,
						       &LEFT->lab.failure));
			}
			posted++;
			continue;
		}
		DO(&LEFT->lab, wait_for(LEFT, &LEFT->end.send, &wc));
		if (done % 2)
			ASSERT_EQ(RAWQ_WC_FLUSH, (int)wc.opcode);
		done++;
	}
	CHECK_BYTES();
	CHECK_LOSS();
}

TEST_HARNESS_MAIN
