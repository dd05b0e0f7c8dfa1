# SPDX-License-Identifier: GPL-2.0
"""The command line of vm/run, and its --help."""

import argparse
import os
import re
import shutil
import sys

import guest

PROJECT = guest.PROJECT

STATUS_ENVIRONMENT = 252
STATUS_REPORT = 253
STATUS_TIMEOUT = 254
STATUS_LOST = 255

_HELP = """\
Boots a kernel in QEMU over the root file system of this machine, brings up
rxe0 there and runs COMMAND as root in the current folder. Without COMMAND:
an interactive shell (Ctrl-] ends the machine, should the guest hang).

The guest sees this machine's files at their own paths. It may write to them,
but what it writes is gone with it: nothing reaches this machine, the project
folder included, except below a folder shared with --rw. /tmp, /var/tmp, /run
and /dev/shm start empty (but show the project and the current folder).
The files are read with the rights of who runs vm/run.

rxe0 runs over the netdev rxe-net0 (MTU 9000) with 10.0.0.1 and fd00::1.
COMMAND gets PATH, HOME, TERM and LANG, and what --env names; its input is
/dev/null."""

_STATUS = """\
exit status:
  COMMAND's own, 127 if there is no such command, 128+N if signal N ended it;
  252  wrong use, or something is missing here (one line says what)
  253  the kernel reported a problem (printed), whatever COMMAND's status is
  254  the time was up (the end of the console is printed)
  255  the machine ended before COMMAND did, without a report
A line on stderr, "vm/run: ...", goes with each of the last four; where
COMMAND itself ends with one of them, a line says that.

environment:
  RXE_UFFD_KERNEL=IMAGE and DEBUG=1 do what --kernel and --debug do, where
  neither option is given. RXE_UFFD_ALLOW_REPORT=REGEX is one --allow-report more.

With --accel auto KVM is used only where a short boot has proved it. The
answer is kept in a file kvm-* in ${XDG_CACHE_HOME:-~/.cache}/rxe-uffd;
remove it to have KVM tried again.

examples:
  vm/run -- ibv_devinfo
  vm/run --debug --timeout 600 -- build/tests/verbs/read
  vm/run --hosts 2 -- sh -c 'ping -c 1 host$((3 - HOST))'"""


def fail(message):
    """One line, and the end."""
    print(f"vm/run: {message}", file=sys.stderr)
    sys.exit(STATUS_ENVIRONMENT)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(f"{message} (see vm/run --help)")


def _number(low, high):
    def parse(text):
        if not re.fullmatch(r"\d+", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"'{text}' is not a number from {low} to {high}")
        return int(text)
    return parse


