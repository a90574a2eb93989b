#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""shila's own path manager: as many subflows as there are paths, and each is back soon after somebody ended it."""

import sys
import time

from harness import *  # noqa: F403

LINKS = 3
BACKUP = "10.90.2.1/32"  # a destination whose subflows are for backup
BACK_S = 1.0

# A RST from the server's address for the main flow, out of nowhere: in the namespace of the client, over its loopback
# device. The main flow is not bound to a device. It needs the sequence number that the client expects next, which is
# what the client's ACKs say.
INJECT = r"""
import socket, struct, sys, threading, time
src, dst, sport, dport, dev = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
def total(data):
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
look = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
look.bind((dev, 0))
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
print("looking", flush=True)
end = time.monotonic() + 10
while time.monotonic() < end:
    p = look.recv(65536)
    if len(p) < 40 or p[9] != 6 or p[12:16] != socket.inet_aton(dst):
        continue
    a, b, seq, ack = struct.unpack("!HHII", p[20:32])
    if (a, b) != (dport, sport):
        continue
    tcp = struct.pack("!HHIIBBHHH", sport, dport, ack, seq, 0x50, 0x14, 0, 0, 0)
    pseudo = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", total(pseudo + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, socket.inet_aton(src), socket.inet_aton(dst))
    out.sendto(ip + tcp, (dst, 0))
    print("sent", flush=True)
    break
"""


