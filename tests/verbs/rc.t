#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run RDMA READ, WRITE, SEND, RECV, WRITE with immediate data and
# atomics on absent pages of either side, and compare every byte; and use what others are
# rarely tested with: implicit and very large memory regions, regions that are registered
# again, memory windows, and queue pairs that are reset half way.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/in-turn \
	verbs/rc_{rdma,atomic,send,write_imm} verbs/{implicit,large,rereg,mw,qp_reset}
