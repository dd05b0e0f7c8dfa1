# SPDX-License-Identifier: GPL-2.0
"""Chooses between KVM and TCG.

That /dev/kvm opens does not mean that a guest boots on it: on some machines
one never gets through its boot. So KVM is used where a short real boot has
proved it, and the answer is remembered for this host kernel and this QEMU.
"""

import hashlib
import os
import shutil

PROBE_SECONDS = 10


class Memory:
    """What is known about KVM here: "yes", "no" or None (not tried yet)."""

    def __init__(self, qemu):
        qemu = os.path.realpath(shutil.which(qemu))
        stat = os.stat(qemu)
        uname = os.uname()
        self.about = f"{uname.sysname} {uname.release} {uname.version}, {qemu}"
        key = f"{self.about} {stat.st_size} {stat.st_mtime_ns}"
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.path = os.path.join(cache, "rxe-uffd", f"kvm-{digest}")

    def recall(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                answer = file.readline().strip()
        except OSError:
            return None
        return answer if answer in ("yes", "no") else None

    def remember(self, answer):
        """A cache that cannot be written costs a probe next time, no more."""
        temporary = f"{self.path}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(f"{answer}\n{self.about}\n")
            os.replace(temporary, self.path)
        except OSError:
            pass


def unusable():
    """Why KVM needs no probe: no device, or no right to it. Else None."""
    if not os.path.exists("/dev/kvm"):
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "you have no right to /dev/kvm"
    return None
