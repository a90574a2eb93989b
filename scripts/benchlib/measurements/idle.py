# SPDX-License-Identifier: Apache-2.0
"""How often daemons wake up when there is nothing to do."""

import time

from ..cpu import process_s, switches
from ..programs import last_json, server, tool
from ..run import Step
from harness import Process, wait_for

NAME = "idle"
WHAT = "wake-ups and CPU of daemons that have nothing to do"
SET_UPS = ("B", "emulated")
CASES = {"none": "no connection; both daemons together", "open": "10 connections without traffic; both daemons together"}
# Heartbeats: probes that were sent and that came, and replies, and a look at the clock by each daemon.
COLUMNS = [("wake_ups", "wake-ups a second", 2), ("heartbeats", "heartbeats", 2), ("cpu", "CPU ms a second", 2)]
BEATS = ("probes_tx", "probes_rx", "probe_replies_rx")
LOOKS = 2
REST_S = 3.0  # until acknowledgements, timers and merged wake-ups of what was before are over
FORGOTTEN_S = 65  # connections that ended are known for limits.linger_s
PORT = 7004
CONNECTIONS = 10


def steps(bench, set_up, contenders):
    seconds = bench.options.seconds or (2 if bench.quick else 5)
    before = {"none": FORGOTTEN_S, "open": REST_S}
    cases = CASES if set_up == "B" and not bench.quick else ("open",)
    if bench.quick and set_up != "B":
        return []
    return [Step(f"{case} {c.name}", bench.repetitions * seconds + before[case], c,
                 lambda c=c, case=case: one(bench, c, case, seconds))
            for case in cases for c in contenders]


def one(bench, contender, case, seconds):
    if case == "none":
        wait_for(lambda: not contender.flows(), 2 * FORGOTTEN_S, "end of lingering", every=0.2)
        watch(bench, contender, case, seconds)
        return
    with server(contender, [tool("hold"), "server", PORT], PORT):
        client = Process(contender.client_command([tool("hold"), "client", contender.address(), PORT, CONNECTIONS]))
        try:
            wait_for(lambda: client.output().strip() or client.poll() is not None, 20, "connections")
            assert last_json(client.output())["open"] == CONNECTIONS
            watch(bench, contender, case, seconds)
        finally:
            client.close()


def watch(bench, contender, case, seconds):
    time.sleep(min(REST_S, seconds))
    pids = contender.pids()
    for _ in range(bench.repetitions):
        beats = heartbeats(contender)
        before = [(switches(p), sum(process_s(p))) for p in pids]
        time.sleep(seconds)
        after = [(switches(p), sum(process_s(p))) for p in pids]
        beats = heartbeats(contender) - beats
        bench.figures.add(NAME, bench.bed.set_up, case, contender.name,
                          {"wake_ups": sum(a[0] - b[0] for a, b in zip(after, before)) / seconds,
                           "heartbeats": beats / seconds + LOOKS,
                           "cpu": sum(a[1] - b[1] for a, b in zip(after, before)) / seconds * 1e3}, CASES[case])


def heartbeats(contender):
    return sum(counters[name] for counters in contender.counters() for name in BEATS)
