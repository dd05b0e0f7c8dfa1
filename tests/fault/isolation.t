#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will let a queue pair, and a process, wait for pages that nobody
# supplies, and compare how long the accesses of others take with and without.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 --mem 4G -- build/tests/fault/isolation
