#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will write to the shared indexes of a work queue what no library
# writes there, and see that the kernel comes to rest.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- build/tests/stress/rings
