# SPDX-License-Identifier: Apache-2.0
"""How often a daemon wakes up when there is nothing to do."""

import time

from ..cpu import process_s, switches
from ..run import Step

NAME = "idle"
WHAT = "wake-ups and CPU of daemons that have nothing to do"
SET_UPS = ("B",)
COLUMNS = [("wake_ups", "wake-ups a second", 2), ("cpu", "CPU ms a second", 2)]
TEXT = "nothing to do, both daemons together"
REST_S = 3.0  # until acknowledgements, timers and merged wake-ups of what was before are over


def steps(bench, _set_up, contenders):
    seconds = bench.options.seconds or (2 if bench.quick else 5)
    rest = min(REST_S, seconds)
    return [Step(c.name, seconds + (0 if r else rest), c, lambda c=c, r=r: one(bench, c, seconds, 0 if r else rest))
            for c in contenders for r in range(bench.repetitions)]


def one(bench, contender, seconds, rest):
    time.sleep(rest)
    pids = contender.pids()
    before = [(switches(p), sum(process_s(p))) for p in pids]
    time.sleep(seconds)
    after = [(switches(p), sum(process_s(p))) for p in pids]
    bench.figures.add(NAME, bench.bed.set_up, "idle", contender.name,
                      {"wake_ups": sum(a[0] - b[0] for a, b in zip(after, before)) / seconds,
                       "cpu": sum(a[1] - b[1] for a, b in zip(after, before)) / seconds * 1e3}, TEXT)
