// SPDX-License-Identifier: GPL-2.0
/* SEND and RECV: absent pages in what is sent, in what receives, in both. */
#include "rc_fixture.h"

#define PAGES		8
#define MANY_PAGES	64
#define ELEMENTS	3

/* Pieces of a region, as a list and as the bytes one after the other. */
struct pieces {
	struct {
		size_t offset, len;
	} piece[ELEMENTS];
	int n;
};

static size_t total(const struct pieces *pieces)
{
	size_t len = 0;
	int i;

	for (i = 0; i < pieces->n; i++)
		len += pieces->piece[i].len;
	return len;
}

static void to_sge(const struct mem *mem, const struct pieces *pieces,
		   struct ibv_sge *sge)
{
	int i;

	for (i = 0; i < pieces->n; i++)
		sge[i] = (struct ibv_sge){
			.addr = mem->iova + pieces->piece[i].offset,
			.length = pieces->piece[i].len,
			.lkey = mem->mr->lkey,
		};
}

/* In the images: what a SEND of one list into the other has to do. */
static void expect(struct mem *from, const struct pieces *gather,
		   struct mem *to, const struct pieces *scatter)
{
	size_t at[2] = { 0 }, i[2] = { 0 };
	size_t left = total(gather);

	while (left--) {
		while (at[0] == gather->piece[i[0]].len) {
			at[0] = 0;
			i[0]++;
		}
		while (at[1] == scatter->piece[i[1]].len) {
			at[1] = 0;
			i[1]++;
		}
		to->image[scatter->piece[i[1]].offset + at[1]++] =
			from->image[gather->piece[i[0]].offset + at[0]++];
	}
}

static int message(struct lab *lab, struct mem *from,
		   const struct pieces *gather, struct mem *to,
		   const struct pieces *scatter, unsigned int flags)
{
	struct rc_end *peer = &lab->pair.end[1];
	struct ibv_sge in[ELEMENTS], out[ELEMENTS];
	struct rc_op op = {
		.opcode = IBV_WR_SEND,
		.sge = out,
		.num_sge = gather->n,
		.flags = flags,
	};
	struct ibv_wc wc;
	int err;

	to_sge(from, gather, out);
	to_sge(to, scatter, in);
	expect(from, gather, to, scatter);
	err = rc_post_recv(peer, in, scatter->n, &lab->failure) ?:
	      lab_run(lab, &op) ?:
	      rc_wait(&peer->recv, &wc, now_ns() + PATIENCE, &lab->failure);
	if (err)
		return err;
	if (wc.status != IBV_WC_SUCCESS || wc.byte_len != total(gather))
		return fail(&lab->failure, 0, "received %u bytes: %s",
			    wc.byte_len, ibv_wc_status_str(wc.status));
	return 0;
}

static int simple(struct lab *lab, struct mem *from, size_t from_offset,
		  struct mem *to, size_t to_offset, size_t len,
		  unsigned int flags)
{
	struct pieces gather = { .piece = {{ from_offset, len }}, .n = 1 };
	struct pieces scatter = { .piece = {{ to_offset, len }}, .n = 1 };

	return message(lab, from, &gather, to, &scatter, flags);
}

TEST_F(rc, page_by_page)
{
	struct lab *lab = &self->lab;
	struct mem *from, *to;
	size_t i;

	NEW_MEM(from, variant->local, PAGES);
	NEW_MEM(to, variant->remote, PAGES);
	for (i = 0; i < PAGES / 2; i++)
		DO(lab, simple(lab, from, i * lab->page_size, to,
			       i * lab->page_size, lab->page_size, 0));
	DO(lab, mem_check_messages(lab, from, "sent", 0,
				   i * lab->page_size, 1));
	DO(lab, mem_check_messages(lab, to, "receiving", 0,
				   i * lab->page_size, 1));
	DO(lab, mem_check(lab, from, "sent"));
	DO(lab, mem_check(lab, to, "receiving"));
}

TEST_F(rc, one_message)
{
	struct lab *lab = &self->lab;
	struct mem *from, *to;

	NEW_MEM(from, variant->local, MANY_PAGES);
	NEW_MEM(to, variant->remote, MANY_PAGES);
	DO(lab, simple(lab, from, 100, to, 3000, from->len - 3100, 0));
	DO(lab, mem_check_messages(lab, from, "sent", 0, from->len - 3000, 1));
	DO(lab, mem_check_messages(lab, to, "receiving", 3000,
				   to->len - 3100, 1));
	DO(lab, mem_check(lab, from, "sent"));
	DO(lab, mem_check(lab, to, "receiving"));
}

TEST_F(rc, gather_and_scatter)
{
	static const struct pieces gather = {
		.piece = { { 4000, 5000 }, { 20479, 2 }, { 16384, 3000 } },
		.n = 3,
	};
	static const struct pieces scatter = {
		.piece = { { 8191, 1 }, { 1, 4500 }, { 12000, 9000 } },
		.n = 3,
	};
	struct lab *lab = &self->lab;
	struct mem *from, *to;

	NEW_MEM(from, variant->local, PAGES);
	NEW_MEM(to, variant->remote, PAGES);
	DO(lab, message(lab, from, &gather, to, &scatter, 0));
	DO(lab, mem_check(lab, from, "sent"));
	DO(lab, mem_check(lab, to, "receiving"));
}

/* The source of an inline send is read while it is posted, by the CPU. */
TEST_F(rc, inline_data)
{
	struct lab *lab = &self->lab;
	struct mem *from, *to;

	NEW_MEM(from, variant->local, PAGES);
	NEW_MEM(to, variant->remote, PAGES);
	DO(lab, simple(lab, from, 4090, to, 8180, 40, IBV_SEND_INLINE));
	DO(lab, mem_check_messages(lab, from, "sent", 4090, 40, 1));
	DO(lab, mem_check_messages(lab, to, "receiving", 8180, 40, 1));
	DO(lab, mem_check(lab, from, "sent"));
	DO(lab, mem_check(lab, to, "receiving"));
}

TEST_HARNESS_MAIN
