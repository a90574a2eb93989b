#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Emulated links (scripts/lab up --emulated-links) between real routers: delay, loss, cuts; and programs that hang.

      h1 ─ 64512 ═══ 1, 2, 3 ═══ 64513 ─ h2
"""

import json
import os
import re
import sys

from harness import *  # noqa: F403
from harness import SANITIZERS

sys.path.insert(0, os.path.join(ROOT, "scripts"))
from labnet import config, emulator  # noqa: E402
PROBE_ROUNDS = 10
# All properties that a test leaves, taken away.
CLEAN = {"cut": "none", **dict.fromkeys(["rate_bit_s", "queue_bytes", "delay_ms", "jitter_ms", "loss", "burst_start",
                                         "reorder", "duplicate"], 0)}


class Links(SystemTest):
    """A lab whose links have no properties when a test begins."""

    @classmethod
    def make(cls, **options):
        cls.lab = cls.keep(Lab(topology="parallel", links=3, more=["--emulated-links", "--seed", "7"], **options))

    def setUp(self):
        for link in (1, 2, 3):  # as scripts/lab does it, but without its start each time
            emulator.call(self.lab.name, {"op": "set", "link": link, "carrier": True, "props": CLEAN})

    def tearDown(self):
        with open(os.path.join(self.lab.info["state_dir"], "log", "emulator.log"), encoding="utf-8") as f:
            log = f.read()
        self.assertFalse(SANITIZERS.search(log), log)
        self.assertEqual(log, "")

    def round_trip(self, link):
        """In ms from h1 to the router at the far end of a link, which answers traceroute, and back: the shortest of
        some, as a busy machine and routers that collect garbage only add to it."""
        found = []
        for _ in range(5):
            p = self.lab._call("exec", "h1", "scion", "traceroute", "1-64513,10.13.0.2", "--format", "json",
                               "--sequence", f"1-64512#{link} 1-64513#{100 + link}")
            found += json.loads(p.stdout)["hops"][1]["round_trip_times"]
        return min(found)

    def check_alive(self, wanted, host="h1", destination="1-64513"):
        """These links and no others let probes through; who does not answer is asked again, as a router may be slow."""
        seen = set()
        for _ in range(PROBE_ROUNDS):
            p = run([LAB, "exec", "--name", self.lab.name, host, "scion", "showpaths", destination, "-m", 100,
                     "--timeout", "400ms", "--format", "json"], check=False)
            seen |= {path["hops"][0]["interface"] % 100 for path in json.loads(p.stdout)["paths"]
                     if path["status"] == "alive"}
            if seen >= set(wanted):
                break
        self.assertEqual(sorted(seen), wanted)

    def state(self, link):
        return self.lab.status()["links"][link - 1]["state"]


class Measured(Links):
    """What has to be right to the millisecond."""

    NEEDS_PLAIN_BUILD = True

    @classmethod
    def setUpClass(cls):
        cls.make()

    def test_delay(self):
        before = self.round_trip(2)
        self.lab.link(2, "--delay", "10ms")
        self.assertAlmostEqual(self.round_trip(2) - before, 20, delta=1)
        self.lab.link(2, "--delay", "0", "--direction", "b")
        self.assertAlmostEqual(self.round_trip(2) - before, 10, delta=1)
        self.assertAlmostEqual(self.round_trip(1) - before, 0, delta=1)  # the others are as they were

    def test_nobody_notices_although_there_is_bfd(self):
        self.lab.link(1, "blackhole", "--spare-bfd")
        self.lab.link(2, "blackhole", "--wait")  # as the routers see this one, they would have seen the other
        self.assertEqual((self.state(1), self.state(2)), ("silent", "blackhole"))
        self.check_alive([3])
        p = run(["nsenter", f"--net=/run/netns/{self.lab.info['ases'][0]['netns']}", "curl", "-s",
                 f"http://{config.ROUTER_API}/api/v1/interfaces"])
        seen = {i["interface_id"]: i["state"] for i in json.loads(p.stdout)["interfaces"]}
        self.assertEqual(seen, {1: "up", 2: "down", 3: "up"})

    def test_loss(self):
        for link in (1, 2, 3):  # which one it is that the packets take does not matter
            self.lab.link(link, "--loss", "5%", "--direction", "a")
        before = self.lab.counters()
        h1, h2 = (self.lab.hosts[h] for h in ("h1", "h2"))
        p = run(self.lab.inside("h1", [os.path.join(BUILD, "tests", "router_load"), h1["daemon"],
                                       *(f"{h['isd_as']},{h['address']}" for h in (h1, h2)),
                                       f"/run/netns/{h2['netns']}", 0, 1, 200, 1, 4]))
        seen = json.loads(p.stdout)
        after = self.lab.counters()
        sent = seen["received"] / (1 - seen["loss"])
        self.assertGreater(sent, 1000)
        self.assertLess(abs(seen["loss"] - 0.05), 4 * (0.05 * 0.95 / sent) ** 0.5, seen)
        lost = {way: sum(a[way]["lost_random"]["packets"] - b[way]["lost_random"]["packets"]
                         for a, b in zip(after, before)) for way in ("ab", "ba")}
        self.assertEqual(lost["ba"], 0)
        self.assertGreater(lost["ab"], 0.8 * seen["loss"] * sent)


class Cuts(Links):
    """Nobody notices anything: BFD is off."""

    @classmethod
    def setUpClass(cls):
        cls.make(bfd=False)

    def test_black_hole(self):
        self.check_alive([1, 2, 3])
        self.lab.link(1, "blackhole")
        self.lab.link(2, "blackhole", "--direction", "ba")
        self.assertEqual((self.state(1), self.state(2)), ("blackhole", "blackhole-ba"))
        before = self.lab.counters()
        self.check_alive([3])
        after = self.lab.counters()
        # Into the link that is cut one way the request went through, and its answer did not come back.
        for link, lost in ((0, {"ab": True, "ba": False}), (1, {"ab": False, "ba": True})):
            for way, some in lost.items():
                more = after[link][way]["lost_cut"]["packets"] - before[link][way]["lost_cut"]["packets"]
                self.assertEqual(more > 0, some, (link, way))
        self.lab.link(1, "restore")
        self.lab.link(2, "restore")
        self.check_alive([1, 2, 3])

    def test_cut_takes_the_carrier(self):
        self.lab.link(2, "cut")
        self.assertEqual(self.state(2), "cut")
        for a in self.lab.info["ases"]:
            shown = run(["ip", "-n", a["netns"], "-j", "link", "show", "l2"])
            self.assertIn("NO-CARRIER", json.loads(shown.stdout)[0]["flags"])
        self.check_alive([1, 3])
        self.lab.link(2, "restore")
        self.check_alive([1, 2, 3])

    def test_properties_are_shown(self):
        self.lab.link(1, "--delay", "3ms", "--loss", "1%", "--bursts", "1000:20:50%", "--jitter", "500us",
                      "--reorder", "2%:1ms", "--duplicate", "0.5%", "--rate", "20mbit", "--queue", "64kB")
        self.lab.link(1, "rate", "5mbit")
        status = self.lab.status()
        for way in ("ab", "ba"):
            p = status["links"][0]["properties"][way]
            self.assertEqual([p[k] for k in ("delay_ms", "jitter_ms", "loss", "burst_start", "burst_end", "burst_loss",
                                             "reorder", "reorder_ms", "duplicate", "rate_bit_s", "queue_bytes")],
                             [3, 0.5, 0.01, 0.001, 0.05, 0.5, 0.02, 1, 0.005, 5_000_000, 64000])
        self.assertEqual((status["links"][0]["rate"], status["emulator"]["seed"]), ("5mbit", 7))
        text = self.lab._call("status").stdout
        self.assertIn("rate 5mbit, queue 64000B, delay 3ms, jitter 0.5ms, loss 1%, bursts 1000:20:50%, "
                      "reorder 2%:1ms, duplicate 0.5%", text)
        p = run([LAB, "link", "--name", self.lab.name, "1", "--delay", "61s"], check=False)
        self.assertEqual((p.returncode, p.stderr), (1, "lab: a time is above 60 s\n"))

    def test_paused_and_restarted(self):
        self.lab._call("pause", "router@64513")
        self.assertTrue(self.lab.status()["ases"][1]["processes"]["router"]["paused"])
        self.check_alive([])
        self.lab._call("resume", "router@64513")
        self.check_alive([1, 2, 3])
        pid = self.lab.processes("h2")["router"]
        self.lab._call("restart", "--kill", "--wait", "router@64513")
        self.assertNotEqual(self.lab.processes("h2")["router"], pid)
        self.check_alive([1, 2, 3])


if __name__ == "__main__":
    main()  # noqa: F405
