#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will do what race.t does while allocations of the driver fail:
# accesses may fail then, but no byte may be wrong. Only the debug kernel
# (DEBUG=1) has fault injection.

cd "$(dirname "$0")/../.." || exit
if [ "${DEBUG-}" != 1 ]; then
	echo '1..0 # SKIP fault injection is in the debug kernel only (DEBUG=1)'
	exit
fi
exec vm/run --quiet --nodes 2 --timeout 900 --kmemleak -- tests/stress/with-swap \
	tests/stress/faults-on build/tests/stress/race 15
