#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have a thousand queue pairs wait for a thousand pages, and for one,
# and ten for ten thousand, and see that nothing but memory is used by that; end threads,
# and processes that share an address space, while accesses wait for pages which nobody
# supplies: what was of those that are gone must go at once, and what was of others must
# stay; and take pages away as soon as the access that wanted them is over, and count how
# often userfaultfd's handler is asked for them.

cd "$(dirname "$0")/../.." || exit
# A kernel that checks all it does takes its time: there one variant will do.
exec vm/run --quiet ${DEBUG:+--smp 1} --timeout 1800 --mem 4G -- tests/in-turn \
	fault/scale "fault/sharers ${DEBUG:+-v write_200}" fault/answered
