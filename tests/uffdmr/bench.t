#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run uffdmr bench: the figures of few pages in each format, pictures,
# progress, and how it fails.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 600 -- tests/uffdmr/bench
