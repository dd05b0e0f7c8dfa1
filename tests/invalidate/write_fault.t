#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have the device read pages that it shares with others (the zero
# page, a file, pages that userfaultfd protects) and then write, and see that
# nothing but the area has changed, and not before it may.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --hugepages 12 --timeout 900 -- build/tests/invalidate/write_fault
