#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will reregister regions with on-demand paging.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/rereg
