#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will let the device write pages that the page table has as clean, have
# them reclaimed and written back, and find what was written.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- \
	tests/hmm/on-ext4 build/tests/invalidate/dirty
