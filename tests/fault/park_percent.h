/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FAULT_PARK_PERCENT_H
#define FAULT_PARK_PERCENT_H

/* The share of a QP's timeout that a request may wait for a page. */

#include <errno.h>
#include <stdio.h>

#define PARK_PERCENT		"/sys/module/rdma_rxe/parameters/odp_park_percent"
#define PARK_PERCENT_DEFAULT	25

/* Returns 0 or a negative errno. */
static inline int park_percent_set(int percent)
{
	FILE *file = fopen(PARK_PERCENT, "w");
	int err = 0;

	if (!file)
		return -errno;
	fprintf(file, "%d", percent);
	/* What is refused is refused by the write of it all. */
	if (fclose(file))
		err = -errno;
	return err;
}

/* Returns it or a negative errno. */
static inline int park_percent_get(void)
{
	FILE *file = fopen(PARK_PERCENT, "r");
	int percent;

	if (!file)
		return -errno;
	if (fscanf(file, "%d", &percent) != 1)
		percent = -EIO;
	fclose(file);
	return percent;
}

#endif
