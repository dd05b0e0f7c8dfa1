#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will FLUSH a file on DAX through on-demand paging, and see that all that
# was asked for, and no more, is written back from the processor's caches.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 300 --append 'memmap=64M!1G' -- \
	tests/verbs/on-dax build/tests/verbs/flush_dax
