#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will kill the source while most pages are missing: the destination has to name
# them, and to go on when the source is back with its memory.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- tests/postcopy/in-guest source_killed
