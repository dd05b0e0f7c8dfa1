#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will fill arguments of verbs and mapped work queues with nonsense,
# and see that the kernel is well and the processes end.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- build/tests/stress/fuzz_verbs 8
