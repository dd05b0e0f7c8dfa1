#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will send messages of UC and UD to pages that come late and to pages
# that never come: those arrive, these are lost after a second, and counted.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 300 -- build/tests/fault/unreliable
