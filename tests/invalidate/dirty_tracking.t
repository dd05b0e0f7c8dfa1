#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will write protect a registered area, let peers and the CPU write to it,
# and read back exactly the set of pages that were written.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet ${DEBUG:+--smp 1} --hugepages 24 --timeout 900 -- \
	build/tests/invalidate/dirty_tracking
