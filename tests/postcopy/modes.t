#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will move a workload under load between two namespaces in each of the four
# modes, see that nothing is lost, and that the report adds up.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/postcopy/in-guest modes
