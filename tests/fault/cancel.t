#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will end accesses that wait for pages which nobody supplies, in every
# way that there is: each must be done at once.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- build/tests/fault/cancel
