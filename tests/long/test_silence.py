#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""6000 connections that are silent for ten minutes: all are parked on the way, and the server speaks first."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system"))
from harness import *  # noqa: E402,F403

MANY = os.path.join(BUILD, "tests", "many")
CONNECTIONS = 6000
SILENCE_S = 600


class Silence(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=2, interfaces=1, apps=(4,), log_level="info",
                                 config={"workers": 2}))

    def parked(self, h):
        return next(x["used"] for x in h.rpc("status")["limits"] if x["name"] == "park_after_s")

    def test_ten_minutes(self):
        h1, h2 = self.pair.h1, self.pair.h2
        server = h2.spawn([MANY, "server", 8000, "--wait-ms", SILENCE_S * 1000, "--bytes", 2000], ingress=True,
                          mptcp=False)
        h2.wait_listening(8000)
        client = h1.spawn([MANY, "client", h2.address(4), 8000, "--connections", CONNECTIONS, "--rate", 500, "--bytes",
                           2000, "--deadline-s", SILENCE_S + 120], mptcp=False)
        for h in (h1, h2):
            wait_for(lambda: self.parked(h) == CONNECTIONS, 450, f"all parked on {h.host}", every=5)
        self.assertEqual(sum(p["flows"] for p in h1.rpc("paths")), 0)
        answer = traffic_answer(client.finish(SILENCE_S + 130, code=None))
        server.terminate()
        served = traffic_answer(server.finish(10, code=None))
        for a in (answer, served):
            self.assertTrue(a["ok"] and a["done"] == a["mptcp"] == CONNECTIONS and not a["errors"], (answer, served))
        for h in (h1, h2):
            wait_for(lambda: not h.rpc("status")["flows"], 90, f"no flow on {h.host}", every=1)


if __name__ == "__main__":
    main()
