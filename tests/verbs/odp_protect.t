#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will take permissions and mappings away after the registration and
# see that accesses which need them, and only those, are refused.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/odp_protect
