#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will destroy queue pairs that wait for pages while their packets are on
# a line that is slow and lets them overtake each other: each must go at once.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 ${SEED:+--env SEED} -- \
	tests/stress/on-two-sides --slow-line build/tests/stress/destroy_line
