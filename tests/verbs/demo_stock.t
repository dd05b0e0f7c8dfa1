#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run uffdmr demo on a kernel without this project's series and
# see that it says what failed and why.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 --kernel build/kernel-stock/bzImage -- \
	tests/verbs/demo stock
