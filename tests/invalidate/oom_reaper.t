#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have a process killed for want of memory while others hold its
# address space and its memory region, and see the OOM reaper take the registered
# memory too.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --allow-report 'invoked oom-killer' --timeout 900 -- \
	build/tests/invalidate/oom_reaper
