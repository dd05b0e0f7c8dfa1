#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will reach regions whose device addresses differ from their virtual
# ones, or that begin within a page, and be refused one byte outside of them.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/odp_iova
