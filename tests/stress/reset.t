#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will reset queue pairs while packets arrive for them, slowly, and then
# destroy those who have sent the packets.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 300 -- tests/stress/slow-down rxe_queue_reset build/tests/stress/reset