def _size(text):
    if not re.fullmatch(r"[1-9]\d*[MG]", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a size like 512M or 2G")
    return text


def _regex(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error}") from None


def _variable(text):
    if not re.fullmatch(r"[A-Za-z_]\w*(=.*)?", text, re.ASCII | re.DOTALL):
        raise argparse.ArgumentTypeError(f"'{text}' is not the name of a variable")
    return text


def _parser():
    parser = _Parser(
        prog="vm/run", usage="vm/run [options] [-- COMMAND [ARG...]]",
        description=_HELP, epilog=_STATUS, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--kernel", metavar="IMAGE", help="boot IMAGE (default build/kernel/bzImage)")
    add("--debug", action="store_true", help="boot build/kernel-debug/bzImage")
    add("--smp", type=_number(1, 64), metavar="N",
        help="CPUs (2; each of two hosts has 1 if this machine has less than 4)")
    add("--mem", type=_size, default="2G", metavar="SIZE", help="memory (2G)")
    add("--nodes", type=_number(1, 8), default=1, metavar="N",
        help="NUMA nodes that memory is spread over (1)")
    add("--timeout", type=_number(0, 1000000), default=300, metavar="SECONDS",
        help="end the machine after that time (300; 0: never; a shell: never)")
    add("--accel", choices=("auto", "kvm", "tcg", "icount"), default="auto",
        help="what runs the guest (auto); icount: tcg with a clock that counts "
        "instructions, 1 ns each, so that times do not depend on what else this "
        "machine does")
    add("--hosts", type=_number(1, 2), default=1, metavar="N",
        help="2: two machines, host1 and host2, on one Ethernet; COMMAND runs on both "
        "with HOST=1 or 2 and HOSTS=2 set; the worst status counts")
    add("--peer-kernel", metavar="IMAGE", help="boot IMAGE on host2 (the same as on host1)")
    add("--no-rxe", dest="rxe", action="store_false", help="do not bring up rxe0")
    add("--hugepages", type=_number(0, 1000000), default=0, metavar="N",
        help="reserve N hugepages of 2 MiB")
    add("--env", type=_variable, action="append", default=[], metavar="NAME[=VALUE]",
        help="pass the variable NAME on")
    add("--rw", action="append", default=[], metavar="DIR",
        help="share the folder DIR writable")
    add("--append", action="append", default=[], metavar="WORDS",
        help="add to the kernel's command line")
    add("--allow-report", type=_regex, action="append", default=[], metavar="REGEX",
        help="let kernel reports pass that match REGEX")
    add("--kmemleak", action="store_true",
        help="look for leaked kernel memory after COMMAND (debug kernel)")
    add("--log", metavar="FILE", help="write the kernel's console to FILE")
    add("--quiet", action="store_true", help="do not say which accelerator is used")
    add("--version", action="store_true", help="print the versions in use")
    return parser


def _kernel(settings):
    """The image to boot, and whether it is the debug kernel."""
    debug_image = os.path.join(PROJECT, "build/kernel-debug/bzImage")
    environment = os.environ.get("RXE_UFFD_KERNEL")
    debug = settings.debug or os.environ.get("DEBUG") == "1"
    if settings.kernel:
        return settings.kernel, debug
    if settings.debug:
        return debug_image, True
    if environment:
        return environment, debug
    if debug:
        return debug_image, True
    return os.path.join(PROJECT, "build/kernel/bzImage"), False


def _check_kernel(image, make, option):
    if not os.path.exists(image):
        fail(f"there is no kernel {image}: build one with '{make}', or name one with {option}")
    try:
        with open(image, "rb") as file:
            header = file.read(0x206)
    except OSError as error:
        fail(f"cannot read the kernel {image}: {error.strerror}")
    if header[0x202:0x206] != b"HdrS":
        fail(f"{image} is not a kernel image (bzImage for x86)")


def _environment(settings):
    environment = {n: os.environ[n] for n in ("PATH", "HOME", "TERM", "LANG") if n in os.environ}
    path = environment.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":")
    # a user's PATH may lack the folders of root's commands
    path += [d for d in ("/usr/local/sbin", "/usr/sbin", "/sbin") if d not in path]
    environment["PATH"] = ":".join(path)
    for item in settings.env:
        name, equals, value = item.partition("=")
        if equals:
            environment[name] = value
        elif name in os.environ:
            environment[name] = os.environ[name]
    return environment


def parse(arguments):
    command = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, command = arguments[:at], arguments[at + 1:]
        if not command:
            fail("no COMMAND after -- (for a shell leave the -- away)")
    allowed = os.environ.get("RXE_UFFD_ALLOW_REPORT")
    if allowed:
        arguments = ["--allow-report", allowed, *arguments]
    settings, rest = _parser().parse_known_args(arguments)
    if rest:
        word = rest[0]
        fail(f"unknown option {word} (see vm/run --help)" if word.startswith("-")
             else f"write -- before COMMAND: vm/run [options] -- {word} ...")
    settings.command = command
    settings.kernel, settings.debug = _kernel(settings)
    if settings.version:
        return settings

    for program, package in ((guest.QEMU, "qemu-system-x86"), ("setpriv", "util-linux")):
        if not shutil.which(program):
            fail(f"{program} is not installed: install the package {package}")
    _check_kernel(settings.kernel, "make kernel DEBUG=1" if settings.debug else "make kernel",
                  "--kernel")
    if settings.peer_kernel:
        if settings.hosts < 2:
            fail("--peer-kernel is what host2 boots: give --hosts 2, too")
        _check_kernel(settings.peer_kernel, "make kernel STOCK=1", "--peer-kernel")
    if not command:
        if settings.hosts > 1:
            fail("a shell runs on one host: leave --hosts away, or give a COMMAND")
        if not (os.isatty(0) and os.isatty(1)):
            fail("a shell needs a terminal: give a COMMAND, as in vm/run -- ibv_devinfo")
        settings.command = ["bash"]
        settings.timeout = 0
    settings.interactive = not command
    if not settings.smp:
        # An emulated CPU that has to wait for a real one keeps the others waiting.
        few = settings.hosts > 1 and len(os.sched_getaffinity(0)) < 4
        settings.smp = 1 if few else 2
    try:
        settings.cwd = os.getcwd()
    except OSError:
        fail("the current folder is gone: go to one that exists")
    settings.environment = _environment(settings)
    settings.rw = [os.path.realpath(folder) for folder in settings.rw]
    for folder in settings.rw:
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
            fail(f"--rw {folder}: not a folder that you can write to")
    problem = guest.build_init()
    if problem:
        fail(problem)
    if '"' in PROJECT:
        fail(f'the project folder has a " in its path: {PROJECT}')
    line = guest.kernel_command_line(settings, 1)
    if len(line.encode()) > guest.MAX_CMDLINE - 40:
        fail("--append: the kernel's command line is too long")
    if settings.log:
        try:
            settings.log = open(settings.log, "wb")  # pylint: disable=consider-using-with
        except OSError as error:
            fail(f"--log {settings.log}: {error.strerror}")
    return settings
