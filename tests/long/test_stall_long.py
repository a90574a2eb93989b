#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Silent black holes, 30 of each kind: how long the receiving program waits. Prints the distributions.

One flow and three, upload and download, each direction of the link alone; round trips as fast as the lab, 20 ms and 100 ms.
STALL_RUNS=3 for an impression.
"""

import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system"))

from harness import *  # noqa: E402,F403
from stalls import LINKS, PORT, STALL, Meter, distribution, interfaces, lab_options, percentile  # noqa: E402

NEEDS_PLAIN_BUILD = True
RUNS = int(os.environ.get("STALL_RUNS", "30"))


class Cases:
    delay_ms = 0

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(config={"workers": 1}, **lab_options(cls.delay_ms)))
        cls.meter = Meter(cls.pair, cls.delay_ms)

    def check(self, **what):
        """Dead in both directions, and in each alone, in turn."""
        answers = self.meter.many(RUNS, directions=("both", "ab", "ba"), **what)
        name = f"RTT + {self.delay_ms} ms, " + ", ".join(f"{k} {v}" for k, v in what.items())
        print(distribution(name, answers), flush=True)
        self.assertTrue(all(a["moves"] for a in answers), answers)

    def test_upload_of_one_flow(self):
        self.check(upload=True, mptcp=False)

    def test_download_of_one_flow(self):
        self.check(upload=False, mptcp=False)

    def test_upload_one_of_three(self):
        self.check(upload=True)

    def test_download_one_of_three(self):
        self.check(upload=False)

    def test_upload_two_of_three(self):
        self.check(upload=True, dying=2)

    def test_download_two_of_three(self):
        self.check(upload=False, dying=2)

    def test_no_false_alarms(self):
        answers = self.meter.many(RUNS, upload=True, how=None)
        minutes = RUNS * self.meter.seconds / 60
        print(distribution(f"RTT + {self.delay_ms} ms, no link dies", answers), f"in {minutes:.1f} minutes", flush=True)
        self.assertLess(sum(a["moves"] for a in answers) / minutes, 10)


class Fast(Cases, SystemTest):
    pass


class Rtt20(Cases, SystemTest):
    delay_ms = 20


class Rtt100(Cases, SystemTest):
    delay_ms = 100


class Troubles(SystemTest):
    """A link that is bad, but not dead, beside two that are well: one connection with failover and one that has no other path."""

    KINDS = {
        "5 % loss": ["--loss", "5%"],
        "30 % loss in bursts": ["--bursts", "200:20:30%"],
        "20 ms jitter": ["--jitter", "20ms"],
        "1 % reordering": ["--reorder", "1%"],
    }
    WELL = ["--loss", "none", "--bursts", "none", "--jitter", "0", "--reorder", "none"]
    ONLY_ONE = {"paths": {"policy": ["- 1-64512#2", "- 1-64512#3", "+"]}}
    SECONDS = 6

    def bulk(self, pair, properties):
        meter = Meter(pair)
        before = meter.counters(True)
        server = pair.h2.spawn([STALL, "receive", PORT, self.SECONDS], ingress=True)
        pair.h2.wait_listening(PORT)
        client = pair.h1.spawn([STALL, "send", pair.h2.address(4), PORT, self.SECONDS], mptcp=False)
        flows = wait_for(meter.flows, 10, "the flow")
        link = min(interfaces(flows[0]))
        pair.lab.link(link, *properties)
        server.wait(self.SECONDS + 40)
        answer = traffic_answer(server.finish())
        client.close()
        pair.lab.link(link, *self.WELL)
        wait_for(lambda: not meter.flows(), 20, "the end of the flow")
        return answer["bytes"] * 8e-6 / self.SECONDS, meter.counters(True)["moves"] - before["moves"]

    def thinking(self, pair, properties):
        """Keys of somebody who thinks: (the slowest echo in ms, moves)."""
        before = Meter(pair).counters(True)
        client = pair.h1.spawn([sys.executable, "-B", TRAFFIC, "talk", pair.h2.address(4), 8000], mptcp=False, stdin=subprocess.PIPE)
        wait_for(lambda: "connected" in client.output(), 10, "the connection")
        link = min(interfaces(pair.h1.flows(protocol="tcp", state="open")[0]))
        pair.lab.link(link, *properties)
        thinks = random.Random(7)
        for number in range(40):
            client.stdin.write(b"\n")
            client.stdin.flush()
            wait_for(lambda: re.findall(r"answered after ([\d.]+) ms", client.output())[number:], 60, "an answer")
            time.sleep(thinks.choice([0.05, 0.1, 0.2, 0.4]))
        slowest = max(float(ms) for ms in re.findall(r"answered after ([\d.]+) ms", client.output()))
        client.stdin.close()
        client.finish()
        pair.lab.link(link, *self.WELL)
        wait_for(lambda: not pair.h1.flows(state="open"), 20, "the end of the flow")
        return slowest, Meter(pair).counters(True)["moves"] - before["moves"]

    def test_no_worse_than_without_failover(self):
        """In turn, so that what else happens on the machine happens to both."""
        pairs = {}
        for name, config in (("without", self.ONLY_ONE), ("with", {})):
            pairs[name] = self.use(Pair(config={"workers": 1}, config1=config, **lab_options(20)))
            pairs[name].h2.serve()
        worse = []
        for kind, properties in self.KINDS.items():
            seen = {"without": [], "with": []}
            for i in range(max(1, RUNS // 3)):
                for name in sorted(seen, reverse=i % 2):
                    seen[name].append(self.bulk(pairs[name], properties))
            keys = {name: self.thinking(pairs[name], properties) for name in seen}
            off, on = ([m for m, _ in seen[name]] for name in ("without", "with"))
            moves = sum(moves for _, moves in seen["with"]) * 60 / len(on) / self.SECONDS
            print(f"{kind}: {len(on)} times {self.SECONDS} s, Mbit/s with failover {statistics.median(on):.1f} ({min(on):.1f} to "
                  f"{max(on):.1f}), without {statistics.median(off):.1f} ({min(off):.1f} to {max(off):.1f}); {moves:.1f} moves a "
                  f"minute. Slowest of 40 keys {keys['with'][0]:.0f} ms (without: {keys['without'][0]:.0f}), {keys['with'][1]} moves",
                  flush=True)
            if statistics.median(on) < 0.95 * statistics.median(off):
                worse.append(kind)
        self.assertEqual(worse, [])


class Flapping(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(config={"workers": 1}, **lab_options(20)))
        cls.meter = Meter(cls.pair)

    def test_flapping(self):
        """One second up, one second down, for a minute: beside what the other two paths give."""
        done = threading.Event()

        def flap():
            while not done.is_set():
                self.pair.lab.link(1, "blackhole")
                done.wait(1)
                self.pair.lab.link(1, "restore")
                done.wait(1)
        self.pair.lab.link(1, "blackhole")
        wait_for(lambda: any(p["state"] == "down" for p in self.pair.h1.rpc("paths")), 10, "the path is known to be down")
        others = self.send(20)
        self.pair.lab.link(1, "restore")
        self.pair.h1.wait_paths(LINKS)
        thread = threading.Thread(target=flap)
        thread.start()
        try:
            answer = self.send(60)
        finally:
            done.set()
            thread.join()
            self.pair.lab.link(1, "restore")
        self.pair.h1.wait_paths(LINKS, seconds=60)
        print(f"flapping: {answer['mbit']:.0f} Mbit/s beside {others['mbit']:.0f} over the other two, {answer['moves']} moves",
              flush=True)
        self.assertGreater(answer["mbit"], 0.9 * others["mbit"])

    def send(self, seconds):
        h1, h2 = self.pair.h1, self.pair.h2
        moves, trials = h1.counter("moves"), h1.counter("trials")
        server = h2.spawn([STALL, "receive", PORT, seconds], ingress=True)
        h2.wait_listening(PORT)
        client = h1.spawn([STALL, "send", h2.address(4), PORT, seconds])
        server.wait(seconds + 40)
        answer = traffic_answer(server.finish())
        client.close()
        wait_for(lambda: not self.meter.flows(), 10, "the end of the flows")
        answer.update(mbit=answer["bytes"] * 8e-6 / seconds, moves=h1.counter("moves") - moves, trials=h1.counter("trials") - trials)
        return answer


class Repair(SystemTest):
    """A link comes back: from when its router says so all three paths are to carry data within 1.5 s, and 95 % within 3 s."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(config={"workers": 1}, **{**lab_options(20), "bfd": True}))
        cls.meter = Meter(cls.pair)

    def carried(self):
        """Bytes by link, of flows that are on it now."""
        return {min(interfaces(f)): f["tx_bytes"] for f in self.meter.flows()}

    def rate(self, seconds):
        before = sum(f["tx_bytes"] for f in self.meter.flows())
        time.sleep(seconds)
        return (sum(f["tx_bytes"] for f in self.meter.flows()) - before) / seconds

    def one(self, link):
        full = self.rate(2)
        self.pair.lab.link(link, "cut", "--wait")
        wait_for(lambda: link not in self.carried(), 10, "no flow on it")
        time.sleep(2)
        self.pair.lab.link(link, "restore", "--wait")
        began = time.monotonic()
        last = {}

        def all_carry():
            now = self.carried()
            grown = len(now) == LINKS and all(now[n] > last.get(n, now[n]) for n in now)
            last.update(now)
            return grown
        wait_for(all_carry, 20, "data on three paths")
        carries_s = time.monotonic() - began
        wait_for(lambda: self.rate(0.5) > 0.95 * full, 30, "95 % of the rate")
        return carries_s, time.monotonic() - began

    def test_repair(self):
        server = self.pair.h2.spawn([STALL, "receive", PORT, 3600], ingress=True)
        self.pair.h2.wait_listening(PORT)
        client = self.pair.h1.spawn([STALL, "send", self.pair.h2.address(4), PORT, 3600, 0, "cubic"])
        wait_for(lambda: len(self.meter.flows()) == LINKS, 10, "three flows")
        time.sleep(5)
        seen = []
        for i in range(RUNS):
            seen.append(self.one(1 + i % LINKS))
            time.sleep(8)  # else it would flap
        for text, values in zip(("all three carry", "95 % of the rate"), zip(*seen)):
            ordered = sorted(values)
            print(f"{text} after s: p50 {percentile(ordered, 0.5):.2f}, p99 {percentile(ordered, 0.99):.2f}; all: " +
                  " ".join(f"{v:.2f}" for v in ordered), flush=True)
        client.close()
        server.close()
        self.assertLess(percentile([s for s, _ in seen], 0.5), 1.5)
        self.assertLess(percentile([s for _, s in seen], 0.5), 3)


