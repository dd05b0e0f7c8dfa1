#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will take permissions and mappings away from memory that the device
# knows, and see the right error on the side that the memory is on, and nothing
# moved.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --hugepages 12 --timeout 900 -- build/tests/invalidate/protect
