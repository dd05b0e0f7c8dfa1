#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have the pages of an area that the device has read and written moved by
# compaction, and see that its accesses follow.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/invalidate/compact
