#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is on the wire: the share of payload in bulk data, and one OPEN and ACCEPT for a connection."""

import json
import os
import statistics
import subprocess
import time

from rates import *  # noqa: F403
from rates import addresses, outer, iperf, CORE_PATH, LEAF_PATH, SCION_COMMON, SCION_UDP, FRAME, THIN

NEEDS_PLAIN_BUILD = True
DISSECTOR = os.path.join(ROOT, "scripts", "shila.lua")

# A server that answers each connection with one byte, and a client that times its connects.
SERVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", 7000))
s.listen(100)
while True:
    c, _ = s.accept()
    c.sendall(b"x")
    c.recv(1)
    c.close()
"""
CLIENT = """
import json, socket, sys, time
out = []
for _ in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    t = time.perf_counter()
    s.connect((sys.argv[1], 7000))
    out.append((time.perf_counter() - t) * 1000)
    s.recv(1)
    time.sleep(0.03)
    s.close()
print(json.dumps(out))
"""


class Capture:
    """tcpdump on a device of a namespace, read by tshark with the project's dissector."""

    def __init__(self, netns, device, packets=None):
        self.file = os.path.join(temporary(), "capture.pcap")
        argv = ["nsenter", f"--net=/run/netns/{netns}", "tcpdump", "-i", device, "-U", "--immediate-mode", "-s", "200", "-w", self.file]
        if packets:
            argv += ["-c", str(packets)]
        self.process = spawn([*argv, "udp"])
        wait_for(lambda: "listening on" in self.process.output(), 10, "tcpdump listens")

    def rows(self, condition, *fields):
        if self.process.poll() is None:
            time.sleep(0.2)  # the kernel hands packets to tcpdump in blocks
            self.process.terminate()
        self.process.finish(10, code=None)
        argv = ["tshark", "-X", f"lua_script:{DISSECTOR}", "-r", self.file, "-Y", condition, "-T", "fields"]
        for f in fields:
            argv += ["-e", f]
        out = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
        return [line.split("\t") for line in out.splitlines()]


class Overhead(SystemTest):
    NEEDS_PLAIN_BUILD = True
    COUNTS = True  # bytes

    def check(self, topology, underlay, path_bytes, at_least):
        with Pair(topology=topology, links=1, rate="20mbit", underlay=underlay, apps=(4,),
                  log_level="info") as pair:
            end = pair.lab.info["links"][0]["ends"][0]
            capture = []

            def start():
                capture.append(Capture(end["netns"], end["device"], packets=3000))
            iperf(pair, seconds=5, omit=1, during=start)
            ip_len = "ip.len" if underlay == "ipv4" else "ipv6.plen"
            rows = capture[0].rows("shila.type == 7 && shila.len > 0", ip_len, "shila.len", "shila.tcp.hdr_len")
            ip_bytes = sum(int(r[0]) + (0 if underlay == "ipv4" else 40) for r in rows)
            data = sum(int(r[1]) for r in rows)
            share = 100 * data / ip_bytes
            print(f"\n    measured: {topology} over {underlay}: payload is {share:.2f} % of the IP bytes of "
                  f"{len(rows)} data packets", flush=True)
            self.assertGreater(len(rows), 500)
            self.assertGreaterEqual(share, at_least)
            # Against the same segment as native SCION/TCP: SCION headers and a TCP header of 20 bytes.
            native = outer(underlay) + SCION_COMMON + addresses(underlay) + path_bytes + 20
            ours = outer(underlay) + SCION_COMMON + addresses(underlay) + path_bytes + SCION_UDP + FRAME + THIN
            self.assertEqual(ours - native, 12)
            full = max(rows, key=lambda r: int(r[1]))
            total = int(full[0]) + (0 if underlay == "ipv4" else 40)
            options = total - ours - int(full[1])
            self.assertIn(options, range(12, 41, 4), "headers are not what they should be")

    def test_two_hop_fields(self):
        self.check("parallel", "ipv4", CORE_PATH, 88)

    def test_two_and_two_hop_fields(self):
        self.check("leaf", "ipv4", LEAF_PATH, 86)

    def test_ipv6_underlay(self):
        self.check("parallel", "ipv6", CORE_PATH, 85)


class Connecting(SystemTest):
    NEEDS_PLAIN_BUILD = True

    def test_one_round_trip(self):
        with Pair(topology="parallel", links=3, apps=(4,), log_level="info") as pair:
            server = pair.h2.spawn(["python3", "-c", SERVER], ingress=True)
            pair.h2.wait_listening(7000)
            # The very first connection to the peer: its paths are known, nothing else is needed.
            capture = Capture(pair.lab.netns("h1"), "eth0")
            first = json.loads(pair.h1.run(["python3", "-c", CLIENT, pair.h2.address(4), 1]).stdout)[0]
            rows = capture.rows("shila.type == 3 || shila.type == 4",
                                "shila.type", "shila.kind", "shila.tcp.flags")
            kinds = [(r[0], r[1]) for r in rows]
            opens = [r for r in rows if r[0] == "3"]
            accepts = [r for r in rows if r[0] == "4"]
            mains = [r for r in opens if r[1] == "1"]
            self.assertEqual(len(mains), 1, f"one OPEN for the main flow: {kinds}")
            self.assertEqual(len(accepts), len(opens), f"one ACCEPT for each OPEN: {kinds}")
            self.assertTrue(all(r[2] for r in accepts), f"a SYN/ACK in each ACCEPT: {rows}")

            times = json.loads(pair.h1.run(["python3", "-c", CLIENT, pair.h2.address(4), 100], seconds=60).stdout)
            rtt = min(p["srtt_us"] for p in pair.h1.rpc("paths") if p["srtt_us"]) / 1000
            p50, p99 = statistics.median(times), sorted(times)[98]
            print(f"\n    measured: connect p50 {p50:.2f} ms, p99 {p99:.2f} ms, first {first:.2f} ms; PROBE RTT "
                  f"{rtt:.2f} ms", flush=True)
            self.assertLess(p50 - rtt, 2.0)
            server.close()


if __name__ == "__main__":
    main()
