# SPDX-License-Identifier: Apache-2.0
"""The inside of scripts/bench.

bed.py            the two hosts and what joins them: set-ups A, B and routers
contender.py      what is compared: the interface, and how all of them are found
contenders/       one file for each kind
tunnel.py         what those have in common that are two daemons
measurements/     one file for each measurement: throughput, rr, ...
run.py            runs the steps of all measurements in turn, with progress
figures.py        what was seen: medians, spread, ratios; JSON
goals.py          what is wanted of these figures
report.py         tables for the terminal and for docs/performance.md

Labs, daemons and processes in the background are those of tests/system/harness: they are removed at
the end of the program, also after Ctrl-C.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

sys.path.insert(1, os.path.join(ROOT, "tests", "system"))
