# SPDX-License-Identifier: GPL-2.0
"""Finds what a kernel reports about itself in the log of its console."""

import re

# [   12.345678][  T123] message; without the second bracket on some kernels
_PREFIX = re.compile(r"^\[ *(\d+\.\d+)\](?:\[ *[TC]\d+\])? ?")

# The first line of a report. The stack header at the end is in every dump,
# those without a line of their own in this list included.
_START = re.compile(
    r"-+\[ cut here \]-+"
    r"|(?:watchdog: |vm/init: )?BUG\b"
    r"|kernel BUG at "
    r"|WARNING: "
    r"|(?:rcu: )?INFO: (?:task |rcu|trying to register|possible|lockdep)"
    r"|(?:Oops|Oops: .*|general protection fault|stack segment|divide error|invalid opcode"
    r"|double fault|traps: PANIC|int3)\b.*:"
    r"|Kernel panic - not syncing"
    r"|UBSAN: |ODEBUG: |KCSAN: |KFENCE: |refcount_t: "
    r"|list_(?:add|del)\w* corruption"
    r"|DEBUG_LOCKS_WARN_ON"
    r"|page dumped because"
    r"|kmemleak: \d+ new suspected"
    r"|unregister_netdevice: waiting for"
    r"|NMI watchdog: "
    r"|FAULT_FLAG_ALLOW_RETRY missing"
    r"|CPU: \d+ (?:UID|PID|Comm): "
    r"|Call Trace:"
)
_CUT_HERE = re.compile(r"-+\[ cut here \]-+")
_RULE = re.compile(r"={20,}$")
_ENDS_WITH_RULE = re.compile(r"BUG: (?:K[ACM]SAN|KFENCE): ")
_HEADER = re.compile(r"CPU: \d+ |Call Trace:")

_MAX_LINES = 120  # of one report
_MAX_GAP = 1.0  # seconds without a line end a report


def lines(log):
    """The console log (bytes) as text lines, as a terminal would end them."""
    return [l.rstrip("\r") for l in log.decode(errors="replace").split("\n")]


def _split(line):
    match = _PREFIX.match(line)
    if not match:
        return None, line
    return float(match.group(1)), line[match.end():]


def _end(messages, times, begin):
    """The index after the last line of the report that begins there."""
    cut = bool(_CUT_HERE.match(messages[begin]))
    ruled = bool(_ENDS_WITH_RULE.match(messages[begin]))
    last = min(len(messages), begin + _MAX_LINES)
    for i in range(begin + 1, last):
        if (times[i] is not None and times[i - 1] is not None
                and times[i] - times[i - 1] > _MAX_GAP):
            return i
        message = messages[i]
        if message.startswith("---[ end ") or (ruled and _RULE.match(message)):
            return i + 1
        if message.strip() == "</TASK>" and not cut and not ruled:
            # an oops and a panic have a few lines more, and their own end
            for j in range(i + 1, min(i + 5, last)):
                if messages[j].startswith("---[ end "):
                    return j + 1
            return i + 1
    return last


def find(log, allowed=()):
    """The reports in a console log, each a list of lines, but those that
    match one of the allowed regular expressions."""
    text = lines(log)
    split = [_split(line) for line in text]
    times = [s[0] for s in split]
    messages = [s[1] for s in split]
    found = []
    i = 0
    while i < len(messages):
        if not _START.match(messages[i]):
            i += 1
            continue
        end = _end(messages, times, i)
        begin = i
        # the line above a bare stack dump says what it is about
        if i and (_HEADER.match(messages[i]) or _RULE.match(messages[i - 1])):
            begin -= 1
        block = text[begin:end]
        while block and not block[-1].strip():
            block.pop()
        whole = "\n".join(block)
        if not any(regex.search(whole) for regex in allowed):
            found.append(block)
        i = end
    return found
