#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will punch holes into the file below a registered area, shorten it and
# make it longer again: memfd, hugetlb and ext4.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --hugepages 12 --timeout 900 -- \
	tests/hmm/on-ext4 build/tests/invalidate/punch
