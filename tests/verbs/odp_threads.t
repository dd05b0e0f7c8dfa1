#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will use one userfaultfd region from several connections at once,
# on the same pages and on neighbouring ones.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- build/tests/verbs/odp_threads
