#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links go silent under a transfer, one after the other: what was lost is sent again on the next path (paths.replay).

      h1 ─ 64512 ═══ 1, 2, 3 ═══ 64513 ─ h2       20 ms, 60 Mbit/s
"""

import os
import sys
import time

from harness import *  # noqa: F403

sys.path.insert(0, os.path.join(ROOT, "scripts"))
from labnet import emulator  # noqa: E402

LINKS = 3
HOLES = 2
BYTES = 12 << 20


class Cases:
    """What is the same with and without."""

    replay = True

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=LINKS, routers="emulated", bfd=False, apps=(4, 6),
                                 more=["--emulated-links", "--rate", "60mbit", "--delay", "10ms"],
                                 config={"paths": {"replay": cls.replay}}))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2

    def setUp(self):
        self.h2.serve()

    def tearDown(self):
        for link in range(1, LINKS + 1):
            self.cut(link, "none")
        self.h1.wait_paths(LINKS)
        super().tearDown()

    def cut(self, link, how="all"):
        """As scripts/lab does it, but without its start each time."""
        emulator.call(self.pair.lab.name, {"op": "set", "link": link, "props": {"cut": how}})

    def flow(self):
        """The youngest connection: its local address, the link that it is on, and bytes."""
        flows = [f for f in self.h1.flows(protocol="tcp", state="open") if f["path"] and f["remote"].endswith(":8000")]
        f = min(flows, key=lambda f: f["age_ms"], default=None)
        return f and (f["local"], min(h["interface"] for h in f["path"]["hops"]), f["tx_bytes"] + f["rx_bytes"])

    def through_holes(self, what, family=4):
        """Every byte arrives although each path that is used dies; the sender's counters, and what was sent again."""
        sender = self.h1 if what == "put" else self.h2
        names = ("replays", "replayed_trains", "replayed_bytes")
        before = sender.nstat(what != "put"), {n: sender.counter(n) for n in names}
        client = self.h1.spawn_traffic(what, self.h2.address(family), 8000, BYTES, mptcp=False)
        local, link, _ = wait_for(self.flow, 10, "the flow")
        for _ in range(HOLES):
            begin = self.flow()[2]
            wait_for(lambda begin=begin: self.flow()[2] > begin + BYTES // 8, 20, "data on this path")
            self.cut(link)
            dead = link
            link = wait_for(lambda dead=dead: self.flow()[1] != dead and self.flow()[1], 10, "the next path")
            wait_for(lambda: self.flow()[2] > begin + BYTES // 4, 20, "data on the next path")
            self.cut(dead, "none")
        answer = traffic_answer(client.finish(60))
        self.assertTrue(answer["ok"], answer)
        self.assertEqual(self.flows_lost(), 0)
        after = sender.nstat(what != "put")
        self.times_out = after["TcpExtTCPTimeouts"] - before[0]["TcpExtTCPTimeouts"]
        return {n: sender.counter(n) - before[1][n] for n in names}

    def flows_lost(self):
        return self.h1.counter("unknowns_rx") + self.h2.counter("unknowns_rx")


class On(Cases, SystemTest):
    def check(self, what, family=4):
        again = self.through_holes(what, family)
        self.assertGreaterEqual(again["replays"], HOLES)
        self.assertGreater(again["replayed_trains"], HOLES)

    def test_upload(self):
        self.check("put")

    def test_download_ipv6(self):
        """The server only follows: it knows by itself that the old path was silent. And the client tells it by an ACK."""
        acks = self.h1.counter("replayed_acks")
        self.check("get", 6)
        self.assertGreaterEqual(self.h1.counter("replayed_acks"), acks + HOLES)

    def test_after_an_outage(self):
        """No path for long: TCP would wait for seconds when one is back, after an outage of a minute for a minute."""
        client = self.h1.spawn_traffic("put", self.h2.address(4), 8000, 4 * BYTES, mptcp=False)
        wait_for(lambda: self.flow() and self.flow()[2] > BYTES // 8, 20, "data")
        for link in range(1, LINKS + 1):
            self.cut(link)
        time.sleep(7.5)  # TCP has repeated after about 6.4 s, and would again after 12.8 s
        _, link, before = self.flow()
        self.cut(link, "none")
        wait_for(lambda: any(p["state"] == "up" for p in self.h1.rpc("paths")), 5, "a path is back")
        wait_for(lambda: self.flow()[2] > before + BYTES // 8, 1.5, "data again")
        for link in range(1, LINKS + 1):
            self.cut(link, "none")
        answer = traffic_answer(client.finish(60))
        self.assertTrue(answer["ok"], answer)

    def test_not_when_a_flow_goes_back(self):
        """Three subflows: one shares a path while its own is dead, and leaves it, which lives, when that is repaired."""
        client = self.h1.spawn_traffic("puts", self.h2.address(4), 8000, 60)

        def links():
            return sorted(min(h["interface"] for h in f["path"]["hops"]) for f in
                          self.h1.flows(protocol="tcp", state="open") if f["path"] and f["tx_bytes"] > 500_000)
        wait_for(lambda: links() == [1, 2, 3], 20, "data on three paths")
        self.cut(2)
        wait_for(lambda: links() in ([1, 1, 3], [1, 3, 3]), 10, "a path is shared")
        wait_for(lambda: self.h1.counter("replays"), 5, "sent again")
        time.sleep(0.5)  # if a second path was suspect for a moment, its flow is back by now
        before = [h.counter("replays") for h in (self.h1, self.h2)]
        self.cut(2, "none")
        wait_for(lambda: links() == [1, 2, 3], 10, "three paths again")
        self.assertEqual([h.counter("replays") for h in (self.h1, self.h2)], before)
        client.end_traffic()


class Off(Cases, SystemTest):
    replay = False

    def check(self, what):
        again = self.through_holes(what)
        self.assertEqual(again, dict.fromkeys(again, 0))
        self.assertEqual(self.h1.counter("replayed_acks"), 0)

    def test_upload(self):
        self.check("put")

    def test_download(self):
        self.check("get")


if __name__ == "__main__":
    main()
