#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will use the interactive shell through a terminal: window size, Ctrl-C,
# job control, status.
. "$(dirname "$0")/tap.sh"
use_stock_kernel
/usr/bin/python3 "$project/tests/harness/shell.py"
