#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will throw pages away while faults of the same range fail half way
# or start over, and see that no page comes back from the dead by that.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- build/tests/stress/torn_publication
