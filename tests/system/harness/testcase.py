# SPDX-License-Identifier: Apache-2.0
"""unittest, with daemons."""

import os
import sys
import unittest

from .cleanup import all_open, is_open
from .processes import Process
from .shilad import daemons

LOG_LINES = 60


def show_logs(lines=LOG_LINES):
    """The ends of the logs of all daemons of the running test, to stderr."""
    for d in daemons:
        log = [line for line in d.log().splitlines() if not line.startswith("    #")]
        if log:
            print(f"--- shilad on {d.host}, last {min(lines, len(log))} of {len(log)} lines", file=sys.stderr)
            print("\n".join(log[-lines:]), file=sys.stderr)


class SystemTest(unittest.TestCase):
    """Shows the logs when a test fails, and removes what a test started."""

    maxDiff = None

    @classmethod
    def keep(cls, thing):
        """For setUpClass: closed after the last test of the class."""
        cls.addClassCleanup(thing.close)
        return thing

    def use(self, thing):
        """For a test: closed at its end."""
        self.addCleanup(thing.close)
        return thing

    def run(self, result=None):
        started = all_open()
        for d in daemons:
            d.log_mark()
        before = len(result.failures) + len(result.errors) if result else 0
        try:
            super().run(result)
        finally:
            if result and len(result.failures) + len(result.errors) > before:
                show_logs()
            for p in [p for p in all_open() if isinstance(p, Process) and p not in started]:
                p.close()

    def tearDown(self):
        for d in daemons:
            if is_open(d):
                d.check_log()


def main():
    """For `if __name__ == "__main__":` of a test file."""
    if os.geteuid() != 0:
        sys.exit("these tests need root: sudo " + " ".join(sys.argv))
    unittest.main(verbosity=2)
