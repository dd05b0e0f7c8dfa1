#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will fill arguments of verbs and mapped work queues with nonsense, and see
# that the kernel is well and the processes end; write to the shared indexes of a work
# queue what no library writes there, and see that the kernel comes to rest; and use keys
# and ranges that give no access, and see the error that the specification names, and
# memory as it was.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- tests/in-turn \
	'stress/fuzz_verbs 8' stress/rings stress/keys
