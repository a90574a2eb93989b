# SPDX-License-Identifier: Apache-2.0
"""Round trips of one byte, on an idle machine and beside a connection that sends all it can."""

from ..iperf import load, rate
from ..programs import last_json, server, tool
from ..run import Step
from harness import run

NAME = "rr"
WHAT = "round trip of a request of one byte, idle and under bulk load"
SET_UPS = ("B",)
CASES = {"idle": "round trip of 1 byte, nothing else", "loaded": "round trip of 1 byte beside one iperf3"}
COLUMNS = [("p50", "p50, µs", 1), ("p99", "p99, µs", 1), ("host_p50", "(p50 - base) / 2", 1),
           ("host_p99", "(p99 - base) / 2", 1), ("ratio_p99", "p99 / base", 2),
           ("load", "beside Gbit/s", 2), ("failed", "failed", 0)]
PORT = 7001
MARGIN_S = 1  # of the load after the questions
OVERHEAD_S = {"idle": 0.6, "loaded": 2.7}


def steps(bench, _set_up, contenders):
    seconds = bench.seconds(2)
    if bench.quick:
        contenders = [c for c in contenders if c.name in ("mptcp", "shila-mptcp")]
    return [Step(f"{case} {c.name}", seconds + OVERHEAD_S[case], c, lambda c=c, case=case: one(bench, c, case, seconds))
            for case in CASES for _ in range(bench.repetitions) for c in contenders]


def ask(contender, seconds):
    with server(contender, [tool("rr"), "server", PORT], PORT):
        client = contender.client_command([tool("rr"), "client", contender.address(), PORT, "--seconds", seconds])
        return last_json(run(client, seconds + 20).stdout)


def one(bench, contender, case, seconds):
    values = {}
    if case == "loaded":
        with load(contender, seconds + MARGIN_S) as bulk:
            answer = ask(contender, seconds)
        values["load"] = rate(bulk)
    else:
        answer = ask(contender, seconds)
    values.update(p50=answer["p50_us"], p99=answer["p99_us"], failed=answer["failed"])
    bench.figures.add(NAME, bench.bed.set_up, case, contender.name,
                      values, CASES[case])


def derived(figures, row, base):
    """What each host adds to the base of this contender."""
    its = figures.row(NAME, row.set_up, row.case, base)
    if not its or base == row.contender:
        return {}
    return {"host_p50": (row.median("p50") - its.median("p50")) / 2,
            "host_p99": (row.median("p99") - its.median("p99")) / 2,
            "ratio_p99": row.median("p99") / its.median("p99")}
