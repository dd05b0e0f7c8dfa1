#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will connect queue pairs again after an access that failed half way.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/qp_reset
