#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An AS comes back with a smaller MTU, under a running shilad. Up to three minutes: beacons have to come by first."""

import json
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))

from harness import *  # noqa: E402, F403
from test_path_mtu import OUTER, Wire  # noqa: E402


class Mtu(SystemTest):
    def test_smaller_mtu(self):
        pair = self.use(Pair(topology="parallel", links=2, rate="20mbit"))
        lab, h1, h2 = pair.lab, pair.h1, pair.h2
        h2.serve()
        path = os.path.join(lab.info["state_dir"], "gen", "AS64512", "topology.json")
        with open(path, encoding="utf-8") as f:
            topology = json.load(f)
        topology["mtu"] = 1300
        with open(path, "w", encoding="utf-8") as f:
            json.dump(topology, f)
        lab.stop("daemon@64512", "control@64512")
        lab.start("daemon@64512", "control@64512")
        client = h1.spawn_traffic("load", h2.address(4), 8000, 1, 400)
        wait_for(lambda: {p["mtu_bytes"] for p in h1.rpc("paths")} == {1300}, 150, "the new MTU", every=1)
        # the connection that was there before, in both directions; only shilad sends and gets here, one packet at a time
        run(lab.inside("h1", ["ethtool", "-K", "eth0", "tx-udp-segmentation", "off"]))
        began, most = time.monotonic(), {}

        def small():
            most.clear()
            wire = Wire(lab.netns("h1"), "eth0")
            time.sleep(1)
            most.update({sender: max(sizes) for sender, sizes in wire.sizes().items()})
            return most == {"10.12.0.1": 1300 + OUTER, "10.12.0.2": 1300 + OUTER}
        wait_for(small, 90, "packets of the new size only, of both ends")
        print(f"\n    measured: all packets have the new size {time.monotonic() - began:.0f} s after the client knows", flush=True)
        for kind in ("put", "get"):
            answer = h1.traffic(kind, h2.address(4), 8000, 1 << 20)
            self.assertTrue(answer["ok"], answer)
        for f in h1.flows(protocol="tcp", state="open"):
            self.assertEqual(f["path"]["mtu_bytes"], 1300)
        client.terminate()
        answer = traffic_answer(client.finish(30))
        self.assertTrue(answer["ok"], answer)


if __name__ == "__main__":
    main()
