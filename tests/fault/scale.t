#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have a thousand queue pairs wait for a thousand pages, and for one,
# and ten for ten thousand, and see that nothing but memory is used by that.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet ${DEBUG:+--smp 1} --timeout 900 --mem 4G -- build/tests/fault/scale
