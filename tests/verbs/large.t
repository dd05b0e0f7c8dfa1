#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will use and flush memory regions of several GiB over sparse memory.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/large
