#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will read and write through memory windows, and past their bounds.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/mw
