/* SPDX-License-Identifier: GPL-2.0 */
#ifndef UTIL_H
#define UTIL_H

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#endif

#ifndef __printf
#define __printf(format_arg, first)	\
	__attribute__((__format__(__printf__, format_arg, first)))
#endif

#endif
