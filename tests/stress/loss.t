#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will send every verb over a line that loses, doubles and reorders
# packets, and see that each was executed once, with the right data.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- \
	tests/stress/on-two-sides build/tests/stress/loss
