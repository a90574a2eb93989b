# SPDX-License-Identifier: Apache-2.0
"""New connections: connect, one byte each way, close."""

from ..cpu import Meter
from ..programs import last_json, more_ports, server, tool
from ..run import Step
from harness import run

NAME = "connects"
WHAT = "connections per second: connect, a byte each way, close"
SET_UPS = ("B",)
CASES = {1: "connections, one after another", 64: "connections, 64 at once"}
COLUMNS = [("per_second", "per second", 0), ("p50", "p50, µs", 0), ("p99", "p99, µs", 0),
           ("machine", "CPU µs each", 0), ("own", "of it the tunnel's", 0), ("failed", "failed", 0)]
PORT = 7002


def steps(bench, _set_up, contenders):
    seconds = bench.seconds(2)
    return [Step(f"{n} at once, {c.name}", seconds + 0.7, c, lambda c=c, n=n: one(bench, c, n, seconds))
            for n in (CASES if not bench.quick else (64,)) for _ in range(bench.repetitions) for c in contenders]


def one(bench, contender, at_once, seconds):
    more_ports(contender)
    with server(contender, [tool("rr"), "server", PORT, "--close"], PORT):
        meter = Meter(contender.pids(), bench.background)
        client = contender.client_command([tool("rr"), "client", contender.address(), PORT, "--seconds", seconds,
                                           "--connect", "--at-once", at_once])
        answer = last_json(run(client, seconds + 20).stdout)
        used = meter.read()
    values = {"per_second": answer["per_second"], "p50": answer["p50_us"], "p99": answer["p99_us"],
              "machine": used["machine_s"] / answer["exchanges"] * 1e6, "failed": answer["failed"]}
    if meter.pids:
        values["own"] = used["own_s"] / answer["exchanges"] * 1e6
    bench.figures.add(NAME, bench.bed.set_up, str(at_once), contender.name, values, CASES[at_once])
