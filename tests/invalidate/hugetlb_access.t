#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will register huge pages with IBV_ACCESS_HUGETLB, and find every byte
# at its place.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --hugepages 12 --timeout 900 -- \
	build/tests/invalidate/hugetlb_access
