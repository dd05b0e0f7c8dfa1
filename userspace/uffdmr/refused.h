/* SPDX-License-Identifier: GPL-2.0 */
#ifndef REFUSED_H
#define REFUSED_H

#include <stddef.h>
#include <stdint.h>

#include "rdma_dev.h"

/*
 * Say in @text why @wc says that access to @memory was refused, which userfaultfd
 * owned: "RDMA READ of a page". @asked: how many pages it was asked for meanwhile,
 * which tells a driver that cannot wait for it from one that did.
 */
void refused(char *text, size_t size, const struct rdma_dev *dev,
	     const char *memory, const struct ibv_wc *wc, uint64_t asked);

#endif
