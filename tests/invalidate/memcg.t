#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have the device fault memory in, and find it charged to the cgroup
# of the process that has registered it.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/invalidate/memcg
