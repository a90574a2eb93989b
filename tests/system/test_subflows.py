#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""shila's own path manager: as many subflows as there are paths, and each is back soon after somebody ended it."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from harness import *
from subflows import *


class Subflows(SubflowTest):
    def test_killed(self):
        """The main flow and subflows, by `ss -K` in either namespace; then all at once."""
        self.connect(4)
        main = self.main_port()
        took = []
        for host, count in ((self.h1, 2), (self.h2, 1)):
            for port in sorted(self.sockets(), key=lambda p: p != main)[:count]:
                time.sleep(0.6)  # who dies as soon as it is born is made again later and later
                self.kill(host, port)
                took.append(self.back(port, f"ss -K at {host.host}"))
        time.sleep(0.6)
        for port in self.sockets():
            self.kill(self.h1, port)
        took.append(self.back(None, "all of them"))
        print("subflows back after " + " ".join(f"{t * 1000:.0f}" for t in took) + " ms", file=sys.stderr)
        self.assertGreaterEqual(self.h1.counter("subflows_lost"), 4)
        events = self.events()
        self.assertEqual({name: len(found) for name, found in events.items()},
                         {"subflow_added": 2, "subflow_lost": 6, "subflow_recreated": 6})
        self.assertEqual({e["reason"] for e in events["subflow_lost"]},
                         {"Software caused connection abort", "Connection reset by peer"})
        text = self.h1.shila("events", "--once").stdout
        self.assertRegex(text, rf":{self.port} was lost, path [0-9a-f]{{8}} to \S+ \(Connection reset by peer\)")
        self.assertRegex(text, rf":{self.port} was made in the place of a lost one, path ")
        self.check()

    def test_killed_when_young(self):
        """As soon as it is there again: later each time, but not much."""
        self.connect(4)
        for _ in range(2):
            port = next(p for p in self.sockets() if p != self.main_port())
            self.kill(self.h1, port)
            self.back(port, "killed when young")
        self.check()

    def test_path_manager_command(self):
        """Of somebody else: SUBFLOW_DESTROY at the client; at the server the address of all subflows is withdrawn."""
        self.connect(4)
        main, took = self.main_port(), []
        for port in sorted(self.sockets(), key=lambda p: p != main)[:2]:
            time.sleep(0.6)
            self.destroy(port)
            took.append(self.back(port, "SUBFLOW_DESTROY"))
        self.assertEqual([e["reason"] for e in self.events()["subflow_lost"]], ["closed by the peer"] * 2)
        time.sleep(0.6)
        before = self.sockets()
        self.remove_address()
        wait_for(lambda: not before & self.sockets(), 10, "none of before is left")
        took.append(self.back(None, "REMOVE_ADDR"))
        print("subflows back after " + " ".join(f"{t * 1000:.0f}" for t in took) + " ms", file=sys.stderr)
        self.check()

    def test_rst_injected(self):
        """The server's end knows nothing of it, and is told."""
        self.connect(4)
        self.back(self.inject_at_client(), "RST")
        self.check()

    def test_rst_injected_at_the_server(self):
        """The client's end knows nothing of it, and is told: also if it has nothing to send."""
        self.connect(4)
        closes, after = self.h2.counter("closes_tx"), max(e["number"] for e in self.h2.rpc("events"))
        self.back(self.inject_at_server(), "RST at the server")
        self.assertLessEqual(self.h2.counter("closes_tx"), closes + 1)
        self.assertEqual([e["reason"] for e in self.h2.rpc("events", after=after) if e["event"] == "subflow_lost"],
                         ["Connection reset by peer"])
        self.check()

    def test_rst_kept_back(self):
        """The client's socket is gone and its RST does not leave (a firewall): the server's end is reset by CLOSE."""
        self.connect(4)
        nft = ["ip", "netns", "exec", self.h1.ns_egress, "nft"]
        run(nft + ["add table ip t; add chain ip t c { type filter hook output priority 0; }; "
                   "add rule ip t c tcp flags & rst == rst drop"])
        closes = self.h1.counter("closes_tx")
        try:
            port = sorted(self.sockets())[-1]
            self.kill(self.h1, port)
            self.back(port, "without a RST")
        finally:
            run(nft + ["delete table ip t"])
        self.assertEqual(self.h1.counter("closes_tx"), closes + 1)
        self.check()

    def test_link_cut_and_restored(self):
        """Its subflow ends, and is there again; so has a connection that began meanwhile all subflows afterwards."""
        self.connect(6)
        self.pair.lab.link(2, "cut")
        try:
            wait_for(lambda: len(self.sockets()) == LINKS - 1 == len(self.flows()), 20, "one subflow less")
            self.assertEqual(len(self.events()["subflow_ended"]), 1)
            old, old_port = self.client, self.port
            self.setUp()
            self.connect(4, paths=LINKS - 1)
        finally:
            self.pair.lab.link(2, "restore", "--wait")
        wait_for(lambda: len(self.sockets()) == LINKS == len(self.flows()), 20, "one more than when it began")
        self.check()
        self.client, type(self).port = old, old_port
        wait_for(lambda: len(self.sockets()) == LINKS == len(self.flows()), 20, "as many as before")
        self.check()
        type(self).port += 1

    def test_slow_path(self):
        """Much slower than the others: it is not dead for that, and carries data only if no other does; while it lasts."""
        self.connect(4)

        def link_of(flow):
            return flow["path"]["hops"][0]["interface"]
        self.pair.lab.link(3, "--delay", "600ms")
        try:
            wait_for(lambda: [link_of(f) for f in self.flows() if f["backup"]] == [3] and len(self.flows()) == LINKS, 30,
                     "the subflow on link 3 is for backup")
            self.assertIn("subflow_backup", self.events())
            path = next(p for p in self.h1.rpc("paths") if p["hops"][0]["interface"] == 3)
            self.assertEqual(path["state"], "up")
        finally:
            self.pair.lab.link(3, "--delay", "0")
        wait_for(lambda: not any(f["backup"] for f in self.flows()) and len(self.flows()) == LINKS, 30, "as the others again")
        self.assertIn("subflow_normal", self.events())
        self.check()

    def test_backup(self):
        """Subflows that are for backup carry data only while the main flow is gone; another one takes its place."""
        self.connect(address=BACKUP.split("/")[0])
        time.sleep(0.5)
        wait_for(lambda: any(f["role"] == "main" and f["tx_bytes"] + f["rx_bytes"] > 100_000 for f in self.flows()), 20,
                 "data by the main flow")
        for f in self.flows():
            if f["role"] == "sub":
                self.assertTrue(f["backup"])
                self.assertEqual(f["tx_bytes"] + f["rx_bytes"], 0)
        main = self.main_port()
        self.kill(self.h1, main)
        self.back(main, "the main flow")
        self.assertEqual(sum(not f["backup"] for f in self.flows()), 1)
        # The next daemon finds who has the place of the main flow: one and no more.
        self.h1.kill()
        self.h1.start()
        wait_for(lambda: len(self.flows()) == LINKS and sum(not f["backup"] for f in self.flows()) == 1, 10, "after a restart")
        wait_for(lambda: any(not f["backup"] and f["tx_bytes"] + f["rx_bytes"] > 100_000 for f in self.flows()), 20,
                 "data by what stands for it")
        self.check()

    def test_after_a_restart(self):
        """The next daemon goes on with the connections of the one before."""
        self.connect(4)
        before = self.sockets()
        self.h1.kill()
        self.h1.start()
        time.sleep(0.5)
        self.assertEqual(self.sockets(), before)
        wait_for(lambda: len(self.flows()) == LINKS, 20, "its flows")
        port = sorted(before)[0]
        self.assertEqual(self.h1.counter("subflow_priorities"), 0)  # what they have was asked for
        self.kill(self.h1, port)
        self.back(port, "after a restart")
        self.check()

    def test_killed_while_nobody_listens(self):
        """The daemon is gone for a moment, and meanwhile subflows: neither events nor RSTs were seen."""
        self.connect(4)
        gone = {self.main_port(), max(self.sockets() - {self.main_port()})}
        self.h1.kill()
        for port in gone:
            self.kill(self.h1, port)
        self.assertEqual(len(self.sockets()), 1)
        self.h1.start()
        self.after = 0
        began = time.monotonic()
        wait_for(lambda: len(self.sockets()) == LINKS == len(self.sockets(self.h2)) and not gone & self.sockets(), 10, "all again")
        print(f"subflows back {time.monotonic() - began:.2f} s after a start", file=sys.stderr)
        wait_for(lambda: len(self.flows()) == LINKS, 5, "their flows")
        self.assertEqual({name: len(found) for name, found in self.events().items()}, {"subflow_lost": 2, "subflow_recreated": 2})
        self.check()


if __name__ == "__main__":
    main()
