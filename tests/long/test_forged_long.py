#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What forged, spoofed and replayed packets, 10 000 a second, cost a transfer over three paths.

In slices of time the same packets go to the daemon, or to a port of the same host that nobody reads. SHILA_PAIRS: slices of each
(30), SHILA_KINDS: parts of the names of kinds, with commas between them, for less. The kind "nobody" sends both halves there: what
the measurement itself makes of nothing.
"""

import os
import socket
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))

from harness import *  # noqa: E402,F403
from forging import LINKS, Forged, inject  # noqa: E402
from spray import spray  # noqa: E402

PAIRS = int(os.environ.get("SHILA_PAIRS", 30))
KINDS = os.environ.get("SHILA_KINDS", "").split(",")
SLICE_S, SINK = 0.5, 30500


class ForgedLong(SystemTest):
    NEEDS_PLAIN_BUILD = True

    def test_goodput(self):
        lab = self.use(Lab(topology="parallel", links=LINKS, hosts_per_as=2, routers="emulated"))
        server = self.use(Shilad(lab, "h3", apps=(4,), peers=["h1"], log_level="info"))
        client = self.use(Shilad(lab, "h1", apps=(4,), peers=["h3"], log_level="info"))
        client.wait_paths(LINKS)
        sink = self.use(spawn(lab.inside("h1", [
            sys.executable, "-c", "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"s.bind(('{lab.hosts['h1']['address']}', {SINK}))\ntime.sleep(10000)"])))
        server.spawn(["iperf3", "-s", "-1"], ingress=True)
        server.wait_listening(5201)
        transfer = client.spawn(["iperf3", "-c", server.address(4), "-C", "cubic", "-R", "-t", 3600])
        wait_for(lambda: len([f for f in client.flows(protocol="tcp", state="open") if f["rx_bytes"] > 1 << 20]) == LINKS, 20, "data")
        forged = Forged(lab, client, "h2", server)
        moved = client.counter("moves")
        sender = inject.socket_in(f"/run/netns/{lab.netns('h2')}", socket.AF_INET)
        self.addCleanup(sender.close)

        def rate(packets):
            packets = [((forged.me[1], port), data) for port, data in packets]
            before, began = self.received(client), time.monotonic()
            sent = spray(sender, packets, 10000, SLICE_S)
            self.assertGreater(sent, 0.8 * 10000 * SLICE_S, "the generator was too slow")
            return (self.received(client) - before) * 8 / 1e6 / (time.monotonic() - began)
        print("\n    measured: goodput under 10 000 packets a second, and beside as many to a socket that nobody reads")
        worst = {}
        kinds = {name: packets for name, (packets, _) in forged.kinds().items()}
        kinds["nobody, twice"] = [(SINK, data) for _, data in kinds["UNKNOWN of another address"]]
        for name, packets in kinds.items():
            if not any(k in name for k in KINDS):
                continue
            beside = [(SINK, data) for _, data in packets]
            ratios, under, alone = [], [], []
            for i in range(PAIRS):
                pair = [None, None]
                for which in ((0, 1) if i % 2 else (1, 0)):
                    pair[which] = rate(packets if which else beside)
                ratios.append(pair[1] / pair[0])
                under.append(pair[1])
                alone.append(pair[0])
            q = statistics.quantiles(ratios, n=10)
            worst[name] = statistics.median(ratios)
            print(f"    {name:36} {statistics.median(under):6.0f} Mbit/s; ratio of pairs: p10 {q[0]:.2f}, median {worst[name]:.3f}, "
                  f"p90 {q[8]:.2f}; of sums {sum(under) / sum(alone):.3f}", flush=True)
        self.assertEqual(client.counter("moves"), moved)
        self.assertIsNone(transfer.poll())
        self.assertIsNone(sink.poll())
        self.assertEqual({k: v for k, v in worst.items() if v < 0.95}, {})

    @staticmethod
    def received(host):
        return sum(f["rx_bytes"] for f in host.flows(protocol="tcp"))


if __name__ == "__main__":
    main()
