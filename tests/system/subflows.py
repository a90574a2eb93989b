# SPDX-License-Identifier: Apache-2.0
"""A connection over some paths whose subflows are ended in every way; shared by test_subflows.py and tests/long."""

import os
import re
import sys
import time

from harness import *  # noqa: F403

LINKS = 3
BACKUP = "10.90.2.1/32"  # a destination whose subflows are for backup
BACK_S = 1.0

# RSTs from the other side's address for the main flow, out of nowhere: in the namespace of one side, over its loopback
# device. The main flow is not bound to a device. They need the sequence number that this side expects next, which is
# what its ACKs say: if data comes before one is there, the kernel answers it with an ACK only (RFC 5961), and the next is tried.
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
end, sent = time.monotonic() + 10, 0
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
    sent += 1
    print("sent", sent, flush=True)
"""


class SubflowTest(SystemTest):
    """Three paths, five TUNs: one connection that sends a little all the time."""

    port = 8000

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=LINKS, interfaces=5, apps=(4, 6), routers="emulated",
                                 more=["--emulated-links", "--rate", "10mbit"]))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2
        cls.h1.stop()
        cls.h1.config["routes"].append({"to": BACKUP, "via": [cls.pair.lab.scion_address("h2")], "backup": True})
        cls.h1.write_config()
        cls.h1.start()
        cls.h1.wait_paths(LINKS)

    def setUp(self):
        type(self).port += 1
        self.h2.serve(self.port)

    def connect(self, family=4, address=None, paths=LINKS, seconds=60):
        """A transfer that lasts, and is checked at the end; the links are slow, so each subflow is used all the time."""
        self.after = max([e["number"] for e in self.h1.rpc("events")], default=0)
        self.client = self.h1.spawn_traffic("load", address or self.h2.address(family), self.port, 1, seconds)
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

    def back(self, gone, what, since=None):
        """Three again, and not that one: how long it took."""
        began = since or time.monotonic()

        def three():
            now = self.sockets()
            return gone not in now and len(now) == LINKS and len(self.sockets(self.h2)) == LINKS and len(self.flows()) == LINKS
        wait_for(three, 10, f"{what}: {LINKS} subflows again", every=0.002)
        took = time.monotonic() - began
        links = [h["interface"] for f in self.flows() for h in f["path"]["hops"]]
        self.assertEqual(len(links), len(set(links)), "two subflows share a link")
        self.assertLess(took, BACK_S, what)
        return took

    def main_port(self):
        return next(f["local"].rsplit(":", 1)[1] for f in self.flows() if f["role"] == "main")

    def ends(self, port):
        """Addresses and ports of a subflow at the client: local, port, remote, port."""
        f = next(f for f in self.flows() if f["local"].endswith(f":{port}"))
        return (*f["local"].rsplit(":", 1), *f["remote"].rsplit(":", 1))

    # -- ends of subflows --

    def kill(self, host, port):
        which = "sport" if host is self.h1 else "dport"
        ns = host.ns_egress if host is self.h1 else host.ns_ingress
        run(["ip", "netns", "exec", ns, "ss", "-K", "-tn", which, f"= :{port}"])

    def destroy(self, port):
        """SUBFLOW_DESTROY, as from another path manager."""
        inside = ["ip", "netns", "exec", self.h1.ns_egress]
        said = run(inside + ["ss", "-Htin", "dport", f"= :{self.port}"]).stdout
        token = re.search(r"token:[0-9a-f]+\(id:\d+\)/([0-9a-f]+)\(id:", said)[1]
        run(inside + [sys.executable, os.path.join(TOOLS, "destroy_subflow.py"), token, *self.ends(port)])

    def remove_address(self):
        """The server withdraws the address of all subflows."""
        run(["ip", "netns", "exec", self.h2.ns_ingress, "ip", "mptcp", "endpoint", "delete", "id", "0",
             self.ends(min(self.sockets()))[2]])

    def inject(self, host, ns, device, source, destination):
        """RSTs until the socket of destination is gone; each end is (address, port)."""
        (src, sport), (dst, dport) = source, destination
        own = dport if host is self.h1 else sport
        program = spawn(["ip", "netns", "exec", ns, sys.executable, "-c", INJECT, src, dst, sport, dport, device])
        try:
            wait_for(lambda: own not in self.sockets(host), 10, "a RST has ended the main flow", every=0.002)
        finally:
            program.close()
            print(f"RST injected: {program.output().splitlines()[-1:]}", file=sys.stderr)

    def inject_at_client(self):
        """RSTs for the main flow that the server does not know of: the port that is gone."""
        dst, dport, src, sport = self.ends(self.main_port())
        device = next(i["name"] for i in self.h1.rpc("status")["egress"][0]["interfaces"] if dst in i["addresses"])
        self.inject(self.h1, self.h1.ns_egress, device, (src, sport), (dst, dport))
        return dport

    def inject_at_server(self):
        """The other way round. What the server sees of the client is another address and its port."""
        port = self.main_port()
        server = next(f for f in self.flows(self.h2) if f["role"] == "main")
        self.inject(self.h2, self.h2.ns_ingress, self.h2.rpc("status")["ingress"]["interface"],
                    server["remote"].rsplit(":", 1), server["local"].rsplit(":", 1))
        return port
