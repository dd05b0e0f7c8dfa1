#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will use objects of verbs that others are rarely tested with: implicit and
# very large memory regions, regions that are registered again, memory windows, and
# queue pairs that are reset half way.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/in-turn \
	verbs/{implicit,large,rereg,mw,qp_reset}
