#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will serve pages from a file, through the page cache and past it.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --hugepages 16 --timeout 900 -- tests/library/each file
