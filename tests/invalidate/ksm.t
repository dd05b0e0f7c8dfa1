#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will let KSM merge pages that the device has written, and see that it
# reads the merged page and never writes it.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/invalidate/ksm
