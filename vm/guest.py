# SPDX-License-Identifier: GPL-2.0
"""One QEMU with a guest in it: starts it, gives it its job, carries its output.

Every channel to QEMU is an inherited socket: there is no file or port that
another process could meet, and nothing to clean up. setpriv ends QEMU with
vm/run, whatever ends vm/run.
"""

import os
import secrets
import select
import signal
import socket
import subprocess
import threading

QEMU = "qemu-system-x86_64"
HERE = os.path.dirname(os.path.realpath(__file__))
PROJECT = os.path.dirname(HERE)
INIT = os.path.join(PROJECT, "build/vm/init")
MAX_CMDLINE = 2047  # COMMAND_LINE_SIZE of x86, less its NUL
CONSOLE_SECONDS = 5  # for the last lines of the console to arrive


class Output:
    """A file descriptor that output goes to. With a prefix, each line gets it,
    and lines of several guests do not mix."""

    _locks = {1: threading.Lock(), 2: threading.Lock()}

    def __init__(self, fd, prefix=b""):
        self.fd = fd
        self.prefix = prefix
        self.rest = b""

    def write(self, data):
        if not self.prefix:
            self._write_all(data)
            return
        *full, self.rest = (self.rest + data).split(b"\n")
        if full:
            self._write_all(b"".join(self.prefix + line + b"\n" for line in full))

    def flush(self):
        if self.rest:
            self._write_all(self.prefix + self.rest + b"\n")
            self.rest = b""

    def _write_all(self, data):
        view = memoryview(data)
        with self._locks[self.fd]:
            while view:
                try:
                    view = view[os.write(self.fd, view):]
                except BlockingIOError:
                    select.select([], [self.fd], [])


class MarkerFilter:
    """Passes a stream on as it comes, up to a marker."""

    def __init__(self, marker, write):
        self.marker = marker
        self.write = write
        self.held = b""

    def feed(self, data):
        """Whether the marker has come."""
        data = self.held + data
        at = data.find(self.marker)
        if at >= 0:
            self.held = b""
            self.write(data[:at])
            return True
        # what may be the beginning of the marker waits for the next piece
        keep = min(len(self.marker) - 1, len(data))
        while not self.marker.startswith(data[len(data) - keep:]):
            keep -= 1
        self.held = data[len(data) - keep:]
        if len(data) > keep:
            self.write(data[:len(data) - keep])
        return False

    def finish(self):
        if self.held:
            self.write(self.held)


def build_init():
    """Compiles PID 1 of the guest if that is not done yet; an error message if
    it cannot be done."""
    folder = os.path.join(HERE, "init")
    sources = [os.path.join(folder, name) for name in os.listdir(folder)]
    if (os.path.exists(INIT)
            and os.path.getmtime(INIT) > max(os.path.getmtime(s) for s in [folder, *sources])):
        return None
    temporary = f"{INIT}.{os.getpid()}"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-static", "-pthread", "-o", temporary]
    command += sorted(s for s in sources if s.endswith(".c"))
    try:
        os.makedirs(os.path.dirname(INIT), exist_ok=True)
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            errors = [l for l in result.stderr.splitlines() if "error" in l] or ["cc failed"]
            return f"cannot compile {folder}: {errors[0]}"
        os.replace(temporary, INIT)
    except FileNotFoundError:
        return "cc is not installed: install the package gcc"
    except OSError as error:
        return f"cannot make {INIT}: {error.strerror}"
    return None


def _clock():
    """For an emulated CPU: how fast its time stamp counter counts, which the guest finds
    out wrongly when this machine has other things to do."""
    khz = subprocess.run([INIT], capture_output=True, text=True, check=True).stdout.strip()
    return f"tsc_early_khz={khz}"


