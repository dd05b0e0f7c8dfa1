#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will throw pages away behind the device's back (MADV_DONTNEED,
# MADV_REMOVE) and see that the next access finds what is there by then.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/odp_drop
