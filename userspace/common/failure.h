/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FAILURE_H
#define FAILURE_H

#include "util.h"

/*
 * What went wrong, in words, for the one place that reports it. Functions
 * deep inside describe the failure and return a negative errno.
 */
struct failure {
	char text[512];
};

/*
 * Describe a failure and return -@err. Only the first description is kept:
 * what fails while cleaning up afterwards is a consequence. The words of @err
 * are appended unless @err is 0, which returns -EIO.
 */
__printf(3, 4)
int fail(struct failure *failure, int err, const char *fmt, ...);

#endif
