// SPDX-License-Identifier: GPL-2.0
/* Regions of libuffdmr that peers reach, and that come from peers. */
#include "kselftest_harness.h"
#include "lab.h"
#include "source.h"

#define PAGES	256

FIXTURE(rdma)
{
	struct lab lab;
	struct scripted source;
	struct mem *pinned;
	struct uffdmr *region;
	struct ibv_mr *mr;
	size_t length;
};

FIXTURE_SETUP(rdma)
{
	struct lab *lab = &self->lab;

	DO(lab, lab_open(lab));
	self->length = PAGES * lab->page_size;
	self->source = SCRIPTED;
	self->pinned = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->pinned) TH_LOG("%s", lab->failure.text);
}

FIXTURE_TEARDOWN(rdma)
{
	if (self->mr)
		EXPECT_EQ(0, ibv_dereg_mr(self->mr));
	uffdmr_destroy(self->region);
	lab_close(&self->lab);
}

static int make(FIXTURE_DATA(rdma) *self, struct uffdmr_attr attr)
{
	attr.length = self->length;
	self->region = uffdmr_create(&attr);
	if (!self->region)
		return fail(&self->lab.failure, 0, "%s", uffdmr_error());
	self->mr = uffdmr_reg_mr(self->region, self->lab.pd, ACCESS_ALL);
	if (!self->mr)
		return fail(&self->lab.failure, 0, "%s", uffdmr_error());
	return 0;
}

static int access_all(FIXTURE_DATA(rdma) *self, enum ibv_wr_opcode opcode,
		      enum ibv_wc_status want)
{
	return lab_access(&self->lab, self->pinned, self->mr, opcode,
			  (uintptr_t)uffdmr_addr(self->region), self->length,
			  want);
}

TEST_F(rdma, a_peer_reads_what_was_not_there)
{
	struct lab *lab = &self->lab;
	struct uffdmr_stats stats;

	DO(lab, make(self, (struct uffdmr_attr){
				.source = &self->source.source }));
	DO(lab, access_all(self, IBV_WR_RDMA_READ, IBV_WC_SUCCESS));
	ASSERT_TRUE(right(self->pinned->addr, 0, self->length));
	uffdmr_get_stats(self->region, &stats);
	ASSERT_EQ(self->length, stats.demand_bytes);
	/* The driver asks ahead, and what is asked for together comes so. */
	ASSERT_GT(PAGES / 2, stats.copies);
}

TEST_F(rdma, a_peer_sees_poison)
{
	struct lab *lab = &self->lab;

	DO(lab, make(self, (struct uffdmr_attr){
				.source = &self->source.source }));
	self->source.bad_from = self->length - lab->page_size;
	DO(lab, access_all(self, IBV_WR_RDMA_READ, IBV_WC_REM_ACCESS_ERR));
}

static int one(size_t offset, size_t length, void *arg)
{
	size_t *sum = arg;

	(void)offset;
	*sum += length;
	return 0;
}

TEST_F(rdma, what_a_peer_wrote_is_dirty)
{
	struct lab *lab = &self->lab;
	size_t sum = 0;

	DO(lab, make(self, (struct uffdmr_attr){
				.source = &self->source.source,
				.track_dirty = true }));
	DO(lab, access_all(self, IBV_WR_RDMA_READ, IBV_WC_SUCCESS));
	ASSERT_EQ(0, uffdmr_dirty(self->region, one, &sum));
	ASSERT_EQ(0, sum);
	DO(lab, lab_access(lab, self->pinned, self->mr, IBV_WR_RDMA_WRITE,
			   (uintptr_t)uffdmr_addr(self->region) +
			   3 * lab->page_size - 1, 2, IBV_WC_SUCCESS));
	ASSERT_EQ(0, uffdmr_dirty(self->region, one, &sum));
	ASSERT_EQ(2 * lab->page_size, sum);
}

/* --- from a peer */

FIXTURE(peer)
{
	struct lab lab;
	struct mem *far;
	struct rc_pair pair;
	struct uffdmr *region;
};

FIXTURE_VARIANT(peer)
{
	int queue;
};

FIXTURE_VARIANT_ADD(peer, queue_of_four)
{
	.queue = 4,
};

FIXTURE_VARIANT_ADD(peer, queue_of_many)
{
	.queue = 128,
};

FIXTURE_SETUP(peer)
{
	struct rc_params params = rc_params_default;
	struct lab *lab = &self->lab;
	struct uffdmr_attr attr = { .extent = 8192 };

	DO(lab, lab_open(lab));
	self->far = mem_new(lab, MEM_PINNED, PAGES, ACCESS_ALL);
	ASSERT_NE(NULL, self->far) TH_LOG("%s", lab->failure.text);
	params.queue = variant->queue;
	DO(lab, rc_pair_open(&self->pair, &lab->dev, lab->pd, &params,
			     &lab->failure));
	attr.source = uffdmr_rdma_read(&(struct uffdmr_peer){
		.pd = lab->pd,
		.qp = self->pair.end[0].qp,
		.channel = self->pair.end[0].send.channel,
		.addr = self->far->iova,
		.rkey = self->far->mr->rkey,
	});
	ASSERT_NE(NULL, attr.source) TH_LOG("%s", uffdmr_error());
	attr.length = self->far->len;
	self->region = uffdmr_create(&attr);
	ASSERT_NE(NULL, self->region) TH_LOG("%s", uffdmr_error());
}

FIXTURE_TEARDOWN(peer)
{
	uffdmr_destroy(self->region);
	rc_pair_close(&self->pair);
	lab_close(&self->lab);
}

TEST_F(peer, comes_when_touched)
{
	size_t first;

	ASSERT_TRUE(bytes_equal(self->far->image, uffdmr_addr(self->region),
				self->far->len, &first));
}

TEST_F(peer, comes_in_the_background)
{
	struct uffdmr_stats stats;
	size_t first;

	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_EQ(0, uffdmr_finish(self->region));
	ASSERT_TRUE(bytes_equal(self->far->image, uffdmr_addr(self->region),
				self->far->len, &first));
	uffdmr_get_stats(self->region, &stats);
	ASSERT_EQ(0, stats.failures);
}

TEST_F(peer, is_gone)
{
	struct uffdmr_stats stats;

	ASSERT_EQ(0, ibv_dereg_mr(self->far->mr));
	self->far->mr = NULL;
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	ASSERT_EQ(-1, uffdmr_wait(self->region, 20000));
	ASSERT_EQ(EIO, errno);
	uffdmr_get_stats(self->region, &stats);
	ASSERT_EQ(self->far->len, stats.poisoned);
	ASSERT_LT(0, stats.failures);
}

TEST_F(peer, destroy_while_it_reads)
{
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
}

TEST_HARNESS_MAIN
