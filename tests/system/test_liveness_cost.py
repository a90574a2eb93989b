#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""While data flows, what tells whether paths are alive rides on it: less than 0.2 % of the bytes, over one path and three.

      h1, h2 ─ 64512 ═══ 1, 2, 3 ═══ 64513 ─ h3, h4        (emulated routers)

Counted, not timed: ALIVE, PROBE and PROBE-REPLY of both daemons, as IP packets, of all that the links carried.
"""

from harness import *  # noqa: F403

BYTES = 96 << 20
MOST = 0.002


class Cost(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=3, routers="emulated", hosts_per_as=2))
        cls.pairs = {}
        for paths, (client, server) in {1: ("h1", "h3"), 3: ("h2", "h4")}.items():
            h2 = cls.keep(Shilad(cls.lab, server, interfaces=paths, apps=(4,), log_level="info", peers=[client]))
            h1 = cls.keep(Shilad(cls.lab, client, interfaces=paths, apps=(4,), log_level="info", peers=[server]))
            h1.wait_paths(3)
            h2.serve()
            cls.pairs[paths] = h1, h2

    def seen(self, daemons):
        """(bytes of liveness, of the links)"""
        return (sum(d.rpc("status")["counters"]["liveness_wire_bytes"] for d in daemons),
                sum(link[way]["bytes"] for link in self.lab.counters() for way in ("ab", "ba")))

    def check(self, paths, direction):
        h1, h2 = self.pairs[paths]
        before = self.seen((h1, h2))
        answer = h1.traffic(direction, h2.address(4), 8000, BYTES)
        after = self.seen((h1, h2))
        self.assertTrue(answer["ok"], answer)
        liveness, wire = (a - b for a, b in zip(after, before))
        print(f"    measured: {paths} paths, {direction}: {liveness} of {wire} bytes, {100 * liveness / wire:.4f} %")
        self.assertGreater(wire, BYTES, "the data went over these links")
        self.assertGreater(liveness, 0)
        self.assertLess(liveness, MOST * wire)

    def test_one_path(self):
        self.check(1, "put")
        self.check(1, "get")

    def test_three_paths(self):
        self.check(3, "put")
        self.check(3, "get")


if __name__ == "__main__":
    main()
