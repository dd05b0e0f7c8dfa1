// SPDX-License-Identifier: GPL-2.0
/*
 * FETCH_ADD and CMP_SWP on absent pages, with an absent page for the result
 * too, at the first and the last place of a page.
 */
#include "rc_fixture.h"

#define PAGES	8

static const size_t places[] = { 0, 8, 2048, 4088 };

static uint64_t value_at(const struct mem *mem, size_t offset)
{
	uint64_t value;

	memcpy(&value, mem->image + offset, sizeof(value));
	return value;
}

/* One atomic of every page at a place of it, the results side by side. */
static int atomics(struct lab *lab, struct mem *result, struct mem *target,
		   enum ibv_wr_opcode opcode, bool match)
{
	size_t i, at;
	int err;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		struct rc_op op;
		uint64_t old, new;

		at = i * lab->page_size + places[i];
		/* The last result lies across two pages. */
		op = mem_op(opcode, result, i * lab->page_size + places[i] +
			    (i == ARRAY_SIZE(places) - 1 ? 3 : 0), target, at,
			    sizeof(old));
		old = value_at(target, at);
		if (opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
			op.compare_add = 0x100000001 + i;
			new = old + op.compare_add;
		} else {
			op.compare_add = old + !match;
			op.swap = ~old;
			new = match ? op.swap : old;
		}
		mem_expect(target, at, &new, sizeof(new));
		mem_expect(result, op.laddr - result->iova, &old, sizeof(old));
		err = lab_run(lab, &op);
		if (err)
			return err;
	}
	return mem_check_messages(lab, target, "target", 0, at + 8, 1) ?:
	       mem_check_messages(lab, result, "result", 0, at + 8 + 3, 1) ?:
	       mem_check(lab, target, "target") ?:
	       mem_check(lab, result, "result");
}

static int run(struct lab *lab, enum mem_kind result_kind,
	       enum mem_kind target_kind, enum ibv_wr_opcode opcode,
	       bool match)
{
	struct mem *result, *target;

	result = mem_new(lab, result_kind, PAGES, ACCESS_ALL);
	target = mem_new(lab, target_kind, PAGES, ACCESS_ALL);
	if (!result || !target)
		return -1;
	return atomics(lab, result, target, opcode, match);
}

TEST_F(rc, fetch_add)
{
	DO(&self->lab, run(&self->lab, variant->local, variant->remote,
			   IBV_WR_ATOMIC_FETCH_AND_ADD, true));
}

TEST_F(rc, cmp_swp_equal)
{
	DO(&self->lab, run(&self->lab, variant->local, variant->remote,
			   IBV_WR_ATOMIC_CMP_AND_SWP, true));
}

TEST_F(rc, cmp_swp_different)
{
	DO(&self->lab, run(&self->lab, variant->local, variant->remote,
			   IBV_WR_ATOMIC_CMP_AND_SWP, false));
}

/* Many additions to one place: each is done once. */
TEST_F(rc, fetch_add_count)
{
	struct lab *lab = &self->lab;
	struct mem *result, *target;
	uint64_t start, i;

	NEW_MEM(result, variant->local, 1);
	NEW_MEM(target, variant->remote, 1);
	start = value_at(target, 16);
	for (i = 0; i < 50; i++) {
		struct rc_op op = mem_op(IBV_WR_ATOMIC_FETCH_AND_ADD, result,
					 8, target, 16, 8);
		uint64_t new = start + i + 1;

		op.compare_add = 1;
		DO(lab, lab_run(lab, &op));
		mem_expect(target, 16, &new, sizeof(new));
		new--;
		mem_expect(result, 8, &new, sizeof(new));
		DO(lab, mem_check(lab, target, "target"));
		DO(lab, mem_check(lab, result, "result"));
	}
}

TEST_HARNESS_MAIN
