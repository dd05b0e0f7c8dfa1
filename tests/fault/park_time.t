#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will set the share of its timeout that a QP lets a request wait for a page,
# and see when the RNR NAK comes, or that it does not.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 300 -- build/tests/fault/park_time
