#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Thousands of connections, some just being opened, over restarts of both daemons."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system"))
from harness import *

CONNECTIONS = 6000
MANY = os.path.join(BUILD, "tests", "many")


class RestartMany(SystemTest):
    NEEDS_PLAIN_BUILD = True

    def test_restart(self):
        pair = self.use(Pair(topology="parallel", links=2, interfaces=1, log_level="info"))
        h1, h2 = pair.h1, pair.h2
        h2.spawn([MANY, "server", 9000, "--wait-ms", 12000, "--bytes", 1000], ingress=True)
        h2.wait_listening(9000)
        client = h1.spawn([MANY, "client", h2.address(4), 9000, "--connections", CONNECTIONS, "--rate", 1500,
                           "--bytes", 1000, "--deadline-s", 90])
        wait_for(lambda: h1.rpc("status")["flows"] >= CONNECTIONS * 5 // 6, 60, "most connections")
        for h in (h1, h2):
            began = time.monotonic()
            h.detach()
            h.start()
            print(f"{h.host}: {time.monotonic() - began:.2f} s without a daemon, {h.counter('flows_resumed')} "
                  "connections go on", file=sys.stderr)
            self.assertEqual(h.counter("flows_not_resumed"), 0)
        output = client.finish(120, code=None)
        self.assertIn("{", output)
        answer = json.loads(output[output.index("{"):])
        self.assertTrue(answer["ok"], answer)


if __name__ == "__main__":
    main()
