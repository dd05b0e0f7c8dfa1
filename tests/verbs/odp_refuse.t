#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will register memory that no device may get at, kernel addresses and
# memfd_secret(), and see it refused at once or at the first access.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/odp_refuse
