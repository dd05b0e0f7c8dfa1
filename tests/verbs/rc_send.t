#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will SEND from and RECV into absent pages, in one piece, in lists
# of pieces, and inline.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/rc_send
