#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will end threads, and processes that share an address space, while
# accesses wait for pages which nobody supplies: what was of those that are gone
# must go at once, and what was of others must stay.

cd "$(dirname "$0")/../.." || exit
# A kernel that checks all it does takes its time: there one variant will do.
exec vm/run --quiet ${DEBUG:+--smp 1} --timeout 900 -- build/tests/fault/sharers ${DEBUG:+-v write_200}
