#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""shila's own path manager: as many subflows as there are paths, and each is back soon after somebody ended it."""

import os
import re
import sys
import time

from harness import *  # noqa: F403

LINKS = 3
BACKUP = "10.90.2.1/32"  # a destination whose subflows are for backup
BACK_S = 1.0

# A RST from the other side's address for the main flow, out of nowhere: in the namespace of one side, over its loopback
# device. The main flow is not bound to a device. It needs the sequence number that this side expects next, which is
# what its ACKs say.
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
        cls.pair = cls.keep(Pair(topology="parallel", links=LINKS, interfaces=5, apps=(4, 6), routers="emulated",
                                 more=["--emulated-links", "--rate", "10mbit"], config={"egress": {"path_manager": "own"}}))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2
        cls.h1.stop()
        cls.h1.config["routes"].append({"to": BACKUP, "via": [cls.pair.lab.scion_address("h2")], "backup": True})
        cls.h1.write_config()
        cls.h1.start()
        cls.h1.wait_paths(LINKS)

    def setUp(self):
        type(self).port += 1
        self.h2.serve(self.port)

    def connect(self, family=4, address=None, paths=LINKS):
        """A transfer that lasts, and is checked at the end; the links are slow, so each subflow is used all the time."""
        self.after = max([e["number"] for e in self.h1.rpc("events")], default=0)
        self.client = self.h1.spawn_traffic("load", address or self.h2.address(family), self.port, 1, 60)
        wait_for(lambda: "connected" in self.client.output(), 10, "the connection")
        wait_for(lambda: len(self.flows()) == paths, 20, f"{paths} subflows")

    def events(self):
        """What shila did about subflows of this connection: {name: [events]}."""
        found = {}
        for e in self.h1.rpc("events", after=self.after):
            if e["event"].startswith("subflow_") and e["remote"].endswith(f":{self.port}"):
                found.setdefault(e["event"], []).append(e)
        return found

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

    def main_port(self):
        return next(f["local"].rsplit(":", 1)[1] for f in self.flows() if f["role"] == "main")

    def ends(self, port):
        """Addresses and ports of a subflow at the client: local, port, remote, port."""
        f = next(f for f in self.flows() if f["local"].endswith(f":{port}"))
        return (*f["local"].rsplit(":", 1), *f["remote"].rsplit(":", 1))

    def test_killed(self):
        """The main flow and subflows, by `ss -K` in either namespace; then all at once."""
        self.connect(4)
        main = self.main_port()
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
        events = self.events()
        self.assertEqual({name: len(found) for name, found in events.items()},
                         {"subflow_added": 2, "subflow_lost": 6, "subflow_recreated": 6})
        self.assertEqual({e["reason"] for e in events["subflow_lost"]},
                         {"Software caused connection abort", "Connection reset by peer"})
        text = self.h1.shila("events", "--once").stdout
        self.assertRegex(text, rf":{self.port} was lost, path [0-9a-f]{{8}} to \S+ \(Connection reset by peer\)")
        self.assertRegex(text, rf":{self.port} was made in the place of a lost one, path ")
        self.check()

    def test_killed_when_young(self):
        """As soon as it is there again: later each time, but not much."""
        self.connect(4)
        for _ in range(2):
            port = next(p for p in self.sockets() if p != self.main_port())
            self.kill(self.h1, port)
            self.back(port, "killed when young")
        self.check()

    def test_path_manager_command(self):
        """Of somebody else: SUBFLOW_DESTROY at the client; at the server the address of all subflows is withdrawn."""
        self.connect(4)
        main, took = self.main_port(), []
        inside = ["ip", "netns", "exec", self.h1.ns_egress]
        said = run(inside + ["ss", "-Htin", "dport", f"= :{self.port}"]).stdout
        token = re.search(r"token:[0-9a-f]+\(id:\d+\)/([0-9a-f]+)\(id:", said)[1]
        for port in sorted(self.sockets(), key=lambda p: p != main)[:2]:
            time.sleep(0.6)
            run(inside + [sys.executable, os.path.join(TOOLS, "destroy_subflow.py"), token, *self.ends(port)])
            took.append(self.back(port, "SUBFLOW_DESTROY"))
        self.assertEqual([e["reason"] for e in self.events()["subflow_lost"]], ["closed by the peer"] * 2)
        time.sleep(0.6)
        before = self.sockets()
        run(["ip", "netns", "exec", self.h2.ns_ingress, "ip", "mptcp", "endpoint", "delete", "id", "0", self.ends(min(before))[2]])
        wait_for(lambda: not before & self.sockets(), 10, "none of before is left")
        took.append(self.back(None, "REMOVE_ADDR"))
        print("subflows back after " + " ".join(f"{t * 1000:.0f}" for t in took) + " ms", file=sys.stderr)
        self.check()

    def test_rst_injected(self):
        """The server's end knows nothing of it, and is told."""
        self.connect(4)
        dst, dport, src, sport = self.ends(self.main_port())
        device = next(i["name"] for i in self.h1.rpc("status")["egress"][0]["interfaces"] if dst in i["addresses"])
        inject = spawn(["ip", "netns", "exec", self.h1.ns_egress, sys.executable, "-c", INJECT, src, dst, sport, dport, device])
        wait_for(lambda: dport not in self.sockets(), 10, "the RST has ended the main flow: " + inject.output())
        self.back(dport, "RST")
        self.check()

    def test_rst_injected_at_the_server(self):
        """The client's end knows nothing of it, and is told: also if it has nothing to send."""
        self.connect(4)
        port = self.main_port()
        server = next(f for f in self.flows(self.h2) if f["role"] == "main")
        (src, sport), (dst, dport) = server["remote"].rsplit(":", 1), server["local"].rsplit(":", 1)
        closes, after = self.h2.counter("closes_tx"), max(e["number"] for e in self.h2.rpc("events"))
        inject = spawn(["ip", "netns", "exec", self.h2.ns_ingress, sys.executable, "-c", INJECT, src, dst, sport, dport,
                        self.h2.rpc("status")["ingress"]["interface"]])
        wait_for(lambda: sport not in self.sockets(self.h2), 10, "the RST has ended the main flow: " + inject.output())
        self.back(port, "RST at the server")
        self.assertLessEqual(self.h2.counter("closes_tx"), closes + 1)
        self.assertEqual([e["reason"] for e in self.h2.rpc("events", after=after) if e["event"] == "subflow_lost"],
                         ["Connection reset by peer"])
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
        """Its subflow ends, and is there again; so has a connection that began meanwhile all subflows afterwards."""
        self.connect(6)
        self.pair.lab.link(2, "cut")
        try:
            wait_for(lambda: len(self.sockets()) == LINKS - 1 == len(self.flows()), 20, "one subflow less")
            self.assertEqual(len(self.events()["subflow_ended"]), 1)
            old, old_port = self.client, self.port
            self.setUp()
            self.connect(4, paths=LINKS - 1)
        finally:
            self.pair.lab.link(2, "restore", "--wait")
        wait_for(lambda: len(self.sockets()) == LINKS == len(self.flows()), 20, "one more than when it began")
        self.check()
        self.client, type(self).port = old, old_port
        wait_for(lambda: len(self.sockets()) == LINKS == len(self.flows()), 20, "as many as before")
        self.check()
        type(self).port += 1

    def test_slow_path(self):
        """Much slower than the others: it is not dead for that, and carries data only if no other does; while it lasts."""
        self.connect(4)

        def link_of(flow):
            return flow["path"]["hops"][0]["interface"]
        self.pair.lab.link(3, "--delay", "600ms")
        try:
            wait_for(lambda: [link_of(f) for f in self.flows() if f["backup"]] == [3] and len(self.flows()) == LINKS, 30,
                     "the subflow on link 3 is for backup")
            self.assertIn("subflow_backup", self.events())
            path = next(p for p in self.h1.rpc("paths") if p["hops"][0]["interface"] == 3)
            self.assertEqual(path["state"], "up")
        finally:
            self.pair.lab.link(3, "--delay", "0")
        wait_for(lambda: not any(f["backup"] for f in self.flows()) and len(self.flows()) == LINKS, 30, "as the others again")
        self.assertIn("subflow_normal", self.events())
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
        main = self.main_port()
        self.kill(self.h1, main)
        self.back(main, "the main flow")
        self.assertEqual(sum(not f["backup"] for f in self.flows()), 1)
        # The next daemon finds who has the place of the main flow: one and no more.
        self.h1.kill()
        self.h1.start()
        wait_for(lambda: len(self.flows()) == LINKS and sum(not f["backup"] for f in self.flows()) == 1, 10, "after a restart")
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
        self.assertEqual(self.h1.counter("subflow_priorities"), 0)  # what they have was asked for
        self.kill(self.h1, port)
        self.back(port, "after a restart")
        self.check()

    def test_killed_while_nobody_listens(self):
        """The daemon is gone for a moment, and meanwhile subflows: neither events nor RSTs were seen."""
        self.connect(4)
        gone = {self.main_port(), max(self.sockets() - {self.main_port()})}
        self.h1.kill()
        for port in gone:
            self.kill(self.h1, port)
        self.assertEqual(len(self.sockets()), 1)
        self.h1.start()
        self.after = 0
        began = time.monotonic()
        wait_for(lambda: len(self.sockets()) == LINKS == len(self.sockets(self.h2)) and not gone & self.sockets(), 10, "all again")
        print(f"subflows back {time.monotonic() - began:.2f} s after a start", file=sys.stderr)
        wait_for(lambda: len(self.flows()) == LINKS, 5, "their flows")
        self.assertEqual({name: len(found) for name, found in self.events().items()}, {"subflow_lost": 2, "subflow_recreated": 2})
        self.check()


if __name__ == "__main__":
    main()
