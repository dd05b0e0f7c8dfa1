#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will read pages through the device while a thread throws them away
# and stamps new ones, and see that no page comes back from the dead.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- build/tests/verbs/odp_race
