// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "table.h"

#define MAGIC		0x7566666d722d6b76ULL
#define BLOCK		4096UL
#define CELLS_SHARE	32	/* of the table */

struct table_map table_map(size_t length)
{
	size_t cell_bytes = length / CELLS_SHARE / BLOCK * BLOCK;
	struct table_map map = {
		.counters = BLOCK,
		.slots = 2 * BLOCK,
		.cells = 3 * BLOCK,
		.n_cells = cell_bytes / sizeof(uint64_t),
		.records = 3 * BLOCK + cell_bytes,
	};

	map.n_records = (length - map.records) / sizeof(struct record);
	return map;
}

bool table_valid(const struct table_header *header, size_t length)
{
	return header->magic == MAGIC && header->length == length;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ULL;
	return x ^ x >> 29;
}

static uint64_t checksum(const struct record *record)
{
	const uint64_t *word = (const uint64_t *)record;
	uint64_t sum = 1;

	for (; word < &record->checksum; word++)
		sum = mix(sum + *word);
	return sum;
}

void record_make(struct record *record, uint64_t key, uint64_t version)
{
	uint64_t x = mix(key + 1) + mix(version + 0x1234567);
	size_t i;

	record->key = key;
	record->version = version;
	for (i = 0; i < sizeof(record->payload) / sizeof(uint64_t); i++)
		record->payload[i] = mix(x + i);
	record->checksum = checksum(record);
}

bool record_valid(const struct record *record, uint64_t key)
{
	return record->key == key && record->checksum == checksum(record);
}

void table_fill(void *table, size_t length)
{
	struct table_map map = table_map(length);
	struct table_header header = { .magic = MAGIC, .length = length };
	struct record *records = (void *)((char *)table + map.records);
	size_t i;

	memset(table, 0, map.records);
	memcpy(table, &header, sizeof(header));
	for (i = 0; i < map.n_records; i++)
		record_make(&records[i], i, 0);
	memset(&records[i], 0, length - map.records - i * sizeof(*records));
}
