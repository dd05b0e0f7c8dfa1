#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will build a kernel that is built, with words that the kernel's own
# make knows, too, and see that they do not reach it: there is nothing to do.
. "$(dirname "$0")/tap.sh"

output=$(make -C "$project" --no-print-directory kernel STOCK=1 DEBUG=1 V=1 2>&1)
result $? 'make kernel STOCK=1 DEBUG=1 V=1' "$output"
result "$(grep -q '^kernel-stock: 0 steps' <<< "$output"; echo $?)" 'nothing to do' "$output"
plan
