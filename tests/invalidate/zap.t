#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will throw pages away, unmap, replace and move memory that the device
# has read and written, and see that its next access follows the page table.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --hugepages 12 --timeout 900 -- build/tests/invalidate/zap
