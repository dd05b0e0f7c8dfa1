#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will break records in the memory of a source that was killed, and see that the
# clients and the destination count just those.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- tests/postcopy/in-guest broken
