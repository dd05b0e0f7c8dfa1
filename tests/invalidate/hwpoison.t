#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will lose pages of an area to memory failure, and see that accesses to them are
# refused, and all others are not.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --hugepages 24 --timeout 900 -- build/tests/invalidate/hwpoison