class Subflows(SystemTest):
    """Three paths, five TUNs: one connection that sends a little all the time."""

    port = 8000

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=LINKS, interfaces=5, apps=(4, 6), config={"egress": {"path_manager": "own"}}))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2
        cls.h1.stop()
        cls.h1.config["routes"].append({"to": BACKUP, "via": [cls.pair.lab.scion_address("h2")], "backup": True})
        cls.h1.write_config()
        cls.h1.start()
        cls.h1.wait_paths(LINKS)

    def setUp(self):
        type(self).port += 1
        self.h2.serve(self.port)

    def connect(self, family=4, address=None):
        """A transfer that lasts, and is checked at the end; it is slow, so that each subflow is used now and then."""
        self.client = self.h1.spawn_traffic("load", address or self.h2.address(family), self.port, 1, 60)
        wait_for(lambda: "connected" in self.client.output(), 10, "the connection")
        wait_for(lambda: len(self.flows()) == LINKS, 20, f"{LINKS} subflows")

    def check(self):
        """Every byte was right."""
        self.client.send_signal(15)
        answer = traffic_answer(self.client.finish(30))
        self.assertTrue(answer["ok"], answer)

    def flows(self, host=None):
        host = host or self.h1
        end = "remote" if host is self.h1 else "local"
        return [f for f in host.flows(protocol="tcp", state="open") if f[end].endswith(f":{self.port}")]

    def sockets(self, host=None):
        """Subflows as the kernel has them, by their own port."""
        host = host or self.h1
        ns, which = (host.ns_egress, "dport") if host is self.h1 else (host.ns_ingress, "sport")
        out = run(["ip", "netns", "exec", ns, "ss", "-Htn", "state", "established", which, f"= :{self.port}"]).stdout
        return {line.split()[2 if host is self.h1 else 3].rsplit(":", 1)[1] for line in out.splitlines()}

    def back(self, gone, what):
        """Three again, and not that one."""
        began = time.monotonic()

        def three():
            now = self.sockets()
            return gone not in now and len(now) == LINKS and len(self.sockets(self.h2)) == LINKS and len(self.flows()) == LINKS
        wait_for(three, 10, f"{what}: {LINKS} subflows again")
        took = time.monotonic() - began
        links = [h["interface"] for f in self.flows() for h in f["path"]["hops"]]
        self.assertEqual(len(links), len(set(links)), "two subflows share a link")
        self.assertLess(took, BACK_S, what)
        return took

    def kill(self, host, port):
        which = "sport" if host is self.h1 else "dport"
        ns = host.ns_egress if host is self.h1 else host.ns_ingress
        run(["ip", "netns", "exec", ns, "ss", "-K", "-tn", which, f"= :{port}"])

    def test_killed(self):
        """The main flow and subflows, by `ss -K` in either namespace; then all at once."""
        self.connect(4)
        main = next(f["local"].rsplit(":", 1)[1] for f in self.flows() if f["role"] == "main")
        took = []
        for host, count in ((self.h1, 2), (self.h2, 1)):
            for port in sorted(self.sockets(), key=lambda p: p != main)[:count]:
                time.sleep(0.6)  # who dies as soon as it is born is made again later and later
                self.kill(host, port)
                took.append(self.back(port, f"ss -K at {host.host}"))
        time.sleep(0.6)
        for port in self.sockets():
            self.kill(self.h1, port)
        took.append(self.back(None, "all of them"))
        print("subflows back after " + " ".join(f"{t * 1000:.0f}" for t in took) + " ms", file=sys.stderr)
        self.assertGreaterEqual(self.h1.counter("subflows_lost"), 4)
        self.check()

    def test_rst_injected(self):
        """The server's end knows nothing of it, and is told."""
        self.connect(4)
        main = next(f for f in self.flows() if f["role"] == "main")
        (src, sport), (dst, dport) = main["remote"].rsplit(":", 1), main["local"].rsplit(":", 1)
        device = next(i["name"] for i in self.h1.rpc("status")["egress"][0]["interfaces"] if dst in i["addresses"])
        inject = spawn(["ip", "netns", "exec", self.h1.ns_egress, sys.executable, "-c", INJECT, src, dst, sport, dport, device])
        wait_for(lambda: dport not in self.sockets(), 10, "the RST has ended the main flow: " + inject.output())
        self.back(dport, "RST")
        self.check()

    def test_rst_kept_back(self):
        """The client's socket is gone and its RST does not leave (a firewall): the server's end is reset by CLOSE."""
        self.connect(4)
        nft = ["ip", "netns", "exec", self.h1.ns_egress, "nft"]
        run(nft + ["add table ip t; add chain ip t c { type filter hook output priority 0; }; "
                   "add rule ip t c tcp flags & rst == rst drop"])
        closes = self.h1.counter("closes_tx")
        try:
            port = sorted(self.sockets())[-1]
            self.kill(self.h1, port)
            self.back(port, "without a RST")
        finally:
            run(nft + ["delete table ip t"])
        self.assertEqual(self.h1.counter("closes_tx"), closes + 1)
        self.check()

    def test_link_cut_and_restored(self):
        self.connect(6)
        self.pair.lab.link(2, "cut")
        try:
            wait_for(lambda: len(self.sockets()) == LINKS - 1 == len(self.flows()), 20, "one subflow less")
        finally:
            self.pair.lab.link(2, "restore", "--wait")
        wait_for(lambda: len(self.sockets()) == LINKS == len(self.flows()), 20, "as many as before")
        self.check()

    def test_backup(self):
        """Subflows that are for backup carry data only while the main flow is gone; another one takes its place."""
        self.connect(address=BACKUP.split("/")[0])
        time.sleep(0.5)
        wait_for(lambda: any(f["role"] == "main" and f["tx_bytes"] + f["rx_bytes"] > 100_000 for f in self.flows()), 20,
                 "data by the main flow")
        for f in self.flows():
            if f["role"] == "sub":
                self.assertTrue(f["backup"])
                self.assertEqual(f["tx_bytes"] + f["rx_bytes"], 0)
        main = next(f["local"].rsplit(":", 1)[1] for f in self.flows() if f["role"] == "main")
        self.kill(self.h1, main)
        self.back(main, "the main flow")
        self.assertEqual(sum(not f["backup"] for f in self.flows()), 1)
        wait_for(lambda: any(not f["backup"] and f["tx_bytes"] + f["rx_bytes"] > 100_000 for f in self.flows()), 20,
                 "data by what stands for it")
        self.check()

    def test_after_a_restart(self):
        """The next daemon goes on with the connections of the one before."""
        self.connect(4)
        before = self.sockets()
        self.h1.kill()
        self.h1.start()
        time.sleep(0.5)
        self.assertEqual(self.sockets(), before)
        wait_for(lambda: len(self.flows()) == LINKS, 20, "its flows")
        port = sorted(before)[0]
        # What priority they had is not known: it was set again.
        self.assertEqual(self.h1.counter("subflow_priorities"), LINKS - 1)
        self.kill(self.h1, port)
        self.back(port, "after a restart")
        self.check()


if __name__ == "__main__":
    main()
