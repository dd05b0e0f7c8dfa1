#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will look at accesses that wait for their pages, with the commands of
# docs/hangs.md.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 300 -- tests/fault/see
