#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will move the pages of an area that the device has read and written
# (NUMA migration, soft offlining), and see that its accesses follow.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --nodes 2 --hugepages 24 --timeout 900 -- \
	build/tests/invalidate/migrate
