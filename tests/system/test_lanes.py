#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Flows that change the lane of their TUN (bpf/lane.h) beside one that sends all it can: in order, and all of them."""

import sys

from harness import *  # noqa: F403

BURST = 200  # datagrams of 1200 bytes: the first 50 of them or so by the quick lane
BURSTS = 6

SENDER = """
import socket, sys, time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
n = 0
s.send(n.to_bytes(4, "big") * 300)
time.sleep(1)  # whatever has to be set up on the way
for burst in range(int(sys.argv[3])):
    for i in range(int(sys.argv[4])):
        n += 1
        s.send(n.to_bytes(4, "big") * 300)
    time.sleep(0.1 if burst % 2 else 0.4)  # bulk again, or back in the quick lane
"""

RECEIVER = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # RCVBUFFORCE
s.bind(("::", int(sys.argv[1])))
print("ready", flush=True)
seen = []
s.settimeout(60)
while not seen or seen[-1] < int(sys.argv[2]):
    try:
        data = s.recv(2000)
    except TimeoutError:
        break
    assert len(data) == 1200 and data == data[:4] * 300
    seen.append(int.from_bytes(data[:4], "big"))
    s.settimeout(5)
print(len(seen), seen == sorted(set(seen)), flush=True)
"""


class Lanes(SystemTest):
    def check(self, family):
        with Pair(topology="local", interfaces=1, config={"workers": 1}, log_level="info") as pair:
            h1, h2 = pair.h1, pair.h2
            for beside in (False, True):
                if beside:
                    h2.spawn(["iperf3", "-s", "-1"], ingress=True)
                    h2.wait_listening(5201)
                    bulk = h1.spawn(["iperf3", "-c", h2.address(family), "-C", "cubic", "-t", 20])
                receiver = h2.spawn([sys.executable, "-c", RECEIVER, 9000, BURST * BURSTS], ingress=True)
                h2.wait_listening(9000, "udp")
                h1.run([sys.executable, "-c", SENDER, h2.address(family), 9000, BURSTS, BURST])
                number, in_order = receiver.finish().split()[-2:]
                self.assertEqual(in_order, "True")
                if beside:  # a busy machine may lose some at the receiver's socket
                    self.assertGreater(int(number), BURST * BURSTS / 2)
                    bulk.close()
                else:
                    self.assertEqual(int(number), 1 + BURST * BURSTS)

    def test_ipv4(self):
        self.check(4)

    def test_ipv6(self):
        self.check(6)


if __name__ == "__main__":
    main()
