#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will use one region from several connections at once, on the same pages and
# on neighbouring ones, and throw pages away while the device reads them.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 900 -- tests/in-turn verbs/odp_{threads,race}
