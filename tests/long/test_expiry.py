#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Connections outlive the paths on which they began: 12 minutes with paths that live for 337.5 s."""

import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))

from harness import *  # noqa: E402,F403

SECONDS = 720


class Expiry(SystemTest):
    def test_two_life_times(self):
        pair = self.use(Pair(topology="leaf", links=2, path_lifetime="short", expect=4))
        h1, h2 = pair.h1, pair.h2
        h2.serve()
        h2.serve(9000, udp=True)
        clients = {(family, mptcp): h1.spawn_traffic("beat", h2.address(family), 8000, SECONDS, mptcp=mptcp)
                   for family in (4, 6) for mptcp in (True, False)}
        end = time.monotonic() + SECONDS
        shortest = None
        while time.monotonic() < end:
            left = min(p["expiry_unix_s"] for h in (h1, h2) for p in h.rpc("paths")) - time.time()
            shortest = left if shortest is None else min(shortest, left)
            self.assertGreater(left, 0, "a path has expired")
            self.assertTrue(h1.traffic("udp", h2.address(4), 9000, 100)["ok"])
            time.sleep(5)
        for key, c in clients.items():
            answer = traffic_answer(c.finish(60))
            self.assertTrue(answer["ok"], (key, answer))
            self.assertLess(answer["longest"], 1, key)
        print(f"\n    shortest time to expiry {shortest:.0f} s; renewals {h1.counter('path_renewals')} at the client, "
              f"{h2.counter('path_renewals')} at the server; moves {h1.counter('moves')}, {h2.counter('moves')}",
              flush=True)
        self.assertGreater(h1.counter("path_renewals"), 0)


if __name__ == "__main__":
    main()
