#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will destroy queue pairs while packets arrive for them, and those who
# deliver the packets are slow to go on after that.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 3 --timeout 300 -- tests/stress/slow-down rxe_sched_task \
	build/tests/stress/destroy 10
