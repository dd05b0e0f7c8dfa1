/* SPDX-License-Identifier: GPL-2.0 */
#ifndef STRESS_TWO_SIDES_H
#define STRESS_TWO_SIDES_H

/* The two devices that on-two-sides has set up, opened by one program. */
#include "machine.h"
#include "side.h"

static const char *const device[2] = { "rxe-left", "rxe-right" };

#endif
