/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TABLE_H
#define TABLE_H

/*
 * The key-value table, as clients see it by RDMA: a header, a counter a client, slots
 * that all of them compare and swap, cells that only the CPU changes, and records.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

#define TABLE_MIN	0x100000UL	/* 1M */
#define TABLE_MAX	0x1000000000UL	/* 64G */
#define TABLE_CLIENTS	64	/* counters */
#define TABLE_SLOTS	64
#define TABLE_LINE	64	/* bytes that a counter, or a slot, has for itself */

struct record {
	uint64_t key;
	uint64_t version;
	uint64_t payload[29];
	uint64_t checksum;	/* of all before it */
};

struct table_header {
	uint64_t magic;
	uint64_t length;	/* of the table, in bytes */
	uint64_t complete;	/* the workload has moved, and no page is missing */
};

/* Where things are, in bytes from the table's begin. */
struct table_map {
	size_t counters, slots;
	size_t cells, n_cells;	/* of 8 bytes */
	size_t records, n_records;
};

struct table_map table_map(size_t length);

void table_fill(void *table, size_t length);

/* Whether it is a table's header, of @length bytes. */
bool table_valid(const struct table_header *header, size_t length);

void record_make(struct record *record, uint64_t key, uint64_t version);

/* Its checksum is right, and it is the record of @key. */
bool record_valid(const struct record *record, uint64_t key);

/* --- the CPU's part of the workload */

/* Its registers. */
struct cpu_state {
	uint64_t steps;
	uint64_t random;
};

#define CPU_STATE_INIT	{ .random = 0x9e3779b97f4a7c15ULL }

struct cpu;

/* A thread that changes cells, from @state on, until it is stopped. */
struct cpu *cpu_start(void *table, size_t length, const struct cpu_state *state,
		      struct failure *failure);

/* Where it is then. NULL has no thread. */
void cpu_stop(struct cpu *cpu, struct cpu_state *state);

/* How many cells are not what @state->steps steps leave; -ENOMEM. */
long cpu_wrong_cells(const void *table, size_t length,
		     const struct cpu_state *state);

#endif
