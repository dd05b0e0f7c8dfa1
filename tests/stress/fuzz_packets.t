#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will send malformed RoCE packets to queue pairs in use, and see that
# nothing changes but what their keys give access to.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- \
	tests/stress/on-two-sides --good-line build/tests/stress/fuzz_packets 8
