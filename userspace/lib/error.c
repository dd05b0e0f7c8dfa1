// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "uffdmr.h"

static __thread char message[512];

int uffdmr_set_error(int err, const char *fmt, ...)
{
	char words[128];
	va_list args;
	size_t n;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	n = strlen(message);
	snprintf(message + n, sizeof(message) - n, ": %s",
		 strerror_r(err, words, sizeof(words)));
	errno = err;
	return -1;
}

const char *uffdmr_error(void)
{
	return message;
}
