#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will access pages that come 30 s late, with queue pairs that would give
# up after a tenth of a second, by each verb and with each min_rnr_timer.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 --append 'memmap=64M!1G' -- \
	tests/verbs/on-dax build/tests/fault/late
