#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will end accesses that wait for pages which nobody supplies in several
# ways at once, and in any order: each must be done at once, and leave nothing.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 ${SEED:+--env SEED} -- build/tests/fault/cancel_order
