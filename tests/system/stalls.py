# SPDX-License-Identifier: Apache-2.0
"""How long a program waits when a link becomes a black hole in mid-transfer, again and again.

The routers have no BFD: nobody but the daemons can notice. The stall is the longest time without a byte at the receiving
program (tests/tools/stall.c).
"""

import os
import time

from harness import *  # noqa: F403

STALL = os.path.join(BUILD, "tests", "stall")
PORT = 8100
LINKS = 3
CONTROL = os.environ.get("STALL_CONTROL", "cubic")  # of congestion, at the sender: bbr lets programs wait by itself


RATE = "30mbit"  # of each link: the routers of all of them have CPUs left, which would else be what is measured


def lab_options(delay_ms=0):
    """A round trip takes delay_ms more than without it, and up to half as much more again in a queue."""
    options = {"topology": "parallel", "links": LINKS, "rate": RATE, "bfd": False}
    if delay_ms:
        options["more"] = ["--emulated-links", "--delay", f"{delay_ms / 2}ms", "--queue", f"{delay_ms / 2}ms"]
    return options


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def interfaces(flow):
    return {h["interface"] for h in flow["path"]["hops"]} if flow["path"] else set()


class Meter:
    """Transfers between the hosts of a pair."""

    def __init__(self, pair, delay_ms=0):
        """delay_ms: as for the lab: a transfer needs some round trips to get to its speed."""
        self.after, self.seconds = 0.8 + 0.012 * delay_ms, 2.2 + 0.02 * delay_ms
        self.pair, self.h1, self.h2 = pair, pair.h1, pair.h2
        self.next_link = 0

    def flows(self):
        return [f for f in self.h1.flows(protocol="tcp", state="open") if f["remote"].endswith(f":{PORT}")]

    def counters(self, upload):
        """Of the client's daemon, and the time-outs of the sending kernel."""
        now = {name: self.h1.counter(name) for name in ("moves", "suspects", "trials")}
        now["tcp_timeouts"] = nstat(self.h1.ns_egress if upload else self.h2.ns_ingress)["TcpExtTCPTimeouts"]
        return now

    def links_to_kill(self, flows, dying):
        """Those of some flows; another one each time, so that no link seems to flap."""
        used = sorted(min(interfaces(f)) for f in flows)  # interface ids of link i are i and 100 + i
        self.next_link += 1
        return [used[(self.next_link + i) % len(used)] for i in range(dying)]

    def one(self, upload, mptcp=True, direction="both", how="blackhole", dying=1, rate=0):
        """One transfer in which links die (how=None: none does): what the receiver found."""
        seconds, after = self.seconds, self.after
        far, near = ("receive", "send") if upload else ("serve", "fetch")
        count = LINKS if mptcp else 1
        before = self.counters(upload)
        server = self.h2.spawn([STALL, far, PORT, seconds] + ([] if upload else [rate, CONTROL]), ingress=True,
                               mptcp=mptcp)
        self.h2.wait_listening(PORT)
        client = self.h1.spawn([STALL, near, self.h2.address(4), PORT, seconds] + ([rate, CONTROL] if upload else []),
                               mptcp=mptcp)
        began = time.monotonic()
        flows = wait_for(lambda: len(self.flows()) == count and self.flows(), 5, f"{count} flows")
        links = self.links_to_kill(flows, dying) if how else []
        time.sleep(max(0, began + after - time.monotonic()))
        for link in links:
            self.pair.lab.link(link, how, *([] if direction == "both" else ["--direction", direction]))
        reader = server if upload else client
        reader.wait(seconds + 40)
        answer = traffic_answer(reader.finish())
        (client if upload else server).close()
        answer["direction"] = direction
        answer.update({name: value - before[name] for name, value in self.counters(upload).items()})
        for link in links:
            self.pair.lab.link(link, "restore")
        wait_for(lambda: not self.flows(), 10, "the end of the flows")
        self.h1.wait_paths(LINKS)
        return answer

    def many(self, runs, directions=("both",), **what):
        """@directions: of the links that die, in turn."""
        return [self.one(direction=directions[i % len(directions)], **what) for i in range(runs)]


def distribution(name, answers):
    ms = [a["longest_ms"] for a in answers]
    timed_out = sum(bool(a["tcp_timeouts"]) for a in answers)
    return (f"{name}: {len(ms)} runs, stall p50 {percentile(ms, 0.5):.0f} ms, p90 {percentile(ms, 0.9):.0f}, "
            f"p99 {percentile(ms, 0.99):.0f}, longest {max(ms):.0f}; moves {sum(a['moves'] for a in answers)}, "
            f"suspicions {sum(a['suspects'] for a in answers)}, trials {sum(a['trials'] for a in answers)}; "
            f"TCP timed out in {timed_out}; " +
            "; ".join(f"{d}: " + " ".join(f"{v:.0f}" for v in sorted(a["longest_ms"] for a in answers if a["direction"] == d))
                      for d in sorted({a["direction"] for a in answers})))
