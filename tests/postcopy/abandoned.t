#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will kill destinations that have not taken the workload over yet: it goes on at
# the source by itself, and clients lose nothing.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- tests/postcopy/in-guest abandoned
