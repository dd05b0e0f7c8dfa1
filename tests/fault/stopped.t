#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will stop a process with a signal, the freezer and ptrace, and access
# memory that it has registered: only what its own userfaultfd handler has to
# supply must wait for it to go on.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 300 -- build/tests/fault/stopped
