#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will cut the line for ten seconds in the middle of a move, and see that nothing
# is lost; and move a workload over a line that is slow, and loses, doubles and reorders
# packets.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/postcopy/in-guest line_cut bad_line
