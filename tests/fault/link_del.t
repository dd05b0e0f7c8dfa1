#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will remove a device, and the netdev below one, while accesses wait for
# pages which nobody supplies, and compare how long that takes without any.

cd "$(dirname "$0")/../.." || exit
# A kernel that checks all it does takes its time: there each order once.
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/fault/link_del \
	${DEBUG:+-r link_del.link.then_kill -r link_del.netdev.after_kill}
