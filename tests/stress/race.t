#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will do everything to registered memory that invalidates a
# translation, while connections work on it, and look at every byte.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --nodes 2 --timeout 900 -- tests/stress/with-swap \
	build/tests/stress/race 10
