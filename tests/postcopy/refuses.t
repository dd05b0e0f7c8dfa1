#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will give uffdmr postcopy what it cannot work with: addresses, files, ports and
# messages. One line has to say what is wrong.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/postcopy/in-guest refuses
