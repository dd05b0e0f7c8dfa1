#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have uffdmr run a program on a kernel without this project's series, and
# see that it works there, with memory as it is.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 600 --kernel build/kernel-stock/bzImage -- tests/uffdmr/stock
