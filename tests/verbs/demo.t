#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run uffdmr demo: right bytes, the report, late pages, the
# deadline, and one clear line for everything that may be missing.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/verbs/demo patched
