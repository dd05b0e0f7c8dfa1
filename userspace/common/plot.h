/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PLOT_H
#define PLOT_H

#include <stdio.h>

#include "failure.h"

/*
 * Have gnuplot draw @path, whose end says how: ".svg" or ".png". Returns where to
 * write its commands to, with the data in them ("$name << EOD"); NULL on failure.
 */
FILE *plot_open(const char *path, struct failure *failure);

/* 0, or a negative errno if there is no picture. */
int plot_close(FILE *plot, const char *path, struct failure *failure);

/*
 * Whether plot_open() would take the path, for those who ask before long work: 0, or
 * -EINVAL if it is no name of a picture, -ENOPKG if there is no gnuplot, and else why
 * it cannot be written.
 */
int plot_check(const char *path, struct failure *failure);

#endif
