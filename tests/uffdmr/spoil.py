#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""spoil.py PID: changes the first byte of what uffdmr bench has in its regions, in one of
the places where it is in the memory of that process."""

import re
import sys

PAGE = 4096
MASK = (1 << 64) - 1


def mix(x):
    """As in userspace/common/pattern.c."""
    x ^= x >> 32
    x = x * 0x9FB21C651E98DF25 & MASK
    x ^= x >> 29
    x = x * 0xD6E8FEB86659FD93 & MASK
    return x ^ x >> 32


def main():
    pid = sys.argv[1]
    wanted = mix(mix(2)).to_bytes(8, sys.byteorder)
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0\s*$", line)
            if not found:
                continue
            start, end = (int(address, 16) for address in found.groups())
            for at in range(start, end, PAGE):
                memory.seek(at)
                if memory.read(8) == wanted:
                    memory.seek(at)
                    memory.write(bytes([wanted[0] ^ 1]))
                    return 0
    print("it is nowhere")
    return 1


sys.exit(main())
