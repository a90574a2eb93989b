#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The last router of a path as a second witness, and what SCMP errors start: with real routers, none of which can be told what to say."""

import signal
import time

from harness import *  # noqa: F403

LINKS = 3


class Witness(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=LINKS, apps=(4,)))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2

    def setUp(self):
        wait_for(lambda: not self.flows(), 10, "no flow of a test before")
        self.h2.serve()
        self.client = self.h1.spawn_traffic("beat", self.h2.address(4), 8000, 120)
        wait_for(lambda: len(self.flows()) == LINKS, 10, "a flow on each path")
        self.before = {k: self.h1.counter(k) for k in ("moves", "scmp_hints", "traceroutes_tx", "traceroute_replies_rx")}
        self.last = max([e["number"] for e in self.h1.rpc("events")], default=0)

    def flows(self):
        return self.h1.flows(protocol="tcp", state="open")

    def events(self, *names):
        return [e for e in self.h1.rpc("events", after=self.last) if e["event"] in names]

    def more(self, counter):
        return self.h1.counter(counter) - self.before[counter]

    def paths(self, witness):
        return [p for p in self.h1.rpc("paths", why=True) if p["witness"] == witness]

    def test_peer_silent(self):
        """Its daemon stands still: each path works as far as its AS, no flow moves, and all of it goes on when the daemon does."""
        where = {f["id"]: f["path"]["fingerprint"] for f in self.flows()}
        self.h2.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            wait_for(lambda: len(self.paths("peer_silent")) == LINKS, 15, "the peer is known to be the matter", every=0.1)
            for p in self.paths("peer_silent"):
                self.assertEqual(p["state"], "down")
                self.assertIn("the peer is silent, not the path", p["why"])
            self.assertIn("down, peer silent", self.h1.shila("paths").stdout)
            seconds = time.monotonic() - began
            self.assertLessEqual(self.more("traceroutes_tx"), LINKS * (5 + 4 * seconds))
            self.assertEqual(self.more("moves"), 0)
        finally:
            self.h2.send_signal(signal.SIGCONT)
        self.h1.wait_paths(LINKS)
        self.client.end_traffic()
        self.assertEqual(len(self.events("path_peer_silent")), LINKS)
        self.assertEqual(self.events("path_dead"), [])
        self.assertEqual([e["event"] for e in self.events("peer_silent", "peer_up")], ["peer_silent", "peer_up"])
        self.assertEqual(self.h1.log().count("its flows stay where they are"), 1)
        self.assertEqual(self.more("moves"), 0)
        for e in self.events("flow_closed"):
            self.assertTrue(where[e["flow"]].startswith(e["path"]), "a flow ended on the path that it was on")
        self.assertGreaterEqual(self.more("traceroute_replies_rx"), LINKS)

    def test_path_dead(self):
        """A link that loses everything, BFD too: routers notice, the last one does not answer, and the peer is not blamed."""
        self.pair.lab.link(2, "blackhole")
        try:
            dead = wait_for(lambda: self.paths("path_dead"), 15, "the path is known to be the matter", every=0.1)
            self.assertEqual([p["hops"][0]["interface"] for p in dead], [2])
            self.assertIn("nor does its last router", dead[0]["why"])
            self.assertEqual(len(self.events("path_dead")), 1)
            self.assertEqual(self.events("path_peer_silent", "peer_silent"), [])
            self.assertIn("is dead: its last router", self.h1.shila("events", "--once").stdout)
            self.assertGreaterEqual(self.more("moves"), 1)
        finally:
            self.pair.lab.link(2, "restore")
        self.h1.wait_paths(LINKS)
        self.assertEqual(self.paths("path_dead"), [])
        self.client.end_traffic()

    def test_link_down(self):
        """Routers know that a link is down, and say so in answer to the first packet: no PROBE has to time out."""
        self.pair.lab.link(3, "cut")
        try:
            wait_for(lambda: any(p["state"] == "down" for p in self.h1.rpc("paths")), 10, "the path is down")
            wait_for(lambda: self.more("scmp_hints"), 5, "routers say so")  # flows may have left before they noticed
            wait_for(lambda: not any(3 in [x["interface"] for x in f["path"]["hops"]] for f in self.flows()), 10, "no flow on it")
        finally:
            self.pair.lab.link(3, "restore")
        self.h1.wait_paths(LINKS)
        self.client.end_traffic()


if __name__ == "__main__":
    main()
