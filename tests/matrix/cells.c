// SPDX-License-Identifier: GPL-2.0
/* The table: verbs, memory, modes of userfaultfd, and which go together. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "matrix.h"

#define PAGE		4096UL
#define OPS		3
#define HUGE_OPS	2	/* their pages take longer */
#define LIST_MAX	20000UL	/* no more than what half a region holds */
#define WINDOW_MARGIN	72UL	/* of the MR that the window leaves out */

const char *const side_names[NR_SIDES] = {
	[REMOTE] = "remote",
	[LOCAL] = "local",
	[BOTH] = "both",
};

#define RC(op)		.transport = IBV_QPT_RC, .opcode = (op)
#define UC(op)		.transport = IBV_QPT_UC, .opcode = (op)
#define UD(op)		.transport = IBV_QPT_UD, .opcode = (op)
#define TO_REMOTE	.local = READS, .remote = WRITES
#define TO_LOCAL	.local = WRITES, .remote = READS
#define TO_BOTH		.local = WRITES, .remote = WRITES
#define RECEIVES	.receives = true

static const struct verb verbs[] = {
	{ .name = "send", RC(IBV_WR_SEND), TO_REMOTE, RECEIVES },
	{ .name = "send-imm", RC(IBV_WR_SEND_WITH_IMM), TO_REMOTE, RECEIVES },
	{ .name = "send-inv", RC(IBV_WR_SEND_WITH_INV), TO_REMOTE, RECEIVES },
	{ .name = "write", RC(IBV_WR_RDMA_WRITE), TO_REMOTE },
	{ .name = "write-imm", RC(IBV_WR_RDMA_WRITE_WITH_IMM), TO_REMOTE,
	  RECEIVES },
	{ .name = "read", RC(IBV_WR_RDMA_READ), TO_LOCAL },
	{ .name = "cmp-swp", RC(IBV_WR_ATOMIC_CMP_AND_SWP), TO_BOTH },
	{ .name = "fetch-add", RC(IBV_WR_ATOMIC_FETCH_AND_ADD), TO_BOTH },
	{ .name = "atomic-write", RC(IBV_WR_ATOMIC_WRITE), .remote = WRITES },
	{ .name = "flush", RC(WR_FLUSH) },
	{ .name = "uc-send", UC(IBV_WR_SEND), TO_REMOTE, RECEIVES },
	{ .name = "uc-write", UC(IBV_WR_RDMA_WRITE), TO_REMOTE },
	{ .name = "ud-send", UD(IBV_WR_SEND), TO_REMOTE, RECEIVES },
	{ .name = "srq-send", RC(IBV_WR_SEND), TO_REMOTE, RECEIVES,
	  .srq = true },
	{ .name = "mw1-write", RC(IBV_WR_RDMA_WRITE), TO_REMOTE,
	  .mw = IBV_MW_TYPE_1 },
	{ .name = "mw1-read", RC(IBV_WR_RDMA_READ), TO_LOCAL,
	  .mw = IBV_MW_TYPE_1 },
	{ .name = "mw2-write", RC(IBV_WR_RDMA_WRITE), TO_REMOTE,
	  .mw = IBV_MW_TYPE_2 },
	{ .name = "mw2-read", RC(IBV_WR_RDMA_READ), TO_LOCAL,
	  .mw = IBV_MW_TYPE_2 },
	{ .name = "mw2-zero-write", RC(IBV_WR_RDMA_WRITE), TO_REMOTE,
	  .mw = IBV_MW_TYPE_2, .zero_based = true },
	{ .name = "mw2-zero-read", RC(IBV_WR_RDMA_READ), TO_LOCAL,
	  .mw = IBV_MW_TYPE_2, .zero_based = true },
	{ .name = "mw2-zero-add", RC(IBV_WR_ATOMIC_FETCH_AND_ADD), TO_BOTH,
	  .mw = IBV_MW_TYPE_2, .zero_based = true },
	{ .name = "send-list", RC(IBV_WR_SEND), TO_REMOTE, RECEIVES,
	  .lists = true },
	{ .name = "write-list", RC(IBV_WR_RDMA_WRITE), TO_REMOTE,
	  .lists = true },
	{ .name = "read-list", RC(IBV_WR_RDMA_READ), TO_LOCAL, .lists = true },
};

