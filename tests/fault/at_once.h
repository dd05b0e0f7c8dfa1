/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FAULT_AT_ONCE_H
#define FAULT_AT_ONCE_H

#include "clock.h"
#include "machine.h"

/*
 * 100 ms, and an emulated CPU that has other things to do. What is late otherwise
 * never comes.
 */
#define AT_ONCE		((is_debug_kernel() ? 5 : 1) * NSEC_PER_SEC)

/* A latency for pages that do not come while the test lasts. */
#define NEVER		(3600 * NSEC_PER_SEC)

/* One step, that has to be done at once. */
#define AT_ONCE_DO(call) do { \
	uint64_t begun_ = now_ns(); \
	ASSERT_EQ(0, call); \
	ASSERT_LT(now_ns() - begun_, AT_ONCE) TH_LOG(#call); \
} while (0)

#endif
