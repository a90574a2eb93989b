#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Floods at the underlay socket from inside the AS: what runs goes on, and what is new still opens.

Control is the same flood, from the same generator, to another socket of the same host that nobody reads.
"""

import json
import os
import statistics
import sys
import time

from harness import *  # noqa: F403

NEEDS_PLAIN_BUILD = True

CONTACT = 31654
RATE = 50000
AS, ALLOWED_AS = "1-64512", "1-64513"
FLOOD = os.path.join(BUILD, "tests", "flood")
SINK_PORT = 30500
SLICE_MS, SETTLE_MS = 500, 80


class Flood(SystemTest):
    NEEDS_PLAIN_BUILD = True

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(cls.make_pair())
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2
        cls.workers = cls.h2.rpc("status")["worker_ports"]
        cls.hosts = {h: cls.pair.lab.hosts[h]["address"] for h in ("h1", "h2")}
        # what the floods of the control runs go to
        cls.sink = cls.keep(spawn(cls.pair.lab.inside("h2", [
            sys.executable, "-c", "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"s.bind(('{cls.hosts['h2']}', {SINK_PORT}))\ntime.sleep(1000)"])))
        cls.server = cls.keep(cls.h2.serve(8000))  # any process there, to see what comes in

    @classmethod
    def make_pair(cls):
        # h1 and h2 of this topology have these addresses; the peer that may connect is one host, beside an AS
        return Pair(topology="local", apps=(4,), log_level="info",
                    config2={"ingress": {"allow": [f"{AS},10.12.0.2", ALLOWED_AS]}})

    def flood(self, kind, source, ports, seconds, sink=0):
        return spawn(self.pair.lab.inside("h1", [FLOOD, kind, source, f"{AS},{self.hosts['h2']}", ",".join(map(str, ports)), sink,
                                                 RATE, seconds, SLICE_MS]))

    def rss_kib(self):
        with open(f"/proc/{self.h2.rpc('status')['pid']}/status", encoding="ascii") as f:
            return int(next(line for line in f if line.startswith("VmRSS")).split()[1])

    def check(self, name, kind, source, slices):
        """One connection of iperf3 while the flood goes now to the sink, now to the daemon, in slices of time."""
        before, drops, seconds = self.rss_kib(), self.drops(), slices * SLICE_MS // 1000
        ports = [CONTACT, *self.workers]
        server = self.h2.spawn(["iperf3", "-s", "-1"], ingress=True)
        self.h2.wait_listening(5201)
        client = self.h1.spawn(["iperf3", "-c", self.h2.address(4), "-C", "cubic", "-t", seconds + 60, "-i", "0.25",
                                "--forceflush", "-f", "m", "--timestamps=%s "])
        wait_for(lambda: client.output().count("Mbits/sec") > 4, 10, "the transfer runs")
        flood = self.flood(kind, source, ports, seconds, SINK_PORT)
        counted = self.rates(client, flood)
        opened = self.connects
        most = self.rss_kib()
        hit, beside, _ = map(int, flood.finish(10).split())
        ended = time.monotonic()
        after = self.h1.traffic("connect", self.h2.address(4), 8000)
        after["since"] = time.monotonic() - ended
        client.close()
        server.close()
        # slice by slice, since other things happen on the machine too
        ratio = statistics.median(hit / free for free, hit in zip(*counted))
        side, under = (statistics.mean(r) for r in counted)
        changed = {k: v - drops[k] for k, v in self.drops().items() if v != drops[k]}
        print(f"\n    measured: {name}: {under:.0f} Mbit/s, beside {side:.0f}; median of {len(counted[1])} pairs {100 * ratio:.0f} %; "
              f"{hit * 2 / seconds:.0f} packets/s ({beside * 2 / seconds:.0f} beside); RSS {before} to {most} KiB; connects during it, "
              f"ms: {opened}; after its end one that took {1000 * after['seconds']:.0f} ms; drops {changed}", flush=True)
        self.assertGreaterEqual(hit * 2 / seconds, 0.9 * RATE, "the generator was too slow")
        self.assertGreaterEqual(ratio, 0.8)
        self.assertLess(most - before, 64 * 1024)
        self.assertTrue(after["ok"], after)
        self.assertLess(after["since"], 1)
        return opened

    def rates(self, client, flood):
        """Payload per time in slices beside and under the flood, from what the receiving TUN counts."""
        began, counted, self.connects = time.monotonic(), ([], []), []
        connect, tried = None, -1
        last, last_at, slice_ = None, 0, -1  # slice_: the newest that was begun
        while flood.poll() is None:
            now = time.monotonic()
            into = int((now - began) * 1000)
            number, within = divmod(into, SLICE_MS)
            if within > SETTLE_MS and number != slice_:
                last, last_at, slice_ = self.received(), now, number
            elif number == slice_ and last is not None and within > SLICE_MS - 60:
                counted[number % 2].append((self.received() - last) * 8 / 1e6 / (now - last_at))
                last = None
            # a new connection of the real peer in each slice
            if connect is None and within < SLICE_MS // 2 and number != tried and number % 5 == 0:
                connect, tried = self.h1.spawn_traffic("connect", self.h2.address(4), 8000), number
            elif connect is not None and connect.poll() is not None:
                answer = traffic_answer(connect.finish(5))
                if tried % 2:
                    self.connects.append(round(1000 * answer["seconds"]) if answer["ok"] else answer["errno"])
                connect = None
            time.sleep(0.01)
        if connect is not None:
            connect.close()
        return counted

    def received(self):
        """Bytes that h2's daemon wrote into its TUN."""
        with open(f"/proc/{self.server.pid}/net/dev", encoding="ascii") as f:
            return int(next(line for line in f if "shila-i0:" in line).split(":")[1].split()[0])

    def test_strangers(self):
        self.check("OPENs of strangers", "open", "1-64599,10.99.0.0", 16)

    def test_allowed_as(self):
        self.check("OPENs of hosts of an allowed AS", "open", f"{ALLOWED_AS},10.13.0.0", 16)

    def test_the_peer(self):
        self.check("OPENs in the name of the peer", "open", f"{AS},{self.hosts['h1']}", 16)

    def test_random(self):
        self.check("random packets in the name of the peer", "random", f"{AS},{self.hosts['h1']}", 16)

    def test_mixed(self):
        self.check("OPENs and random packets of an allowed AS", "mixed", f"{ALLOWED_AS},10.13.0.0", 16)

    def drops(self):
        return {d["name"]: d["count"] for d in self.h2.rpc("drops")}


if __name__ == "__main__":
    main()
