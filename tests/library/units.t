#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will serve pages of each kind of memory to the CPU, on demand, in the
# background, out of order, late, never; from files; and from the memory of a peer. With
# the sanitizers of the compiler, too.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet ${DEBUG:+--smp 1} --hugepages 16 --timeout 2700 -- tests/library/each region file rdma
