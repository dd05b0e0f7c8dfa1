#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have requests come again as fast as RNR NAKs allow, while the CPUs are
# taken away from everybody time and again, and see that none is lost.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 300 -- build/tests/fault/rnr_stall
