#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have the kernel do to pages that the device has seen what it does of its
# own accord: swap them out, move, merge, collapse and split them, charge them to a
# cgroup, and lose them to memory failure; and see that accesses follow, or are refused.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --hugepages 24 --timeout 1800 -- tests/in-turn \
	invalidate/{thp,ksm,compact,swap,memcg,hwpoison}
