#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run the kernel's own gup_test in each of its modes.

set -euo pipefail

cd "$(dirname "$0")/../.."
exec vm/run --quiet --smp 1 --timeout 600 --mem 2G -- tests/hmm/each-of gup_test -u -a -U -b -L
