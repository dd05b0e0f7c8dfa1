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

/* --- from a peer whose own pages come when the test wants them to */

FIXTURE(late_peer)
{
	struct lab lab;
	struct scripted source;
	struct uffdmr *far;
	struct ibv_mr *mr;
	struct rc_pair pair;
	struct counted {
		struct uffdmr_source source, *real;
		_Atomic size_t urgent;
	} counted;
	struct uffdmr *region;
};

static void count_and_fetch(struct uffdmr_source *source,
			    struct uffdmr_extent *const *extents, size_t n)
{
	struct counted *counted = (struct counted *)source;
	size_t i, urgent = 0;

	for (i = 0; i < n; i++)
		urgent += extents[i]->demand;
	counted->real->fetch(counted->real, extents, n);
	counted->urgent += urgent;
}

static int open_real(struct uffdmr_source *source, void *buffers, size_t length)
{
	struct counted *counted = (struct counted *)source;

	return counted->real->open(counted->real, buffers, length);
}

static void cancel_real(struct uffdmr_source *source)
{
	struct counted *counted = (struct counted *)source;

	counted->real->cancel(counted->real);
}

static void close_real(struct uffdmr_source *source)
{
	struct counted *counted = (struct counted *)source;

	counted->real->close(counted->real);
}

FIXTURE_SETUP(late_peer)
{
	struct rc_params params = rc_params_default;
	struct lab *lab = &self->lab;
	struct uffdmr_attr attr = { .extent = 4096 };

	DO(lab, lab_open(lab));
	self->source = SCRIPTED;
	self->source.keep = true;
	attr.length = PAGES * lab->page_size;
	attr.source = &self->source.source;
	self->far = uffdmr_create(&attr);
	ASSERT_NE(NULL, self->far) TH_LOG("%s", uffdmr_error());
	self->mr = uffdmr_reg_mr(self->far, lab->pd, ACCESS_ALL);
	ASSERT_NE(NULL, self->mr) TH_LOG("%s", uffdmr_error());
	params.queue = 4;
	DO(lab, rc_pair_open(&self->pair, &lab->dev, lab->pd, &params,
			     &lab->failure));
	self->counted.real = uffdmr_rdma_read(&(struct uffdmr_peer){
		.pd = lab->pd,
		.qp = self->pair.end[0].qp,
		.channel = self->pair.end[0].send.channel,
		.addr = (uintptr_t)uffdmr_addr(self->far),
		.rkey = self->mr->rkey,
	});
	ASSERT_NE(NULL, self->counted.real) TH_LOG("%s", uffdmr_error());
	self->counted.source = (struct uffdmr_source){
		count_and_fetch, open_real, cancel_real, close_real
	};
	attr.source = &self->counted.source;
	self->region = uffdmr_create(&attr);
	ASSERT_NE(NULL, self->region) TH_LOG("%s", uffdmr_error());
}

FIXTURE_TEARDOWN(late_peer)
{
	uffdmr_destroy(self->region);
	rc_pair_close(&self->pair);
	if (self->mr)
		EXPECT_EQ(0, ibv_dereg_mr(self->mr));
	uffdmr_destroy(self->far);
	lab_close(&self->lab);
}

static void *touch(void *arg)
{
	return (void *)(uintptr_t)*(volatile char *)arg;
}

TEST_F(late_peer, who_waits_goes_first)
{
	size_t wanted = 200 * self->lab.page_size;
	struct uffdmr_extent *extent;
	struct uffdmr_stats stats;
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	pthread_t thread;

	/* It takes more than it was made for, and fewer than the background wants. */
	ASSERT_EQ(0, ibv_query_qp(self->pair.end[0].qp, &attr, IBV_QP_CAP, &init));
	ASSERT_GT(12, attr.cap.max_send_wr);
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	extent = scripted_take(&self->source);
	pthread_create(&thread, NULL, touch,
		       (char *)uffdmr_addr(self->region) + wanted);
	while (!self->counted.urgent)
		usleep(1000);
	/* READs are answered in order: those posted, and then that of the page. */
	while (extent->offset != wanted) {
		scripted_answer(extent);
		extent = scripted_take(&self->source);
	}
	uffdmr_get_stats(self->region, &stats);
	EXPECT_GE(attr.cap.max_send_wr * self->lab.page_size,
		  stats.background_bytes);
	scripted_answer(extent);
	scripted_release(&self->source);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(0, uffdmr_wait(self->region, 20000));
	ASSERT_TRUE(right(uffdmr_addr(self->region), 0,
			  uffdmr_length(self->region)));
}

/* The peer never answers. */
TEST_F(late_peer, destroy_while_it_reads)
{
	ASSERT_EQ(0, uffdmr_populate(self->region, 0));
	while (!self->source.asked)
		usleep(1000);
	ASSERT_EQ(uffdmr_length(self->region), uffdmr_destroy(self->region));
	self->region = NULL;
}

TEST_HARNESS_MAIN
