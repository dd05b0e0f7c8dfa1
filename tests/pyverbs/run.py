#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Run modules of rdma-core's Python tests and print TAP.

usage: run.py [--device NAME] TESTS EXPECTED MODULE...

TESTS is the unpacked folder of the tests. EXPECTED lists the skips that are
all right: lines of a test's name and of the reason it gives, both may be shell
patterns, '#' begins a comment. A test that is skipped without being on the
list fails, and one that is on the list and is not skipped, unless a '?' in
front of the line says that it depends on the version.
"""

import argparse
import fnmatch
import importlib
import os
import sys
import time
import types
import unittest


class Expected:
    """The list of expected skips."""

    def __init__(self, path):
        self.entries = []
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                line = line.split("#", 1)[0].strip()
                if not line:
                    continue
                words = line.lstrip("?").split(None, 1)
                if len(words) != 2:
                    sys.exit(f"{path}:{number}: a test and a reason, please")
                self.entries.append((*words, line.startswith("?")))

    def skip(self, test, reason):
        """Is that skip on the list?"""
        return any(
            fnmatch.fnmatchcase(test, entry) and fnmatch.fnmatchcase(reason, why)
            for entry, why, _ in self.entries
        )

    def certain(self, test):
        """Is it on the list that this test is skipped, whatever the version?"""
        return any(
            fnmatch.fnmatchcase(test, entry) and not maybe
            for entry, _, maybe in self.entries
        )


class TapResult(unittest.TestResult):
    """Prints one line of TAP a test."""

    def __init__(self, expected):
        super().__init__()
        self.expected = expected
        self.number = 0
        self.bad = 0
        self.problem = None
        self.reason = None

    def startTest(self, test):
        super().startTest(test)
        self.problem = None
        self.reason = None

    def addError(self, test, err):
        super().addError(test, err)
        self.problem = self.errors[-1][1]
        if isinstance(test, unittest.TestCase):
            return
        # The set-up of a class or module: no startTest() and no stopTest().
        self.line(str(test))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.problem = self.failures[-1][1]

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.problem = self._exc_info_to_string(err, test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.problem = "succeeded, which nobody expected"

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.reason = " ".join(reason.split())

    def stopTest(self, test):
        super().stopTest(test)
        name = test.id()
        if self.problem is None and self.reason is not None:
            if not self.expected.skip(name, self.reason):
                self.problem = f"skipped, which is not on the list: {self.reason}"
        elif self.problem is None and self.expected.certain(name):
            self.problem = "not skipped, although it is on the list"
        self.line(name)

    def line(self, name):
        """The line of a test that has ended."""
        self.number += 1
        if self.problem is not None:
            self.bad += 1
            print(f"not ok {self.number} - {name}")
            for text in self.problem.splitlines():
                print(f"# {text}")
        elif self.reason is not None:
            reason = self.reason.replace("#", "")
            print(f"ok {self.number} - {name} # SKIP {reason}")
        else:
            print(f"ok {self.number} - {name}")
        sys.stdout.flush()


def load(folder, modules, device):
    """Load test modules, without the package's habit of importing all."""
    folder = os.path.abspath(folder)
    sys.path.insert(0, folder)
    package = types.ModuleType("tests")
    package.__path__ = [folder]
    sys.modules["tests"] = package
    # The tests have a command line of their own, and want it parsed first.
    sys.argv[1:] = ["--dev", device] if device else []
    importlib.import_module("args_parser").parser.parse_args()
    names = [f"tests.{module}" for module in modules]
    return unittest.defaultTestLoader.loadTestsFromNames(names)


def wait_after_send():
    """test_resize_cq wants completions in the queue right after sending.

    A device that sends from a thread of its own has none yet. Give it time.
    """
    module = sys.modules.get("tests.test_cq")
    if not module:
        return
    patient = types.SimpleNamespace(**vars(module.u))

    def send(*args, **kwargs):
        module_send(*args, **kwargs)
        time.sleep(0.05)

    module_send, patient.send = patient.send, send
    module.u = patient


def main():
    """Parse the arguments, run, exit with 1 if anything was not as it should."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device")
    parser.add_argument("tests")
    parser.add_argument("expected")
    parser.add_argument("modules", nargs="+")
    args = parser.parse_args()

    expected = Expected(args.expected)
    suite = load(args.tests, args.modules, args.device)
    wait_after_send()
    result = TapResult(expected)
    suite.run(result)
    print(f"1..{result.number}")
    sys.exit(1 if result.bad else 0)


main()
