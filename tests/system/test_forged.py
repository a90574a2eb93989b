#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Forged, spoofed and replayed packets, 10 000 a second: no flow moves, none is lost, and counters show each kind."""

from harness import *  # noqa: F403
from forging import LIMITS, LINKS, Forged

SECONDS = 0.5
NOT_DROPS = {"drop.probe_late", "drop.frame_state", "drop.no_flow"}  # a few of these are in any transfer


class Forging(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=LINKS, rate="20mbit", hosts_per_as=2, routers="emulated"))
        cls.server = cls.keep(Shilad(cls.lab, "h3", apps=(4,), peers=["h1"]))
        cls.client = cls.keep(Shilad(cls.lab, "h1", apps=(4,), peers=["h3"]))
        cls.client.wait_paths(LINKS)
        cls.server.wait_paths(LINKS)
        cls.keep(cls.server.serve())

    def setUp(self):
        wait_for(lambda: not self.flows(self.client), 10, "no flow of a test before")

    def flows(self, host):
        return {f["id"]: f["path_changes"] for f in host.flows(protocol="tcp", state="open")}

    def noticed(self):
        return {f"{h.host} {c}": h.counter(c) for h in (self.client, self.server) for c in
                ("moves", "moves_followed", "subflows_lost", "resets_to_programs", "unreachables_to_programs")}

    def attack(self, attacked, attacker, peer):
        transfer = self.client.spawn_traffic("gets", self.server.address(4), 8000, 120)
        wait_for(lambda: len(self.flows(self.client)) == LINKS, 10, "a flow on each path")
        forged = Forged(self.lab, attacked, attacker, peer)
        flows, noticed = [self.flows(h) for h in (self.client, self.server)], self.noticed()
        print()
        for name, (packets, counters) in forged.kinds().items():
            with self.subTest(name):
                self.assertGreater(len(packets), 0)
                drops, segments = forged.drops(), attacked.counter("underlay_segments_in")
                sent = forged.spray(packets, SECONDS)

                def changed():
                    return {k: v - drops[k] for k, v in forged.drops().items() if v != drops[k]}
                if counters:
                    wait_for(lambda: sum(v for k, v in changed().items() if k in counters | LIMITS) >= sent, 10,
                             f"{sent} packets are counted", every=0.1)
                    self.assertGreater(sum(changed().get(c, 0) for c in counters), 0)
                    self.assertLess(sum(v for k, v in changed().items() if k not in counters | LIMITS | NOT_DROPS), 20, changed())
                else:
                    wait_for(lambda: attacked.counter("underlay_segments_in") >= segments + sent // 2, 10, "they were taken")
                    if attacked is self.client:  # the server's are ACKs
                        wait_for(lambda: changed().get("drop.repeated", 0) > sent // 3, 10, "most are dropped")
                print(f"    {attacked.host}: {name}: {sent} packets, {changed()}", flush=True)
                self.assertEqual([self.flows(h) for h in (self.client, self.server)], flows)
                self.assertEqual(self.noticed(), noticed)
        transfer.end_traffic()

    def test_client(self):
        self.attack(self.client, "h2", self.server)

    def test_server(self):
        self.attack(self.server, "h4", self.client)


if __name__ == "__main__":
    main()