const struct verb *verb_named(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static const struct kind pinned = { .pinned = true };
static const struct kind resident = { .pinned = false };

/* --- running one */

static bool has_local(const struct verb *verb)
{
	return verb->local != NOTHING;
}

static bool is_list(const struct verb *verb, enum side side)
{
	/* WRITE and READ have one range at the remote end. */
	return verb->lists && (side == LOCAL || verb->receives);
}

/* Which part of a region an operation is to stay in. */
enum part { ALL, LOWER, UPPER, ONE_PAGE };

static void bounds(const struct stage *stage, struct cell *cell,
		   struct region *region, enum part part, size_t *lo,
		   size_t *hi)
{
	size_t middle = region->len / 2;
	size_t page;

	*lo = region->mr_off;
	*hi = region->mr_off + region->mr_len;
	if (cell->verb->mw && region == &stage->main[REMOTE]) {
		/* Aligned: with base 0 the address alone has to be, too. */
		*lo = (*lo + WINDOW_MARGIN) / 8 * 8;
		*hi -= WINDOW_MARGIN;
	}
	switch (part) {
	case LOWER:
		*hi = middle;
		break;
	case UPPER:
		*lo = middle;
		break;
	case ONE_PAGE:
		*lo = middle;
		if (region->page_size > PAGE)
			break;
		/* A page of which none is outside of the memory region. */
		page = draw(cell, (*hi - middle) / region->page_size);
		*lo = middle + page * region->page_size;
		*hi = *lo + region->page_size;
		break;
	default:
		break;
	}
}

static int open_side(struct cell *cell, struct stage *stage, enum side side)
{
	const struct kind *kind = &cell->kind;
	int err;

	if (cell->side != side && cell->side != BOTH)
		kind = &pinned;
	err = region_open(cell, &stage->main[side], kind);
	if (!err && is_list(cell->verb, side))
		err = region_open(cell, &stage->pinned[side], &pinned) ?:
		      region_open(cell, &stage->resident[side], &resident);
	return err;
}

int stage_open(struct cell *cell, struct stage *stage)
{
	static const int mtus[] = { 256, 512, 1024, 2048, 4096 };
	struct region *remote = &stage->main[REMOTE];
	int ip = cell->ip ?: (draw(cell, 2) ? 4 : 6);
	int err;

	stage->mtu = cell->mtu ?: mtus[draw(cell, ARRAY_SIZE(mtus))];
	err = has_local(cell->verb) ? open_side(cell, stage, LOCAL) : 0;
	if (!err)
		err = open_side(cell, stage, REMOTE);
	if (!err)
		err = conn_open(cell, &stage->conn, stage->mtu, ip);
	if (!err && cell->verb->mw) {
		size_t lo, hi;

		bounds(stage, cell, remote, ALL, &lo, &hi);
		stage->conn.window_off = lo;
		err = conn_bind(cell, &stage->conn, remote, lo, hi - lo, 0,
				&stage->conn.window_base);
	}
	return err;
}

void stage_close(struct stage *stage)
{
	int i;

	/* Handlers first: in some kernels the rest waits for what they wait. */
	for (i = 0; i < 2; i++) {
		handler_stop(stage->main[i].handler);
		stage->main[i].handler = NULL;
	}
	raw_close(stage->conn.raw);
	conn_close(&stage->conn);
	for (i = 0; i < 2; i++) {
		region_close(&stage->main[i]);
		region_close(&stage->pinned[i]);
		region_close(&stage->resident[i]);
	}
}

static struct piece place(const struct stage *stage, struct cell *cell,
			  struct region *region, enum part part, size_t len,
			  size_t align)
{
	size_t lo, hi;

	bounds(stage, cell, region, part, &lo, &hi);
	return (struct piece){
		.region = region,
		.off = draw_offset(cell, lo, hi, len, align),
		.len = len,
	};
}

/* Cut @len in @n at random; with @first the first has something. */
static void cut(struct cell *cell, size_t len, int n, bool first, size_t *parts)
{
	int i;

	for (i = 0; i < n - 1; i++) {
		parts[i] = draw(cell, len + 1);
		if (first && !i && !parts[i])
			parts[i] = 1;
		len -= parts[i];
	}
	parts[n - 1] = len;
}

static void shuffle(struct cell *cell, struct piece *pieces, int n)
{
	while (n > 1) {
		int i = draw(cell, n--);
		struct piece piece = pieces[i];

		pieces[i] = pieces[n];
		pieces[n] = piece;
	}
}

/*
 * Pieces for one side of an operation, armed. A list has absent pages in the
 * lower half of the main region and present ones in the upper.
 */
static int make_pieces(struct cell *cell, struct stage *stage, enum side side,
		       enum part part, size_t len, size_t align, bool denied,
		       struct piece *pieces, int *n)
{
	struct region *main = &stage->main[side];
	struct piece *present = &pieces[1];
	size_t parts[MAX_PIECES];
	int err;

	*n = 1;
	if (!is_list(cell->verb, side)) {
		pieces[0] = place(stage, cell, main, part, len, align);
		err = region_arm(main, pieces[0].off, len);
	} else if (part != ALL) {
		/* What may fail comes first, so that nothing else moves. */
		*n = 2;
		cut(cell, len, 2, len > 0, parts);
		pieces[0] = place(stage, cell, main, part, parts[0], 1);
		pieces[1] = place(stage, cell, &stage->pinned[side], part,
				  parts[1], 1);
		err = region_arm(main, pieces[0].off, parts[0]);
	} else {
		*n = 4;
		cut(cell, len, 4, len > 0, parts);
		pieces[0] = place(stage, cell, main, LOWER, parts[0], 1);
		pieces[1] = place(stage, cell, main, UPPER, parts[1], 1);
		pieces[2] = place(stage, cell, &stage->pinned[side], ALL,
				  parts[2], 1);
		pieces[3] = place(stage, cell, &stage->resident[side], ALL,
				  parts[3], 1);
		err = region_arm(main, pieces[0].off, parts[0]) ?:
		      region_touch(main, present->off, present->len);
		shuffle(cell, pieces, 4);
	}
	if (denied && !err)
		main->poisoned[pieces[0].off / main->page_size] = true;
	return err;
}

static size_t op_length(struct cell *cell, struct stage *stage, enum part part,
			bool some)
{
	size_t max = stage->main[REMOTE].mr_len - 2 * WINDOW_MARGIN;
	size_t len;

	switch (cell->verb->opcode) {
	case IBV_WR_ATOMIC_CMP_AND_SWP:
	case IBV_WR_ATOMIC_FETCH_AND_ADD:
	case IBV_WR_ATOMIC_WRITE:
		return sizeof(uint64_t);
	}
	if (has_local(cell->verb) && stage->main[LOCAL].mr_len < max)
		max = stage->main[LOCAL].mr_len;
	if (part != ALL || cell->verb->lists)
		max = LIST_MAX;
	if (part == ONE_PAGE || cell->verb->transport == IBV_QPT_UD)
		max = PAGE;
	if (part == ONE_PAGE && cell->verb->transport == IBV_QPT_UD)
		max -= GRH_BYTES;
	if (max > LONGEST)
		max = LONGEST;
	len = draw_length(cell, max, stage->mtu);
	return len || !some ? len : 1 + draw(cell, max);
}

static void choose_operands(struct cell *cell, struct op *op)
{
	struct piece *piece = &op->remote[0];

	op->imm = draw(cell, 1ULL << 32);
	fill_random(cell, op->operand, sizeof(op->operand));
	/* A comparison that holds, every other time. */
	if (cell->verb->opcode == IBV_WR_ATOMIC_CMP_AND_SWP && draw(cell, 2))
		memcpy(&op->operand[0], piece->region->image + piece->off,
		       sizeof(op->operand[0]));
}

static int make_op(struct cell *cell, struct stage *stage, struct op *op,
		   enum part part, bool some, bool denied)
{
	size_t len = op_length(cell, stage, part, some);
	size_t more = cell->verb->transport == IBV_QPT_UD ? GRH_BYTES : 0;
	bool word = len == sizeof(uint64_t) && cell->verb->remote == WRITES &&
		    (cell->verb->local == WRITES || !has_local(cell->verb));
	enum part local_part = part, remote_part = part;
	int err = 0;

	*op = (struct op){ .len = len };
	op->local_denied = denied && cell->side != REMOTE;
	op->remote_denied = denied && cell->side != LOCAL;
	if (part == ONE_PAGE && !op->local_denied)
		local_part = UPPER;
	if (part == ONE_PAGE && !op->remote_denied)
		remote_part = UPPER;
	if (has_local(cell->verb))
		err = make_pieces(cell, stage, LOCAL, local_part, len, 1,
				  op->local_denied, op->local, &op->locals);
	if (!err)
		err = make_pieces(cell, stage, REMOTE, remote_part, len + more,
				  word ? sizeof(uint64_t) : 1,
				  op->remote_denied, op->remote, &op->remotes);
	if (!err && cell->verb->opcode == WR_FLUSH) {
		op->flush_mr = draw(cell, 2);
		/* Absent pages stay absent; some are not. */
		if (draw(cell, 2))
			err = region_touch(op->remote[0].region,
					   op->remote[0].off, len);
	}
	if (!err)
		choose_operands(cell, op);
	return err;
}

static int check_dead_key(struct cell *cell, struct stage *stage,
			  const struct op *op)
{
	struct region *remote = &stage->main[REMOTE];
	struct region *local = &stage->main[LOCAL];
	struct ibv_sge sge = {
		.addr = region_address(local, local->mr_off),
		.length = 1,
		.lkey = local->mr->lkey,
	};
	struct ibv_send_wr wr = {
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_READ,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma.remote_addr =
			region_address(remote, remote->mr_off),
		.wr.rdma.rkey = op->invalidate,
	};
	struct ibv_send_wr *bad;
	struct ibv_wc wc;
	int err;

	err = ibv_post_send(stage->conn.qp[0], &wr, &bad);
	if (err)
		return fail(cell->failure, err, "cannot post a READ");
	err = rc_wait(&cell->worker->end[0].send, &wc,
		      now_ns() + cell->worker->patience_ns, cell->failure);
	if (err)
		return err;
	return wc.status == IBV_WC_REM_ACCESS_ERR ? 0 :
	       fail(cell->failure, 0, "READ by an invalidated key: %s",
		    ibv_wc_status_str(wc.status));
}

static int run_ops(struct cell *cell, struct stage *stage)
{
	bool huge = cell->kind.backing == HUGETLB;
	struct op op[2];
	int i, err;

	for (i = 0; i < (huge ? HUGE_OPS : OPS); i++) {
		err = make_op(cell, stage, &op[0], ALL, !i, false) ?:
		      ops_run(cell, &stage->conn, op, 1) ?:
		      ops_check(op, 1, false);
		if (err)
			return err;
	}
	if (cell->kind.resolution != POISON) {
		if (cell->verb->opcode == IBV_WR_SEND_WITH_INV)
			err = check_dead_key(cell, stage, &op[0]);
		return err ?: ops_check(op, 1, true);
	}
	/* One that works, and right after it one that cannot. */
	err = make_op(cell, stage, &op[0], LOWER, false, false) ?:
	      make_op(cell, stage, &op[1], ONE_PAGE, true, true);
	if (err)
		return err;
	/*
	 * An error that the requester itself finds may flush what is still
	 * outstanding; one that the responder finds comes after that.
	 */
	if (op[1].local_denied)
		err = ops_run(cell, &stage->conn, &op[0], 1) ?:
		      ops_run(cell, &stage->conn, &op[1], 1);
	else
		err = ops_run(cell, &stage->conn, op, 2);
	return err ?: ops_check(op, 2, true);
}

static int run_verb_cell(struct cell *cell)
{
	struct stage stage = { 0 };
	int err;

	err = stage_open(cell, &stage) ?: run_ops(cell, &stage);
	stage_close(&stage);
	return err;
}

/* --- the table */

struct cell *cells_add(struct cell_list *list)
{
	struct cell *more;

	if (list->count == list->room) {
		list->room = list->room ? 2 * list->room : 256;
		more = realloc(list->cells, list->room * sizeof(*more));
		if (!more)
			return NULL;
		list->cells = more;
	}
	more = &list->cells[list->count++];
	*more = (struct cell){ 0 };
	return more;
}

void kind_name(const struct kind *kind, char *name, size_t size)
{
	static const char *const backings[] = { "anon", "shmem", "hugetlb" };
	static const char *const modes[] = {
		"none", "missing", "minor", "wp", "wp-async",
	};
	static const char *const resolutions[] = {
		"", "-copy", "-zeropage", "-continue", "-move", "-unprotect",
		"-poison",
	};

	if (kind->mode == NO_FAULTS)
		snprintf(name, size, kind->pinned ? "pinned" : "resident");
	else
		snprintf(name, size, "%s-%s%s", backings[kind->backing],
			 modes[kind->mode], resolutions[kind->resolution]);
}

/* Why memory cannot be like that; NULL if it can. */
static const char *senseless_kind(const struct kind *kind)
{
	enum resolution resolution = kind->resolution;

	switch (kind->mode) {
	case MISSING:
		if (resolution == CONTINUE)
			return "CONTINUE maps what is in the page cache, and a missing page is not";
		if (resolution == UNPROTECT)
			return "a missing page is not write-protected";
		if (resolution == ZEROPAGE && kind->backing == HUGETLB)
			return "the kernel has no UFFDIO_ZEROPAGE for hugetlb";
		if (resolution == MOVE && kind->backing != ANON)
			return "UFFDIO_MOVE takes anonymous pages only";
		return NULL;
	case MINOR:
		if (kind->backing == ANON)
			return "anonymous memory has no page cache, hence no minor faults";
		if (resolution == UNPROTECT)
			return "the page is not write-protected";
		if (resolution != CONTINUE && resolution != POISON)
			return "the page cache has the page, so it cannot be filled (EEXIST)";
		return NULL;
	case WP:
		return resolution == UNPROTECT ? NULL :
		       "the page is there, so it can only be unprotected";
	default:
		return NULL;
	}
}

static const char *senseless_verb(const struct verb *verb,
				  const struct kind *kind, enum side side)
{
	if (verb->opcode == WR_FLUSH && kind->resolution == POISON)
		return "FLUSH brings no page in, so none is answered with POISON";
	if (verb->opcode == WR_FLUSH && side != REMOTE)
		return "FLUSH has no local buffer";
	if (verb->opcode == IBV_WR_ATOMIC_WRITE && side != REMOTE)
		return "the eight bytes of ATOMIC_WRITE travel in the work request";
	return NULL;
}

static int add_verb(struct cell_list *list, const struct kind *kind,
		    const struct verb *verb, enum side side)
{
	struct cell *cell = cells_add(list);
	const char *senseless;
	char name[32];

	if (!cell)
		return -ENOMEM;
	kind_name(kind, name, sizeof(name));
	*cell = (struct cell){
		.run = run_verb_cell,
		.verb = verb,
		.kind = *kind,
		.side = side,
		.table = "verbs",
		.row = verb->name,
		.column = strdup(name),
	};
	senseless = kind->mode ? senseless_verb(verb, kind, side) : NULL;
	if (senseless)
		snprintf(cell->skip, sizeof(cell->skip), "%s", senseless);
	if (kind->mode)
		snprintf(cell->name, sizeof(cell->name), "%s/%s/%s", verb->name,
			 name, side_names[side]);
	else
		snprintf(cell->name, sizeof(cell->name), "%s/%s", verb->name,
			 name);
	return cell->column ? 0 : -ENOMEM;
}

static int add_kind(struct cell_list *list, const struct kind *kind)
{
	const char *senseless = senseless_kind(kind);
	struct cell *cell;
	char name[32];
	enum side side;
	size_t i;
	int err = 0;

	if (senseless) {
		cell = cells_add(list);
		if (!cell)
			return -ENOMEM;
		kind_name(kind, name, sizeof(name));
		snprintf(cell->name, sizeof(cell->name), "any-verb/%s", name);
		snprintf(cell->skip, sizeof(cell->skip), "%s", senseless);
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(verbs); i++) {
		/* Without faults there is nothing to tell the sides apart. */
		if (kind->mode == NO_FAULTS)
			err = add_verb(list, kind, &verbs[i], BOTH);
		for (side = 0; kind->mode && !err && side < NR_SIDES; side++)
			err = add_verb(list, kind, &verbs[i], side);
		if (err)
			return err;
	}
	return 0;
}

static int add_path(struct cell_list *list, const struct verb *verb,
		    const struct kind *kind, int ip, int mtu)
{
	struct cell *cell = cells_add(list);
	char name[32], column[32];

	if (!cell)
		return -ENOMEM;
	kind_name(kind, name, sizeof(name));
	snprintf(column, sizeof(column), "ipv%d-mtu-%d", ip, mtu);
	*cell = (struct cell){
		.run = run_verb_cell,
		.verb = verb,
		.kind = *kind,
		.side = BOTH,
		.ip = ip,
		.mtu = mtu,
		.table = "paths",
		.column = strdup(column),
	};
	snprintf(cell->name, sizeof(cell->name), "%s/%s/%s", verb->name, column,
		 name);
	cell->row = malloc(64);
	if (!cell->row || !cell->column)
		return -ENOMEM;
	snprintf((char *)cell->row, 64, "%s %s", verb->name, name);
	return 0;
}

static int add_paths(struct cell_list *list)
{
	static const char *const names[] = { "send", "write", "read" };
	static const struct kind kinds[] = {
		{ .mode = NO_FAULTS },
		{ .mode = MISSING, .resolution = COPY },
		{ .backing = SHMEM, .mode = MINOR, .resolution = CONTINUE },
	};
	size_t n, k;
	int ip, mtu, err;

	for (n = 0; n < ARRAY_SIZE(names); n++)
		for (k = 0; k < ARRAY_SIZE(kinds); k++)
			for (ip = 4; ip <= 6; ip += 2)
				for (mtu = 256; mtu <= 4096; mtu *= 2) {
					err = add_path(list,
						       verb_named(names[n]),
						       &kinds[k], ip, mtu);
					if (err)
						return err;
				}
	return 0;
}

int cells_make(struct cell_list *list)
{
	static const enum fault_mode modes[] = { MISSING, MINOR, WP };
	struct kind kind;
	size_t i;
	int err;

	err = add_kind(list, &pinned) ?: add_kind(list, &resident);
	for (kind.backing = ANON; kind.backing < NR_BACKINGS; kind.backing++) {
		kind.pinned = false;
		for (i = 0; !err && i < ARRAY_SIZE(modes); i++) {
			kind.mode = modes[i];
			for (kind.resolution = COPY;
			     !err && kind.resolution <= POISON;
			     kind.resolution++)
				err = add_kind(list, &kind);
		}
		kind.mode = WP_ASYNC;
		kind.resolution = NO_RESOLUTION;
		if (!err)
			err = add_kind(list, &kind);
	}
	return err ?: add_paths(list) ?: cells_add_features(list);
}