def kernel_command_line(settings, slow, clock=""):
    words = [
        "root=root rootfstype=9p ro",
        "rootflags=trans=virtio,version=9p2000.L,msize=512000,cache=loose",
        f'init="{INIT}"',
        "console=ttyS0 loglevel=5 printk.devkmsg=on",
        # an oops ends the machine, a warning does not
        "oops=panic panic=-1 reboot=t",
        "mitigations=off random.trust_cpu=on tsc=reliable no_timer_check",
        # emulated CPUs on a busy machine stand still for seconds
        f"watchdog_thresh={10 * slow} workqueue.watchdog_thresh={30 * slow}",
        f"rcupdate.rcu_cpu_stall_timeout={20 * slow}",
    ]
    if settings.debug:
        words.append("kasan_multi_shot")
        if not settings.kmemleak:
            # it follows every allocation, and nobody will ask for a scan
            words.append("kmemleak=off")
    if settings.nodes > 1:
        words.append(f"numa=fake={settings.nodes}")
    if settings.hugepages:
        words.append(f"hugepages={settings.hugepages}")
    if clock:
        words.append(clock)
    words += settings.append
    return " ".join(words)


class Guest:
    """Reports to the queue events: (self, "ready"), (self, "status", n),
    (self, "failed", message), (self, "done"), (self, "gone") and
    (self, "closed"): nobody reads our output any more."""

    def __init__(self, settings, accel, events, host=0, network=None, terminal=None):
        self.settings = settings
        self.accel = accel
        self.events = events
        self.host = host
        self.kernel = host == 2 and settings.peer_kernel or settings.kernel
        self.network = network
        self.terminal = terminal
        self.name = f"host{host}" if host else "rxe-uffd"
        self.marker = secrets.token_hex(16)
        self.console = bytearray()
        self.messages = ""  # of QEMU
        self.process = None
        self.threads = []
        self.status = None
        self.slow = (1 if accel == "kvm" else 3) * (2 if settings.debug else 1)

    def start(self):
        theirs = []

        def channel():
            mine, other = socket.socketpair()
            theirs.append(other)
            return mine, other.fileno()

        console, console_fd = channel()
        self.control, control_fd = channel()
        out, out_fd = channel()
        err, err_fd = channel()
        command = ["setpriv", "--pdeathsig", "KILL", "--", QEMU]
        command += self._machine()
        command += [
            "-chardev", f"socket,id=console,fd={console_fd}", "-serial", "chardev:console",
            "-device", "virtio-serial-pci,max_ports=5",
        ]
        for number, fd in enumerate((control_fd, out_fd, err_fd), 1):
            command += [
                "-chardev", f"socket,id=port{number},fd={fd}",
                "-device", f"virtserialport,chardev=port{number},nr={number}",
            ]
        if self.terminal:
            screen, screen_fd = channel()
            command += ["-chardev", f"socket,id=screen,fd={screen_fd}",
                        "-device", "virtconsole,chardev=screen"]
            self.terminal.connect(screen)
        if self.network:
            theirs.append(self.network)
            command += [
                "-netdev", f"socket,id=network,fd={self.network.fileno()}",
                "-device", "virtio-net-pci,netdev=network,host_mtu=9000,romfile=,"
                f"mac=52:54:00:00:00:{self.host:02x}",
            ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True,
            pass_fds=[s.fileno() for s in theirs])
        for sock in theirs:
            sock.close()

        prefix = f"{self.name}: ".encode() if self.host else b""
        self._thread(self._read_messages)
        self._thread(self._read_control)
        self.console_thread = self._thread(self._read_console, console)
        self.output_threads = [self._thread(self._carry, out, Output(1, prefix)),
                               self._thread(self._carry, err, Output(2, prefix))]
        self.say(self._job())

    def _machine(self):
        settings = self.settings
        accel = {"kvm": "kvm", "tcg": "tcg,thread=multi",
                 "icount": "tcg,thread=single"}[self.accel]
        # a fifth level of page tables only costs emulation time
        # Emulated, REP MOVSB and STOSB go byte by byte: with ERMS the kernel and
        # the C library clear and copy pages with them.
        cpu = "max" if self.accel == "kvm" else "max,la57=off,erms=off,fsrm=off"
        arguments = [
            "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none",
            "-no-reboot", "-machine", "pc", "-accel", accel, "-cpu", cpu,
            "-smp", f"{settings.smp},sockets={settings.smp}", "-m", settings.mem,
            "-kernel", self.kernel,
            "-append", kernel_command_line(settings, self.slow,
                                           _clock() if self.accel == "tcg" else ""),
        ]
        if self.accel == "icount":
            # an instruction takes 2^0 ns
            arguments += ["-icount", "shift=0"]
        arguments += self._share("root", "/", ",readonly=on")
        for index, folder in enumerate(settings.rw):
            arguments += self._share(f"share{index}", folder)
        return arguments

    @staticmethod
    def _share(tag, folder, more=""):
        # a comma in a value is written twice
        folder = folder.replace(",", ",,")
        return ["-fsdev", f"local,id={tag},path={folder},security_model=none,"
                f"multidevs=remap{more}",
                "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]

    def _job(self):
        """What init/control.c reads."""
        settings = self.settings
        environment = dict(settings.environment)
        if self.host:
            environment |= {"HOSTS": str(settings.hosts), "HOST": str(self.host)}
        job = [
            ("name", self.name),
            ("cwd", settings.cwd),
            ("marker", self.marker),
            ("host", self.host),
            ("rxe", int(settings.rxe)),
            ("interactive", int(bool(self.terminal))),
            ("kmemleak", int(settings.kmemleak)),
            ("hung", 20 * self.slow),
            ("grace", 5 * self.slow),
            ("folder", PROJECT),
            ("folder", settings.cwd),
        ]
        job += [("share", folder) for folder in settings.rw]
        job += [("env", f"{name}={value}") for name, value in environment.items()]
        job += [("arg", word) for word in settings.command]
        return "".join(f"{name}={value}\0" for name, value in job) + "\0"

    def _thread(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        self.threads.append(thread)
        return thread

    def _read_messages(self):
        with self.process.stderr as stderr:
            self.messages = stderr.read().decode(errors="replace").strip()
        self.process.wait()
        self.events.put((self, "gone"))

    def _read_control(self):
        with self.control.makefile("r", encoding="utf-8", errors="replace") as lines:
            try:
                for line in lines:
                    word, _, rest = line.rstrip("\n").partition(" ")
                    if word == "status":
                        self.status = int(rest)
                    self.events.put((self, word, rest))
            except ConnectionResetError:
                pass  # QEMU ended with a message of ours unread

    def _read_console(self, sock):
        log = self.settings.log
        marker = self.marker.encode()
        while data := sock.recv(65536):
            self.console += data
            if log:
                log.write(data)
                log.flush()
            if marker in self.console[-len(data) - len(marker):]:
                # not a line for readers
                del self.console[self.console.rfind(b"\n", 0, self.console.find(marker)) + 1:]
                return

    def _carry(self, sock, output):
        stream = MarkerFilter(self.marker.encode(), output.write)
        try:
            while data := sock.recv(65536):
                if stream.feed(data):
                    break
            else:
                stream.finish()
            output.flush()
        except BrokenPipeError:
            self.events.put((self, "closed"))

    def say(self, message):
        try:
            self.control.sendall(message.encode(errors="surrogateescape"))
        except (BrokenPipeError, ConnectionResetError):
            pass  # QEMU is gone, which its own event tells

    def drain(self, seconds):
        """Waits until all output has been passed on; whether it was in time."""
        for thread in self.output_threads:
            thread.join(seconds)
        self.console_thread.join(CONSOLE_SECONDS)
        return not any(thread.is_alive() for thread in self.output_threads)

    def stop(self):
        """Ends QEMU, if it has not ended."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
