#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will kill the source while most pages are missing: the destination has to name
# them, and to go on when the source is back with its memory. If records in that are broken
# meanwhile, or old ones are put there, clients and the destination have to count just those.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/postcopy/in-guest source_killed broken stale
