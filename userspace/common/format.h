/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FORMAT_H
#define FORMAT_H

#include <stddef.h>
#include <stdint.h>

/*
 * What parse.h reads, in the largest unit that takes no fraction: "100us", "64K".
 * Both return @text.
 */
const char *format_time(uint64_t ns, char *text, size_t size);
const char *format_size(uint64_t bytes, char *text, size_t size);

#endif
