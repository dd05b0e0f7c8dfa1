// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The tracepoints themselves.
 */

#include "rxe.h"

#define CREATE_TRACE_POINTS
#include "rxe_odp_trace.h"
