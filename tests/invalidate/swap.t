#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will swap out what the device has read and written, and see it come in
# again unchanged for the CPU and for the device.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/invalidate/swap
