/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
#ifndef UFFDMR_ERROR_H
#define UFFDMR_ERROR_H

/*
 * Sets errno to @err and this thread's message, which the words of @err are
 * appended to. Returns -1.
 */
int uffdmr_set_error(int err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
