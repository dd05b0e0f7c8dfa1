#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will feed consoles of healthy and of sick kernels to the search for
# reports: of every kind that vm/run knows one is found, and nothing else.
. "$(dirname "$0")/tap.sh"
/usr/bin/python3 "$project/tests/harness/parser.py" "$project/vm"
