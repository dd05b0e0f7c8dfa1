/* SPDX-License-Identifier: GPL-2.0 */
#ifndef POSTCOPY_H
#define POSTCOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command.h"
#include "failure.h"

#define POSTCOPY_PORT	"18590"

enum postcopy_mode { MODE_STOP, MODE_PRECOPY, MODE_POSTCOPY, MODE_HYBRID, MODES };

extern const char *const postcopy_modes[MODES];

struct postcopy_options {
	const char *port;
	const char **addresses;		/* one, or the servers of a client */
	size_t n_addresses;
	uint64_t timeout_ns;
	bool json;
	/* source */
	size_t size;
	const char *memory;
	bool resume;
	/* destination */
	enum postcopy_mode mode;
	unsigned int rounds;
	uint64_t rate;
	uint64_t delay_ns;
	const char *plot;
	/* client */
	unsigned int clients;
	unsigned int ops;		/* a second, of all; 0: no limit */
	uint64_t time_ns;
};

/* Each returns an exit status, and describes the failure if it is none of a report. */
int source_run(const struct postcopy_options *options, struct failure *failure);
int destination_run(const struct postcopy_options *options,
		    struct failure *failure);
int client_run(const struct postcopy_options *options, struct failure *failure);

/* Something happened that a user or a script may wait for: a line on stderr, at once. */
void postcopy_say(const char *fmt, ...) __printf(1, 2);

#endif
