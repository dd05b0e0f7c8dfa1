#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will reach all of the address space by one memory region.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/implicit
