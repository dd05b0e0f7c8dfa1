#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will give advice to prefetch for userfaultfd memory, see that the
# pages are asked for once and ahead of the access, and that advice for other
# regions, ranges and keys is refused.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/odp_advise
