/* SPDX-License-Identifier: GPL-2.0 */
#ifndef COMMAND_H
#define COMMAND_H

#include <argp.h>
#include <stddef.h>
#include <stdint.h>

/* What the command exits with; uffdmr(1) documents it. */
enum exit_status {
	STATUS_OK = 0,
	STATUS_WRONG = 1,	/* an access failed, or bytes differ */
	STATUS_USAGE = 2,
	STATUS_UNABLE = 3,	/* this machine lacks what it takes */
	STATUS_ERROR = 4,	/* anything else, a deadline for one */
};

struct command {
	const char *name;
	const char *summary;
	/* argv[0] is "uffdmr NAME"; returns an exit status. */
	int (*run)(int argc, char **argv);
};

extern const struct command bench_command;
extern const struct command demo_command;
extern const struct command postcopy_command;
extern const struct command run_command;
extern const struct command stat_command;

/* --device, --port and --gid-index: a child of a command's argp. */
struct rdma_options {
	const char *device;
	uint8_t port;
	int gid_index;
};

#define RDMA_OPTIONS_DEFAULT	{ .port = 1, .gid_index = -1 }

extern const struct argp rdma_argp;

/* For argp parsers: numbers, times and sizes, or one line on stderr and exit. */
uint64_t option_number(struct argp_state *state, const char *option,
		       const char *text, uint64_t min, uint64_t max);
uint64_t option_time(struct argp_state *state, const char *option,
		     const char *text, uint64_t max_ns);
uint64_t option_size(struct argp_state *state, const char *option,
		     const char *text, uint64_t min, uint64_t max);

/* A list, "A,B,C", of what @one takes, which one of the above is or calls. */
#define LIST_MAX	16
struct option_list {
	uint64_t values[LIST_MAX];
	size_t n;
};

void option_list(struct argp_state *state, const char *option, char *text,
		 struct option_list *list,
		 uint64_t (*one)(struct argp_state *state, const char *option,
				 const char *text, uint64_t min, uint64_t max),
		 uint64_t min, uint64_t max);

#endif
