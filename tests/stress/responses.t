#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will answer a requester by hand, at odd times, and see that it takes
# no wrong answer for a right one.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- \
	tests/stress/on-two-sides --good-line build/tests/stress/responses
