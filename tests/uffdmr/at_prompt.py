#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Types at the prompt of an interactive bash on a terminal of its own, with the
completion and nothing else, and looks at what the line has become."""

import os
import pty
import select
import sys
import time

PROMPT = "ready> "
LINES = [  # what is typed, and what it has become after a tab
    ("uffdmr be", "uffdmr bench "),
    ("uffdmr bench --page-l", "uffdmr bench --page-latency="),
    ("uffdmr bench --op=w", "uffdmr bench --op=write "),
    ("uffdmr bench --plot READ", "uffdmr bench --plot README.md "),
    ("uffdmr bench --plot=READ", "uffdmr bench --plot=README.md "),
    ("uffdmr bench --plot users", "uffdmr bench --plot userspace/"),
]


class Shell:
    """An interactive bash."""

    def __init__(self):
        self.seen = ""
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {
                "PATH": os.path.abspath("build/userspace") + ":" + os.environ["PATH"],
                "TERM": "dumb", "PS1": PROMPT, "INPUTRC": "/dev/null",
            })

    def type(self, text):
        os.write(self.terminal, text.encode())

    def expect(self, text, seconds=20):
        """Reads until TEXT is seen, and drops all up to its end; false if it is not."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                return False
            self.seen += os.read(self.terminal, 4096).decode(errors="replace")
        self.seen = self.seen.split(text, 1)[1]
        return True

    def close(self):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


def main():
    shell = Shell()
    bad = 0
    shell.expect(PROMPT)
    shell.type(". userspace/uffdmr/completion.bash\n")
    shell.expect(PROMPT)
    for typed, wanted in LINES:
        # What is typed after the tab shows where it ends.
        shell.type(typed + "\t|")
        if not shell.expect(wanted + "|", 10):
            print(f"{typed!r} does not become {wanted!r}, seen: {shell.seen!r}")
            bad = 1
            break
        shell.type("\x15")  # the line goes
    shell.close()
    return bad


sys.exit(main())
