#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will end accesses that wait for pages which nobody supplies, in every
# way that there is: each must be done at once.

cd "$(dirname "$0")/../.." || exit
# A kernel that checks all it does takes its time: there each side waits once, for many
# pages or for one.
exec vm/run --quiet --timeout 900 -- build/tests/fault/cancel \
	${DEBUG:+-V request_200 -V write_200 -V read_1 -V response_1}
