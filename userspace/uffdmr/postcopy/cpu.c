// SPDX-License-Identifier: GPL-2.0
/*
 * What the CPU does in the table, beside the clients: a thread with registers of its
 * own, which move with the workload. From the number of its steps alone follows what
 * every cell has to be.
 *
 * @stop is all that is shared; the state is the thread's until it has been joined.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "table.h"

#define STEPS		4	/* between two naps of */
#define NAP_US		2000

struct cpu {
	pthread_t thread;
	_Atomic bool stop;
	struct cpu_state state;
	uint64_t *cells;
	size_t n;
};

static void step(struct cpu_state *state, uint64_t *cells, size_t n)
{
	uint64_t x = state->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	cells[x % n] += x;
	state->random = x;
	state->steps++;
}

static void *run(void *arg)
{
	struct cpu *cpu = arg;
	int i;

	while (!cpu->stop) {
		for (i = 0; i < STEPS; i++)
			step(&cpu->state, cpu->cells, cpu->n);
		usleep(NAP_US);
	}
	return NULL;
}

struct cpu *cpu_start(void *table, size_t length, const struct cpu_state *state,
		      struct failure *failure)
{
	struct table_map map = table_map(length);
	struct cpu *cpu = calloc(1, sizeof(*cpu));
	int err = ENOMEM;

	if (cpu) {
		cpu->cells = (void *)((char *)table + map.cells);
		cpu->n = map.n_cells;
		cpu->state = *state;
		err = pthread_create(&cpu->thread, NULL, run, cpu);
	}
	if (!err)
		return cpu;
	fail(failure, err, "cannot start a thread");
	free(cpu);
	return NULL;
}

void cpu_stop(struct cpu *cpu, struct cpu_state *state)
{
	if (!cpu)
		return;
	cpu->stop = true;
	pthread_join(cpu->thread, NULL);
	*state = cpu->state;
	free(cpu);
}

long cpu_wrong_cells(const void *table, size_t length,
		     const struct cpu_state *state)
{
	struct table_map map = table_map(length);
	const uint64_t *cells = (const void *)((const char *)table + map.cells);
	struct cpu_state replay = CPU_STATE_INIT;
	uint64_t *want = calloc(map.n_cells, sizeof(*want));
	long wrong = 0;
	size_t i;

	if (!want)
		return -ENOMEM;
	while (replay.steps < state->steps)
		step(&replay, want, map.n_cells);
	for (i = 0; i < map.n_cells; i++)
		wrong += cells[i] != want[i];
	free(want);
	return wrong;
}
