# SPDX-License-Identifier: Apache-2.0
"""One connection that sends all it can while others are open: goodput, CPU and memory for each number of them."""

from .. import iperf
from ..cpu import Meter, memory
from ..programs import last_json, listening, more_ports, tool
from ..run import Step
from harness import Failed, Process, wait_for

NAME = "many"
WHAT = "goodput, CPU per GB and memory while up to 100 000 other connections are open"
SET_UPS = ("B",)
LEVELS = (0, 1000, 10000, 100000)
COLUMNS = [("gbit", "Gbit/s", 2), ("own", "tunnel's CPU s/GB", 2), ("machine", "CPU s/GB", 2),
           ("rss_client", "RSS client, MiB", 1), ("rss_server", "RSS server, MiB", 1),
           ("per_flow_client", "bytes a flow", 0), ("per_flow_server", "bytes a flow", 0),
           ("uneven", "uneven, %", 1)]
PORT = 20000
A_PROGRAM = 15000  # connections of one program: its limit of open files may be 20000
FORGOTTEN_S = 65  # limits.linger_s and some more
FEW = 100
OPEN_PER_S = 4000  # for the estimate of time


def steps(bench, set_up, contenders):
    """Levels only grow: what is open stays open, so that no ending connection is in the way."""
    seconds = bench.seconds(3)
    holders = [c for c in contenders if c.name == "shila-tcp"]
    if not holders:
        return []
    held = Held(bench, holders[0])
    levels = LEVELS[1:2] if bench.quick else LEVELS
    found = []
    for before, level in zip((0, *levels), levels):
        found.append(Step(f"opening {level} connections", 1 + (level - before) / OPEN_PER_S, holders[0],
                          lambda level=level: held.grow(level)))
        for _ in range(bench.repetitions):
            for c in contenders:
                found.append(Step(f"beside {level}, {c.name}", seconds + iperf.OMIT_S + 0.7, c,
                                  lambda c=c, level=level: one(bench, held, c, level, seconds)))
    found.append(Step("closing them", 5 if bench.quick else FORGOTTEN_S, holders[0], lambda: held.close(not bench.quick)))
    return found


class Held:
    """Connections that are open through a contender."""

    def __init__(self, bench, contender):
        self.bench, self.contender = bench, contender
        self.processes = []
        self.open = 0
        self.empty = None  # memory without them
        self.figures = {}

    def grow(self, level):
        pids = self.contender.pids()
        self.figures = {}
        if self.empty is None:
            self.empty = [memory(p) for p in pids]  # what runs before has its pages by now
        while self.open < level:
            self._open(min(level - self.open, A_PROGRAM))
        now = [memory(p) for p in pids]
        for side, n, e in zip(("client", "server"), now, self.empty):
            self.figures[f"rss_{side}"] = n["rss"] / 2**20
            self.figures[f"pss_{side}"] = n["pss"] / 2**20
            if level:
                self.figures[f"per_flow_{side}"] = (n["rss"] - e["rss"]) / level
        if level:
            self.figures["uneven"] = self.contender.daemons.uneven()

    def _open(self, wanted):
        """One more pair of programs."""
        port = PORT + len(self.processes)
        more_ports(self.contender)
        self.processes.append(Process(self.contender.server_command([tool("hold"), "server", port])))
        listening(self.contender, port)
        p = Process(self.contender.client_command([tool("hold"), "client", self.contender.address(), port, wanted]))
        self.processes.append(p)
        wait_for(lambda: p.output().strip() or p.poll() is not None, 260, f"{wanted} connections", every=0.1)
        answer = last_json(p.output())
        self.open += answer["open"]
        self.figures["open_per_second"] = answer["open"] / max(answer["ms"], 1) * 1e3
        if answer["open"] < wanted:
            raise Failed(f"only {answer['open']} of {wanted} connections: {answer}")

    def close(self, wait):
        """wait: until the daemon has forgotten them, so that they are not in the way of what comes next."""
        while self.processes:
            self.processes.pop().close()
        if wait:
            wait_for(lambda: self.contender.daemons.flows() < FEW, 2 * FORGOTTEN_S, "end of lingering", every=0.5)


def one(bench, held, contender, level, seconds):
    meter = Meter(contender.pids(), bench.background)
    gbit, in_all = contender.throughput("up", seconds)
    used = meter.read()
    values = {"gbit": gbit, "machine": used["machine_s"] / (in_all / 1e9)}
    if meter.pids:
        values["own"] = used["own_s"] / (in_all / 1e9)
        values.update(held.figures)
    bench.figures.add(NAME, bench.bed.set_up, str(level), contender.name, values,
                      f"one connection beside {level} others")
