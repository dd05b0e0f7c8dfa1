#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will let the device write pages that the page table has as clean, have
# them reclaimed and written back, and find what was written; and punch holes into the file
# below a registered area, shorten it and make it longer again: memfd, hugetlb and ext4.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --hugepages 12 --timeout 900 -- \
	tests/hmm/on-ext4 tests/in-turn invalidate/{dirty,punch}
