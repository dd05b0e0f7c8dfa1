#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will put old records into the memory of a source that was killed, and see that
# the clients find them, as they know what was acknowledged.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- tests/postcopy/in-guest stale
