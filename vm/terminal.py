# SPDX-License-Identifier: GPL-2.0
"""Lends the user's terminal to a shell in the guest."""

import os
import queue
import signal
import termios
import threading
import tty


ESCAPE = b"\x1d"  # Ctrl-]: a guest that hangs can be left


class Terminal:
    """Raw while in use: job control and Ctrl-C are the guest's business."""

    def __init__(self):
        self.saved = termios.tcgetattr(0)
        self.screen = None
        self.pending = queue.SimpleQueue()

    def connect(self, screen):
        self.screen = screen

    def start(self, guest):
        tty.setraw(0)
        for function in (self._keys, self._read_screen, self._write_screen):
            threading.Thread(target=function, daemon=True).start()
        self._tell_size(guest)
        signal.signal(signal.SIGWINCH, lambda *_: self._tell_size(guest))

    def restore(self):
        termios.tcsetattr(0, termios.TCSADRAIN, self.saved)

    @staticmethod
    def _tell_size(guest):
        size = os.get_terminal_size(0)
        guest.say(f"winsize {size.lines} {size.columns}\n")

    def _keys(self):
        try:
            while data := os.read(0, 4096):
                if data == ESCAPE:
                    os.kill(os.getpid(), signal.SIGTERM)
                self.screen.sendall(data)
        except OSError:
            pass  # the terminal or the guest has gone: vm/run ends anyhow

    # QEMU drops what a console cannot deliver at once, so take it at once.
    def _read_screen(self):
        while data := self.screen.recv(65536):
            self.pending.put(data)
        self.pending.put(b"")

    def _write_screen(self):
        while data := self.pending.get():
            while data:
                data = data[os.write(1, data):]
