#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will send malformed RoCE packets to queue pairs in use, and see that
# nothing changes but what their keys give access to; and answer a requester by hand, at
# odd times, and see that it takes no wrong answer for a right one.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/stress/on-two-sides --good-line \
	tests/in-turn 'stress/fuzz_packets 8' stress/responses
