#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will fork, unmap, move, protect and write-protect memory that the device has
# seen, huge pages, too, and see that it finds what the address space says by then.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --hugepages 12 --timeout 1800 -- tests/in-turn \
	invalidate/{fork,protect,write_fault,zap,hugetlb_access}
