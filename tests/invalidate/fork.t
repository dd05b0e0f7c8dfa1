#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will fork a child that shares the pages of a registered area, and let
# device, parent and child write: none sees a private page of the other.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --hugepages 12 --timeout 900 -- build/tests/invalidate/fork
