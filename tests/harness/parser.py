# SPDX-License-Identifier: GPL-2.0
"""Tries vm/report.py on logs and prints TAP."""

import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import report

STACK = """CPU: 1 UID: 0 PID: 77 Comm: demo Not tainted 7.2.13 #1 PREEMPTLAZY
Hardware name: QEMU Standard PC
Call Trace:
 <TASK>
 dump_stack_lvl+0x27/0x70
 </TASK>"""

HEALTHY = """tsc: Unable to calibrate against PIT
infiniband rxe0: set active
rxe-net0 speed is unknown, defaulting to 1000
workqueue: drain_vmap_area_work hogged CPU for >10000us 4 times
warning: `demo' uses an old interface
Lock dependency validator: Copyright (c) Red Hat, Inc.
debug: INFO is not a report, a BUG neither
kmemleak: Kernel memory leak detector initialized (mem pool available: 15)
rcu: 	RCU restricting CPUs from NR_CPUS=16 to nr_cpu_ids=2.
vm/init: 0123456789abcdef"""

# the first line, the rest, and a line that must not be part of the report
SICK = {
    "WARN": f"""------------[ cut here ]------------
WARNING: drivers/infiniband/sw/rxe/rxe_pool.c:99 at rxe_cleanup+0x1/0x2, CPU#1: demo/77
{STACK}
---[ end trace 0000000000000000 ]---""",
    "BUG": f"""------------[ cut here ]------------
kernel BUG at mm/hmm.c:42!
Oops: invalid opcode: 0000 [#1] SMP
{STACK}
---[ end trace 0000000000000000 ]---""",
    "page fault": f"""BUG: unable to handle page fault for address: ffffc90000e2a000
#PF: supervisor write access in kernel mode
Oops: Oops: 0002 [#1] SMP
{STACK}""",
    "general protection": f"Oops: general protection fault, probably for non-canonical address 0xdead: 0000\n{STACK}",
    "panic": f"""Kernel panic - not syncing: Fatal exception
{STACK}
---[ end Kernel panic - not syncing: Fatal exception ]---""",
    "KASAN": f"""==================================================================
BUG: KASAN: slab-use-after-free in rxe_odp_fault+0x1/0x2
Write of size 8 at addr ffff888100000000 by task demo/77

{STACK}

Allocated by task 77:
 kasan_save_stack+0x1/0x2

Memory state around the buggy address:
 ffff888100000000: fa fb fb fb
==================================================================""",
    "KCSAN": "==================================================================\n"
             "BUG: KCSAN: data-race in a / b\n\n"
             "==================================================================",
    "UBSAN": f"""------------[ cut here ]------------
UBSAN: array-index-out-of-bounds in mm/hmm.c:1:2
{STACK}
---[ end trace ]---""",
    "deadlock": f"""======================================================
WARNING: possible circular locking dependency detected
7.2.13 #1 Not tainted
------------------------------------------------------
demo/77 is trying to acquire lock:
stack backtrace:
{STACK}""",
    "lock held": "====================================\nWARNING: demo/77 still has locks held!",
    "RCU use": "=============================\nWARNING: suspicious RCU usage\n-----------------------------",
    "atomic sleep": f"BUG: sleeping function called from invalid context at mm/hmm.c:1\n{STACK}",
    "atomic schedule": f"BUG: scheduling while atomic: demo/77/0x00000002\n{STACK}",
    "soft lockup": f"watchdog: BUG: soft lockup - CPU#1 stuck for 60s! [demo:77]\n{STACK}",
    "RCU stall": f"rcu: INFO: rcu_sched self-detected stall on CPU\nrcu: \t1-....: (5249 ticks)\n{STACK}",
    "hung task": f"INFO: task demo:77 blocked for more than 60 seconds.\n      Not tainted 7.2.13 #1\n{STACK}",
    "workqueue lockup": "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 90s!",
    "page state": f"BUG: Bad page state in process demo  pfn:12345\npage dumped because: nonzero _refcount\n{STACK}",
    "page table": f"BUG: Bad page map in process demo  pte:8000 pmd:1234\n{STACK}",
    "memory counter": "BUG: Bad rss-counter state mm:1 type:MM_ANONPAGES val:1",
    "slab": f"=============================\nBUG kmalloc-64 (Not tainted): Redzone overwritten\n-----\n{STACK}",
    "refcount": f"""------------[ cut here ]------------
refcount_t: underflow; use-after-free.
{STACK}
---[ end trace 0000000000000000 ]---""",
    "list": f"""------------[ cut here ]------------
list_del corruption. prev->next should be 1, but was 2
{STACK}
---[ end trace 0000000000000000 ]---""",
    "object": f"""------------[ cut here ]------------
ODEBUG: free active (active state 0) object: 1 object type: timer_list
{STACK}
---[ end trace 0000000000000000 ]---""",
    "lock class": f"INFO: trying to register non-static key.\n{STACK}",
    "kmemleak": "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "netdev": "unregister_netdevice: waiting for rxe-net0 to become free. Usage count = 2",
    "old hmm call": f"FAULT_FLAG_ALLOW_RETRY missing 70\n{STACK}",
    "bare stack": f"something odd\n{STACK}",
    "leftover": "vm/init: BUG: cannot kill the process 77 (demo), state D",
}

COUNT = 0


def check(good, name, seen=None):
    global COUNT
    COUNT += 1
    print(f"{'ok' if good else 'not ok'} {COUNT} - {name}")
    if not good:
        print("\n".join(f"# {line!r}" for line in seen))


def console(*parts, caller=""):
    """The parts as a console shows them, a second and a half apart."""
    lines = []
    for number, part in enumerate(parts):
        lines += [f"[{number * 1.5:12.6f}]{caller} {line}\r\n" for line in part.split("\n")]
    return "".join(lines).encode()


def messages(block):
    return "\n".join(re.sub(r"^\[[^\]]*\](\[[^\]]*\])? ", "", line) for line in block)


def main():
    check(not report.find(console(HEALTHY)), "a healthy kernel", report.find(console(HEALTHY)))
    for name, text in SICK.items():
        for caller in ("", "[   T77]"):
            found = report.find(console(HEALTHY, text, HEALTHY, caller=caller))
            check(len(found) == 1 and messages(found[0]) == text, f"{name} {caller}",
                  [messages(b) for b in found])
    for name in ("WARN", "KASAN", "deadlock", "panic", "hung task", "old hmm call", "bare stack"):
        # without a pause after it
        found = report.find(console(f"before\n{SICK[name]}\n{HEALTHY}"))
        whole = [messages(b) for b in found]
        check(len(found) == 1 and SICK[name] in whole[0] and "rxe0: set" not in whole[0],
              f"{name}, at once followed by other lines", whole)
    two = console(SICK["WARN"], SICK["KASAN"])
    check(len(report.find(two)) == 2, "two reports", report.find(two))
    left = report.find(two, [re.compile("rxe_cleanup")])
    check(len(left) == 1 and "KASAN" in "".join(left[0]), "one of them allowed", left)
    print(f"1..{COUNT}")


main()
