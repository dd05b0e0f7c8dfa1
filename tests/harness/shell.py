# SPDX-License-Identifier: GPL-2.0
"""Types into vm/run's shell and prints TAP."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

SECONDS = 90
COUNT = 0


def result(good, name, text=""):
    global COUNT
    COUNT += 1
    print(f"{'ok' if good else 'not ok'} {COUNT} - {name}", flush=True)
    if not good:
        print("\n".join(f"# {line!r}" for line in text[-1000:].splitlines()), flush=True)


def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def expect(fd, name, pattern):
    """Reads until the pattern has come."""
    text = ""
    end = time.monotonic() + SECONDS
    while not re.search(pattern, text) and time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                text += os.read(fd, 4096).decode(errors="replace")
            except OSError:
                break  # the other side has closed the terminal
    result(re.search(pattern, text), name, text)


def status_of(pid):
    """The exit status of vm/run, which should be about to end."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    return None


def shell():
    pid, fd = pty.fork()
    if pid == 0:
        os.execv("vm/run", ["vm/run", "--no-rxe"])
    return pid, fd


def main():
    os.environ["HOME"] = "/nonexistent"  # nobody's own prompt
    os.environ["TERM"] = "vt220"
    pid, fd = shell()
    resize(fd, 33, 101)

    def type_line(line):
        os.write(fd, line.encode() + b"\r")

    expect(fd, "the accelerator is named", r"vm/run: accel \w+ ")
    expect(fd, "a prompt", r"# $")
    # what is typed comes back as an echo: the answers must look different
    type_line("stty size; echo $TERM; tty; echo a''nswered")
    expect(fd, "window, terminal", r"33 101\r\nvt220\r\n/dev/hvc0\r\nanswered")
    resize(fd, 44, 80)
    type_line("until [ \"$(stty size)\" = '44 80' ]; do sleep 0.1; done; echo re''sized")
    expect(fd, "another window size", r"resized")
    # one process, so that the signal finds no gap between two
    type_line("sh -c 'echo be\"\"gun; exec sleep 1000'")
    expect(fd, "a long command", r"begun")
    os.write(fd, b"\x03")
    expect(fd, "Ctrl-C ends it, not vm/run", r"\^C(.|\n)*# ")
    type_line("sh -c 'echo be\"\"gun; exec sleep 1000'")
    expect(fd, "another one", r"begun")
    os.write(fd, b"\x1a")
    expect(fd, "Ctrl-Z stops it", r"Stopped")
    type_line("kill %1; wait; seq -s, 100000; echo fi''nished; exit 7")
    expect(fd, "much output", r"99999,100000\r\n(.|\n)*finished")
    result(status_of(pid) == 7, "the status of the shell")

    pid, fd = shell()
    expect(fd, "another shell", r"# $")
    os.write(fd, b"\x1d")
    result(status_of(pid) == -signal.SIGTERM, "Ctrl-] ends the machine")
    print(f"1..{COUNT}")


if __name__ == "__main__":
    sys.exit(main())
