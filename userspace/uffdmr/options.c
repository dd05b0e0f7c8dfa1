// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "clock.h"
#include "command.h"
#include "parse.h"

uint64_t option_number(struct argp_state *state, const char *option,
		       const char *text, uint64_t min, uint64_t max)
{
	uint64_t value = min;

	if (parse_number(text, min, max, &value))
		argp_failure(state, STATUS_USAGE, 0,
			     "--%s wants a number from %" PRIu64 " to %" PRIu64 ", not '%s'",
			     option, min, max, text);
	return value;
}

uint64_t option_time(struct argp_state *state, const char *option,
		     const char *text, uint64_t max_ns)
{
	uint64_t ns = 0;

	if (parse_time(text, max_ns, &ns))
		argp_failure(state, STATUS_USAGE, 0,
			     "--%s wants a time like 250us, 10ms or 2s, up to %" PRIu64 "s, not '%s'",
			     option, (uint64_t)(max_ns / NSEC_PER_SEC), text);
	return ns;
}

uint64_t option_size(struct argp_state *state, const char *option,
		     const char *text, uint64_t min, uint64_t max)
{
	uint64_t bytes = 0;

	if (parse_size(text, max, &bytes) || bytes < min)
		argp_failure(state, STATUS_USAGE, 0,
			     "--%s wants a size like 64K or 16M, %" PRIu64 " to %" PRIu64 " bytes, not '%s'",
			     option, min, max, text);
	return bytes;
}

void option_list(struct argp_state *state, const char *option, char *text,
		 struct option_list *list,
		 uint64_t (*one)(struct argp_state *state, const char *option,
				 const char *text, uint64_t min, uint64_t max),
		 uint64_t min, uint64_t max)
{
	char *word;

	for (list->n = 0; (word = strsep(&text, ",")); list->n++) {
		if (list->n == LIST_MAX)
			argp_failure(state, STATUS_USAGE, 0,
				     "--%s takes %d at the most", option,
				     LIST_MAX);
		list->values[list->n] = one(state, option, word, min, max);
	}
}

static const struct argp_option options[] = {
	{ "device", 'd', "NAME", 0, "RDMA device (default: the first one)", 1 },
	{ "port", 'p', "N", 0, "Port of the device (default: 1)", 1 },
	{ "gid-index", 'g', "N", 0,
	  "GID of the port (default: the first RoCE v2 one that connects, IPv4 before IPv6)",
	  1 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct rdma_options *rdma = state->input;

	switch (key) {
	case 'd':
		rdma->device = arg;
		return 0;
	case 'p':
		rdma->port = option_number(state, "port", arg, 1, UINT8_MAX);
		return 0;
	case 'g':
		rdma->gid_index = option_number(state, "gid-index", arg, 0,
						UINT8_MAX);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

const struct argp rdma_argp = { .options = options, .parser = parse };
