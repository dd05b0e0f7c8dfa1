#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will answer faults with UFFDIO_ZEROPAGE and see that the shared zero
# page is read and never written.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/odp_zeropage
