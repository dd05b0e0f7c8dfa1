#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will take pages away as soon as the access that wanted them is over, and
# count how often userfaultfd's handler is asked for them.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet ${DEBUG:+--smp 1} --timeout 300 -- build/tests/fault/answered
