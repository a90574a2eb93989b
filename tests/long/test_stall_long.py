#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Silent black holes, 30 of each kind: how long the receiving program waits. Prints the distributions.

One flow and three, upload and download, each direction of the link alone; round trips as fast as the lab, 20 ms and 100 ms.
STALL_RUNS=3 for an impression.
"""

import os
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system"))

from harness import *  # noqa: E402,F403
from stalls import LINKS, PORT, STALL, Meter, distribution, interfaces, lab_options  # noqa: E402

NEEDS_PLAIN_BUILD = True
RUNS = int(os.environ.get("STALL_RUNS", "30"))


class Cases:
    delay_ms = 0

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(config={"workers": 1}, **lab_options(cls.delay_ms)))
        cls.meter = Meter(cls.pair)

    def check(self, **what):
        answers = self.meter.many(RUNS, **what)
        name = f"RTT + {self.delay_ms} ms, " + ", ".join(f"{k} {v}" for k, v in what.items())
        print(distribution(name, answers), flush=True)
        self.assertTrue(all(a["moves"] for a in answers), answers)

    def test_upload_of_one_flow(self):
        self.check(upload=True, mptcp=False)

    def test_download_of_one_flow(self):
        self.check(upload=False, mptcp=False)

    def test_one_direction(self):
        for direction in ("ab", "ba"):
            self.check(upload=True, mptcp=False, direction=direction)

    def test_upload_of_three_flows(self):
        self.check(upload=True)

    def test_download_of_three_flows(self):
        self.check(upload=False)

    def test_two_of_three(self):
        self.check(upload=True, dying=2)

    def test_no_false_alarms(self):
        answers = self.meter.many(RUNS, upload=True, how=None)
        minutes = RUNS * 2.2 / 60
        print(distribution(f"RTT + {self.delay_ms} ms, no link dies", answers), f"in {minutes:.1f} minutes", flush=True)
        self.assertLess(sum(a["moves"] for a in answers) / minutes, 10)


class Fast(Cases, SystemTest):
    pass


class Rtt20(Cases, SystemTest):
    delay_ms = 20


class Rtt100(Cases, SystemTest):
    delay_ms = 100


class Troubles(SystemTest):
    """Links that are bad, but not dead: moves are counted, and what arrives."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(config={"workers": 1}, **lab_options(20)))
        cls.meter = Meter(cls.pair)

    def trouble(self, name, *properties):
        self.pair.lab.link(1, *properties)
        try:
            answer = self.send(60)
        finally:
            for p in properties[::2]:
                self.pair.lab.link(1, p, {"--jitter": "0", "--delay": "10ms"}.get(p, "none"))
        print(f"{name}: {answer['mbit']:.0f} Mbit/s, {answer['moves']} moves, {answer['trials']} trials in a minute",
              flush=True)
        self.assertLessEqual(answer["moves"], 6, answer)

    def test_loss(self):
        self.trouble("5 % loss", "--loss", "5%")

    def test_bursts(self):
        self.trouble("bursts of 30 %", "--bursts", "200:20:30%")

    def test_jitter(self):
        self.trouble("20 ms jitter", "--delay", "20ms", "--jitter", "10ms")

    def test_reordering(self):
        self.trouble("1 % reordering", "--reorder", "1%")

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
