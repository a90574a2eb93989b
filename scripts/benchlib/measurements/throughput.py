# SPDX-License-Identifier: Apache-2.0
"""Goodput of one iperf3, and what CPU it costs."""

from ..cpu import Meter
from ..iperf import OMIT_S, PARALLEL
from ..run import Step

NAME = "throughput"
WHAT = "goodput and CPU per GB of one iperf3"
CASES = {
    "up": "one connection, to the server",
    "down": "one connection, from the server",
    "ipv6": "the same to the server, IPv6 inside",
    "parallel": f"{PARALLEL} connections at once",
}
COLUMNS = [("gbit", "Gbit/s", 2), ("machine", "CPU s/GB", 2), ("own", "of it the tunnel's processes", 2)]
OVERHEAD_S = 1.0  # of starting programs


def steps(bench, set_up, contenders):
    seconds = bench.seconds(3)
    found = []
    for case in CASES:
        taking_part = [c for c in contenders if case in c.cases]
        if bench.quick:
            taking_part = [c for c in taking_part if in_quick(set_up, case, c.name)]
        for repetition in range(bench.repetitions):
            for c in taking_part:
                found.append(Step(f"{case} {c.name}", seconds + OMIT_S + OVERHEAD_S, c,
                                  lambda c=c, case=case: one(bench, set_up, c, case, seconds)))
    return found


def in_quick(set_up, case, name):
    """What is worth its time in a first impression."""
    if case == "up":
        return set_up == "B" or name not in ("shila-2sf", "shila-1w")
    return case == "down" and set_up == "B" and name in ("tcp", "mptcp", "shila-tcp", "shila-mptcp")


def one(bench, set_up, contender, case, seconds):
    key = f"{set_up} {case} {contender.name}"
    if bench.profile and bench.profile.looks_at(contender) and bench.profile.wants(key):
        # A run of its own: perf costs.
        bench.profile.around(key, seconds + OMIT_S, lambda: contender.throughput(case, seconds))
    meter = Meter(contender.pids(), bench.background)
    gbit, in_all = contender.throughput(case, seconds)
    used = meter.read()
    values = {"gbit": gbit, "machine": used["machine_s"] / (in_all / 1e9)}
    if meter.pids:
        values["own"] = used["own_s"] / (in_all / 1e9)
    bench.figures.add(NAME, set_up, case, contender.name, values, CASES[case])
