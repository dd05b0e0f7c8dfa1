// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "failure.h"

int fail(struct failure *failure, int err, const char *fmt, ...)
{
	size_t size = sizeof(failure->text);
	va_list ap;
	int n;

	if (!failure->text[0]) {
		va_start(ap, fmt);
		n = vsnprintf(failure->text, size, fmt, ap);
		va_end(ap);
		if (err && n >= 0 && (size_t)n < size)
			snprintf(failure->text + n, size - n, ": %s",
				 strerror(err));
	}
	return err ? -err : -EIO;
}
