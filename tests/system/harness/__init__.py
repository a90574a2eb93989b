# SPDX-License-Identifier: Apache-2.0
"""The real lab, real daemons and real programs for the tests of this folder. Needs root.

    from harness import *

    class Transfer(SystemTest):
        @classmethod
        def setUpClass(cls):
            cls.pair = cls.keep(Pair(topology="parallel", links=3))

        def test_something(self):
            p = self.pair
            p.h2.spawn(["iperf3", "-s", "-1"], ingress=True)
            p.h2.wait_listening(5201)
            p.h1.run(["iperf3", "-c", p.h2.address(4)])

A module or class with NEEDS_PLAIN_BUILD = True measures rates or times: scripts/test runs it last,
with nothing else running, on the build without sanitizers. With COUNTS = True as well it only counts
what a busy machine does not change, and runs beside others. Everything else runs on the build with
ASan and UBSan, beside others: wait for what is to happen (wait_for), do not sleep, and ask again
where a packet may be lost. The build is the folder in $SHILA_BUILD (default: build).

The files, from below: places, waiting, cleanup, processes, netns, lab, shilad (with Pair), testcase.

What a test starts is removed at the end of its test, class or module, and at the end of the program,
also after Ctrl-C. The logs of the daemons are shown when a test fails. To run one file by hand:

    SHILA_BUILD=build-asan tests/system/test_cut.py -v [Class.test]
"""

import sys

sys.dont_write_bytecode = True

from .cleanup import closed, opened, temporary  # noqa: E402, F401
from .lab import Lab  # noqa: E402
from .netns import kernel, nstat  # noqa: E402
from .places import BUILD, LAB, ROOT, TOOLS, TRAFFIC  # noqa: E402
from .processes import SMALL_QUARANTINE, Process, clean_environment, run, spawn, traffic_answer  # noqa: E402
from .shilad import SANITIZERS, Pair, Shilad  # noqa: E402, F401
from .testcase import SystemTest, main, show_logs  # noqa: E402
from .waiting import Failed, asked_again, wait_for  # noqa: E402

__all__ = ["BUILD", "LAB", "ROOT", "TOOLS", "TRAFFIC", "Failed", "Lab", "Pair", "Process", "SMALL_QUARANTINE", "Shilad", "SystemTest",
           "asked_again", "clean_environment", "kernel", "main", "nstat", "run", "show_logs", "spawn", "temporary",
           "traffic_answer", "wait_for"]
