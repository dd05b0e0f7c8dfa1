#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will compare cold transfers with what they are made of: the handler's
# time, and the transfer of pages that are there.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- build/tests/fault/ahead
