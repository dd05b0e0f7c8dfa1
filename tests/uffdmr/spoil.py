#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""spoil.py PID: changes the first byte of what uffdmr bench has in its regions, in one of
the places where it is in the memory of that process."""

import os
import re
import sys
import time

PAGE = 4096
MASK = (1 << 64) - 1


def mix(x):
    """As in userspace/common/pattern.c."""
    x ^= x >> 32
    x = x * 0x9FB21C651E98DF25 & MASK
    x ^= x >> 29
    x = x * 0xD6E8FEB86659FD93 & MASK
    return x ^ x >> 32


def places(pid, memory, wanted):
    """Where WANTED begins a page."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0\s*$", line)
            if not match:
                continue
            start, end = (int(address, 16) for address in match.groups())
            for at in range(start, end, PAGE):
                try:
                    if os.pread(memory, 8, at) == wanted:
                        found.append(at)
                except OSError:  # a page that is missing
                    pass
    return found


def main():
    pid = sys.argv[1]
    wanted = mix(mix(2)).to_bytes(8, sys.byteorder)
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    # Once it is in the region, too, the two will not be made alike any more.
    for _ in range(300):
        found = places(pid, memory, wanted)
        if len(found) >= 2:
            os.pwrite(memory, bytes([wanted[0] ^ 1]), found[0])
            return 0
        time.sleep(0.1)
    print("it is nowhere")
    return 1


sys.exit(main())
