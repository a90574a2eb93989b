# SPDX-License-Identifier: Apache-2.0
"""The order in which everything is shown."""

from . import traffic
from .flows import LinkNames, Watch
from .network import MANY, ONE

OMIT_S, MEASURE_S = 2, 6
TRANSFER_S = 6  # how long the file would take if no link were cut
CUT_AFTER_S = 2.5
SHARE_WANTED = 0.9  # of N times one path: 2.7 for three

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


def mbit(bits):
    return f"{bits / 1e6:.1f} Mbit/s"


def joined(ids):
    return "+".join(map(str, ids)) or "none"


class Demo:
    def __init__(self, network, screen, paths, rate_bits):
        self.network = network
        self.screen = screen
        self.paths = paths
        self.rate_bits = rate_bits
        self.names = None
        self.cut_link = None
        self.cut_flow = None

    def run(self):
        """Shows all of it; the reasons why it is not as promised, so none is good."""
        screen, many = self.screen, COUNTS[self.paths]
        self.names = LinkNames(self.network.described["links"])
        n = self.paths
        links_a, links_b = f"1..{n}", f"{n + 1}..{2 * n}"
        screen.say()
        screen.say(f"          h1 --- 64513 === links {links_a} === 64512 === links {links_b} === 64514 --- h2")
        screen.say("                 leaf                   core                   leaf")
        screen.say()

        traffic.Server(self.network)
        screen.title("iperf3 over one path")
        one, _ = self._iperf(ONE)
        screen.title(f"iperf3 over {many} paths: the same program, another destination address")
        three, watch = self._iperf(MANY)
        size = max(int(three / 8 * TRANSFER_S), 1 << 20)
        screen.title(f"a file of {size / 1e6:.1f} MB over {many} paths, and then a link is cut")
        transfer, cut = self._transfer(size)
        return self._summary(one, three, watch, transfer, cut)

    # what the picture shows

    def _picture(self, watch, progress):
        flows = watch.subflows()
        total = sum(f.rate() for f in flows)
        if not self.screen.live:
            shown = ", ".join(f"{f.rate() / 1e6:.1f} over links {joined(f.links or [])}" for f in flows)
            self.screen.line(f"{progress:>12}  {mbit(total)}" + (f" = {shown}" if flows else ""))
            return
        paint = self.screen.paint
        lines = [f"          {progress}  {paint(mbit(total), 'bold')}"]
        for f in flows:
            filled = round(min(f.rate() / self.rate_bits, 1.2) * 20)
            route = self.names.route(f.path, self.cut_link, lambda s: paint(s, "red"))
            note = f"  moved from links {joined(f.moves[-1][0])}" if f.moves else ""
            lines.append(f"          {f.role:5}{f.address:9} {route}  {mbit(f.rate()):>11} "
                         f"{paint('#' * filled, 'cyan'):20}" + paint(note, "yellow"))
        self.screen.draw(lines)

    def _iperf(self, address):
        watch = Watch(self.names, self.network.flows())
        whole = OMIT_S + MEASURE_S

        def tick(elapsed, last=False):
            if self.screen.due() or last:
                watch.update(self.network.flows())
                self._picture(watch, f"{min(elapsed, whole):4.1f} of {whole} s")

        rate = traffic.iperf(self.network, address, OMIT_S, MEASURE_S, tick)
        self.screen.step(f"iperf3 received {mbit(rate)} (without the first {OMIT_S} s)", "green")
        return rate, watch

    def _transfer(self, size):
        watch = Watch(self.names, self.network.flows())
        seen = {"moves": 0, "cut": None}

        def tick(elapsed, have):
            if self.screen.due() or seen["cut"] is None and elapsed >= CUT_AFTER_S or self._moving(watch):
                watch.update(self.network.flows())
            if seen["cut"] is None and elapsed >= CUT_AFTER_S and have < size:
                seen["cut"] = self._cut(watch)
            for f in watch.subflows():
                for before, after in f.moves[seen.setdefault(f.key, 0):]:
                    seen[f.key] += 1
                    self.screen.step(f"the {f.role} flow from {f.address} moved from links {joined(before)} "
                                     f"to {joined(after)}", "yellow")
            if self.screen.due():
                self._picture(watch, f"{have * 100 // size} % of {size / 1e6:.1f} MB")

        t = traffic.transfer(self.network, MANY, size, TRANSFER_S * 5, tick)
        watch.update(self.network.flows())
        if t.good:
            self.screen.step(f"the file has arrived, sha256 {t.received_sha256[:16]}... at both ends", "green")
        return t, watch

    def _moving(self, watch):
        """Something is about to happen that must not be missed between two pictures."""
        return self.cut_flow is not None and not self.cut_flow.moves

    def _cut(self, watch):
        """Cuts the far link of the fastest subflow, if there is one yet."""
        flows = [f for f in watch.subflows() if f.links]
        if not flows:
            return None
        self.cut_flow = max(flows, key=lambda f: f.rate())
        self.cut_link = self.cut_flow.links[-1]
        self.network.link(self.cut_link, "cut")
        self.screen.step(f"link {self.cut_link} is cut: the {self.cut_flow.role} flow from "
                         f"{self.cut_flow.address} sent {mbit(self.cut_flow.rate())} over it", "red")
        return self.cut_link

    # what came of it

    def _summary(self, one, three, watch, t, cut):
        say, paint, many = self.screen.say, self.screen.paint, COUNTS[self.paths]
        factor, wanted = (three / one if one else 0.0), SHARE_WANTED * self.paths
        carried = [f for f in watch.subflows() if f.bytes]
        problems = []
        if factor < wanted:
            problems.append(f"{many} paths gave {factor:.2f} times one path, and not at least {wanted:.1f} times")
        if self.cut_link is None:
            problems.append("no link was cut: the transfer was over before, or had no path")
        if t.problem:
            problems.append(f"the transfer: {t.problem}")
        elif not t.good:
            problems.append(f"the file arrived with other bytes: sha256 {t.received_sha256}, "
                            f"and not {t.sent_sha256}; {t.received} of {t.size} bytes")

        def row(name, text, ok=True):
            say(f"  {name:22}{text if ok else paint(text, 'red')}")

        say()
        say(paint("Summary", "bold"))
        row("one path", mbit(one))
        row(f"{many} paths", f"{mbit(three)}, over links "
            + ", ".join(joined(f.links or []) for f in carried))
        row("factor", f"{factor:.2f} (at least {wanted:.1f} wanted)", factor >= wanted)
        moved = [f"{f.role} flow from {f.address}: links {joined(b)} to {joined(a)}"
                 for f in cut.subflows() for b, a in f.moves]
        row("transfer with a cut", f"{t.received / 1e6:.1f} MB in {t.seconds:.1f} s, sha256 "
            f"{'equal' if t.good else 'NOT equal'}; longest pause {t.longest_pause_s:.2f} s", t.good)
        row("link cut", f"{self.cut_link or 'none'}", self.cut_link is not None)
        for text in moved or ["nothing: the other subflows sent what was lost"]:
            row("moved", text)
        return problems
