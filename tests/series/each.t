#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will build the kernel after each patch of the series alone, without an
# error and without a warning in what the series touches.
set -euo pipefail
. "$(dirname "$0")/tap.sh"

check 'every patch builds' "$project/scripts/kernel-series" --build-each
plan