class KnownDown(SystemTest):
    """A link is known to be down when an idle connection says something again."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(config={"workers": 1}, topology="parallel", links=LINKS, rate="100mbit"))

    def one(self):
        """How long the first answer took, in ms."""
        h1 = self.pair.h1
        client = h1.spawn([sys.executable, "-B", TRAFFIC, "talk", self.pair.h2.address(4), 8000], mptcp=False,
                          stdin=subprocess.PIPE)

        def ask(number):
            client.stdin.write(b"\n")
            client.stdin.flush()
            return wait_for(lambda: re.findall(r"answered after ([\d.]+) ms", client.output())[number:], 10, "an answer")[0]
        wait_for(lambda: "connected" in client.output(), 10, "the connection")
        ask(0)
        link = min(interfaces(h1.flows(protocol="tcp", state="open")[0]))
        self.pair.lab.link(link, "cut", "--wait")
        wait_for(lambda: any(p["state"] == "down" for p in h1.rpc("paths")), 10, "the path is known to be down")
        time.sleep(0.1)
        took = float(ask(1))
        client.stdin.close()
        client.finish()
        self.pair.lab.link(link, "restore", "--wait")
        wait_for(lambda: not h1.flows(state="open"), 10, "the end of the flow")
        h1.wait_paths(LINKS)
        return took

    def test_idle_flow(self):
        self.pair.h2.serve()
        waited = sorted(self.one() for _ in range(RUNS))
        print("known down, first answer after ms:", " ".join(f"{ms:.1f}" for ms in waited), flush=True)
        self.assertLess(waited[int(0.95 * len(waited))], 30)


if __name__ == "__main__":
    main()
