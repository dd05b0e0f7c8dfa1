#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will use keys and ranges that give no access, and see the error that
# the specification names, and memory as it was.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/stress/keys
