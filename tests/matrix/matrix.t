#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run every verb on every kind of memory in every mode of
# userfaultfd, with random ranges, and compare each byte on both sides. What it
# prints at the end is a table that says which combinations a kernel gets right.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet ${DEBUG:+--smp 1} --timeout 1800 --hugepages 24 -- build/tests/matrix/matrix --iova
