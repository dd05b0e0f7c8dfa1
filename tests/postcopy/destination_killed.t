#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will kill the destination, have the workload go on at the source, and see that
# just what was acknowledged at the destination is lost, and counted; then move it again.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- tests/postcopy/in-guest destination_killed
