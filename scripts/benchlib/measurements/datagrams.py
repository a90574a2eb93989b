# SPDX-License-Identifier: Apache-2.0
"""Small UDP datagrams at a rate: what each costs on its way out and in, and whether any is lost."""

from ..cpu import process_s
from ..programs import ask_to_end, last_json, server, tool
from ..run import Step
from harness import run

NAME = "datagrams"
WHAT = "CPU and loss of 64-byte UDP datagrams, 100 000 a second"
SET_UPS = ("B",)
BYTES, RATE = 64, 100000
TEXT = f"UDP, {BYTES} bytes, {RATE} a second"
CASES = {"64": TEXT, "threaded": f"{TEXT}, the kernel's part of receiving in threads of its own"}
COLUMNS = [("loss", "loss, %", 3), ("out", "CPU µs out", 2), ("out_user", "of it user", 2),
           ("in", "CPU µs in", 2), ("in_user", "of it user", 2), ("rate", "sent per second", 0)]
NAMES = {"tcp": "plain", "shila-tcp": "shila"}
PORT = 7003
WARM_UP_S = 1.2


def steps(bench, _set_up, contenders):
    seconds = bench.seconds(5)
    return [Step(f"{case} {c.name}", seconds + WARM_UP_S + 0.7, c, lambda c=c, case=case: one(bench, c, case, seconds))
            for case in (CASES if not bench.quick else ("64",)) for _ in range(bench.repetitions) for c in contenders]


def one(bench, contender, case, seconds):
    bench.bed.receive_in_threads(case == "threaded")
    try:
        measure(bench, contender, case, seconds)
    finally:
        bench.bed.receive_in_threads(False)


def measure(bench, contender, case, seconds):
    pids = contender.pids()  # of the client, of the server
    with server(contender, [tool("datagrams"), "receiver", PORT], PORT, "udp") as receiver:
        before = [process_s(p) for p in pids]
        sent = last_json(run(contender.client_command([tool("datagrams"), "sender", contender.address(), PORT, RATE,
                                                       seconds, "--bytes", BYTES]), seconds + 20).stdout)
        after = [process_s(p) for p in pids]
        received = last_json(ask_to_end(receiver))["received"]
    values = {"loss": 100 * (1 - received / sent["sent"]), "rate": sent["sent"] / sent["seconds"]}
    for name, b, a, count in zip(("out", "in"), before, after, (sent["sent"], max(received, 1))):
        values[name] = (a[0] - b[0] + a[1] - b[1]) / count * 1e6
        values[f"{name}_user"] = (a[0] - b[0]) / count * 1e6
    bench.figures.add(NAME, bench.bed.set_up, case, NAMES.get(contender.name, contender.name), values, CASES[case])
