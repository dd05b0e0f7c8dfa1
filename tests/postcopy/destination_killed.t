#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have the workload go on at the source, with the destination alive and with
# it killed, and see that just what was acknowledged at those is lost, and counted; then move
# it again. Before it has moved it goes on at the source by itself, and nothing is lost.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/postcopy/in-guest destination_killed abandoned
