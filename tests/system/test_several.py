#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several clients and servers, other topologies, other address families."""

import sys

from harness import *  # noqa: F403

BYTES = 6 << 20


def links_of(flow):
    hops = [(h["isd_as"], h["interface"]) for h in flow["path"]["hops"]]
    return {frozenset(hops[i:i + 2]) for i in range(0, len(hops), 2)}


class Transfers(SystemTest):
    def both_ways(self, client, server, families=(4, 6), port=8000):
        server.serve(port)
        for family in families:
            for what in ("get", "put"):
                answer = client.traffic(what, server.address(family), port, BYTES)
                self.assertTrue(answer["ok"], (family, what, answer))

    def check_disjoint(self, client, server, family, subflows, port=8000):
        """While a transfer runs: so many flows, and no two share a link."""
        p = client.spawn_traffic("gets", server.address(family), port, 120)
        flows = wait_for(lambda: len(client.flows(protocol="tcp", state="open")) == subflows and
                         client.flows(protocol="tcp", state="open"), 20, f"{subflows} open flows")
        for i, f in enumerate(flows):
            for g in flows[:i]:
                self.assertFalse(links_of(f) & links_of(g), (f["path"], g["path"]))
        p.end_traffic()


# The same ports from the same private address: UDP and TCP, what comes back is what was sent, and from where.
FROM_PORT = """
import hashlib, socket, sys
host, port, mine, word = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
data = hashlib.shake_128(word.encode()).digest(1000)
u = socket.socket(family, socket.SOCK_DGRAM)
u.bind(("", mine))
u.connect((host, port))
u.settimeout(2)
t = socket.socket(family)
t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
t.bind(("", mine))
t.settimeout(20)
t.connect((host, port + 1))
def ask(datagram):
    for _ in range(5):  # UDP may lose
        u.send(datagram)
        try:
            while (got := u.recv(2000)) != datagram:  # an answer that was late
                assert got[:-1] == data and got[-1] < datagram[-1], got
            return
        except TimeoutError:
            pass
    sys.exit("no answer")
for i in range(200):
    ask(data + bytes([i]))
    line = f"{word} {i}\\n".encode()
    t.sendall(line)
    got = b""
    while len(got) < len(line):
        part = t.recv(100)
        assert part
        got += part
    assert got == line, got
print("fine")
"""


class SeveralHosts(Transfers):
    """h1, h2 and h3, h4 in two ASes. h1 and h2 have the same private addresses."""

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=3, hosts_per_as=2))
        same = {"egress": {"addresses": ["10.7.1.0/24", "fd00:7:1::/64"]}}
        cls.h3 = cls.keep(Shilad(cls.lab, "h3"))
        cls.h1 = cls.keep(Shilad(cls.lab, "h1", {"routes": cls.routes(1)}))
        cls.h2 = cls.keep(Shilad(cls.lab, "h2", same))
        for h in (cls.h1, cls.h2):
            h.wait_paths(3)

    @classmethod
    def routes(cls, own):
        """To all hosts, also to itself."""
        return [{"to": to, "via": cls.lab.scion_address(f"h{n}")} for n in (1, 2, 3)
                for to in (f"10.70.{n}.0/24", f"fd00:70:{n}::/64")]

    def test_two_clients_with_the_same_addresses(self):
        self.h3.serve()
        for family in (4, 6):
            clients = [h.spawn_traffic("gets", self.h3.address(family), 8000, 120) for h in (self.h1, self.h2)]

            def flows():
                found = [f for f in self.h3.flows(protocol="tcp", state="open", side="server") if f["role"] == "main"]
                return found if len(found) == 2 else None
            a, b = wait_for(flows, 20, "a main flow of either")
            self.assertEqual(a["client"], b["client"])
            self.assertNotEqual(a["remote"].rsplit(":", 1)[0], b["remote"].rsplit(":", 1)[0])
            self.assertNotEqual(a["peer"], b["peer"])
            for h in (self.h1, self.h2):
                wait_for(lambda h=h: sum(f["rx_bytes"] for f in h.flows(protocol="tcp", state="open")) > BYTES, 30,
                         f"{BYTES} bytes at {h.host}")
            for c in clients:
                c.end_traffic()
            # A join that its client gave up in the middle is forgotten after 10 s.
            wait_for(lambda: not self.h3.flows(state="open", protocol="tcp"), 20, "the end of all flows")

    def test_two_clients_with_the_same_addresses_and_ports(self):
        self.h3.serve(9500, udp=True)
        self.h3.serve(9501)
        for family in (4, 6):
            clients = [h.spawn([sys.executable, "-B", "-c", FROM_PORT, self.h3.address(family), 9500, 45000 + family,
                                f"client{h.number}"]) for h in (self.h1, self.h2)]

            def flows(port=45000 + family):
                found = [f for f in self.h3.flows(side="server", protocol="udp") if f["remote"].endswith(f":{port}")]
                return found if len(found) == 2 else None
            a, b = wait_for(flows, 20, "a UDP flow of either")
            self.assertEqual(a["client"], b["client"])
            self.assertNotEqual(a["remote"], b["remote"])
            for c in clients:
                self.assertIn("fine", c.finish(60))

    def test_both_roles_at_once(self):
        """h1 and h3 fetch from each other at the same time."""
        self.h1.serve(8001)
        self.h3.serve(8001)
        programs = [a.spawn_traffic("get", b.address(family), 8001, BYTES)
                    for a, b in ((self.h1, self.h3), (self.h3, self.h1)) for family in (4, 6)]
        for p in programs:
            answer = traffic_answer(p.finish(60))
            self.assertTrue(answer["ok"], answer)

    def test_two_servers(self):
        """One client, two peers, one of them in its own AS (empty path)."""
        self.h2.serve(8002)
        self.h3.serve(8002)
        programs = [self.h1.spawn_traffic("get", h.address(family), 8002, BYTES)
                    for h in (self.h2, self.h3) for family in (4, 6)]
        for p in programs:
            answer = traffic_answer(p.finish(60))
            self.assertTrue(answer["ok"], answer)

    def test_a_host_and_itself(self):
        self.both_ways(self.h1, self.h1, port=8003)
        self.h1.ping(self.h1.address(4), count=2)
        self.h1.serve(9003, udp=True)
        sizes = [1, 1400, 1473, 5000]
        for family in (4, 6):
            self.assertEqual(self.h1.traffic("udp", self.h1.address(family), 9003, *sizes)["answered"], sizes)
        own = [p for p in self.h1.rpc("peers") if p["host"] == "10.12.0.2"]
        self.assertEqual([p["state"] for p in own], ["up"])

    def test_many_connections(self):
        """100 at once from one program each way."""
        self.h3.serve(8004)
        script = ("import concurrent.futures as f, sys; sys.path.insert(0, sys.argv[1]); import traffic\n"
                  "with f.ThreadPoolExecutor(100) as pool:\n"
                  "    answers = list(pool.map(lambda i: traffic.get(sys.argv[2], 8004, 100000 + i)['ok'], range(100)))\n"
                  "print(sum(answers))\n")
        for family in (4, 6):
            out = self.h1.run(["python3", "-B", "-c", script, TOOLS, self.h3.address(family)], seconds=60).stdout
            self.assertEqual(out.strip(), "100")


class PoolExhausted(Transfers):
    """h1, h2, h3 in one AS have one client address each, the server h4 has two addresses for them."""

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=1, hosts_per_as=3))
        cls.h4 = cls.keep(Shilad(cls.lab, "h4", {"ingress": {"pool": ["10.64.0.0/30"]}}, apps=(4,)))
        cls.clients = [cls.keep(Shilad(cls.lab, f"h{n}", apps=(4,), interfaces=1, peers=["h4"])) for n in (1, 2, 3)]
        for h in cls.clients:
            h.wait_paths(1)

    def hold(self, h):
        p = h.spawn_traffic("hold", self.h4.address(4), 8000)
        wait_for(lambda: "connected" in p.output(), 10, f"a connection of {h.host}")
        return p

    def test_refusal_and_recovery(self):
        h1, h2, h3 = self.clients
        at = self.h4.address(4)
        self.h4.serve(8000)
        first = self.hold(h1)
        self.hold(h2)
        self.assertEqual([self.h4.rpc("status")["ingress"][k] for k in ("pool_used", "pool_size")], [2, 2])
        transfer = h2.spawn_traffic("get", at, 8000, 32 << 20)
        # What the program sees, at once; with ICMP for everything else.
        for mptcp in (True, False):
            answer = h3.traffic("connect", at, 8000, mptcp=mptcp)
            self.assertEqual(answer["errno"], "EHOSTUNREACH")
            self.assertLess(answer["seconds"], 1)
        self.assertIn("Destination Host Unreachable", h3.run(["ping", "-c", 1, "-W", 2, at], check=False).stdout)
        # What the logs, counters and `shila status` say, at both ends.
        self.assertEqual(h3.counter("drop.peer_limit"), 3)
        self.assertRegex(h3.log(), rf"flow .* > {at}:8000 .*: refused: the peer has no flow or address left for us")
        self.assertGreaterEqual(self.h4.counter("drop.limit_pool"), 3)  # an OPEN may be repeated
        self.assertRegex(self.h4.log(), "refused OPEN of 1-64512,10.12.0.4, client 10.7.3.1:[0-9]+ to port 8000: "
                                        "no free address in ingress.pool")
        status = self.h4.shila("status").stdout
        self.assertIn("2 of 2 pool addresses in use", status)
        self.assertRegex(self.h4.shila("drops").stdout, r"[0-9]+ +drop\.limit_pool +no free address in ingress\.pool")
        # Who has an address notices nothing.
        self.assertTrue(traffic_answer(transfer.finish(60))["ok"])
        # One comes free: that of a closed connection, as soon as somebody needs it.
        first.close()
        wait_for(lambda: all(f["state"] != "open" for f in self.h4.flows(client="10.7.1.1")), 20, "the end of h1's connection")
        answer = h3.traffic("get", at, 8000, BYTES)
        self.assertTrue(answer["ok"], answer)
        # And so on, as long as nobody holds one.
        self.assertTrue(h1.traffic("put", at, 8000, BYTES)["ok"])
        self.hold(h3)
        self.assertEqual(h1.traffic("connect", at, 8000)["errno"], "EHOSTUNREACH")


class ThreeInOneAs(Transfers):
    """Each host fetches from all three at the same time, itself among them, both families."""

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="local", hosts_per_as=3))
        names = ["h1", "h2", "h3"]
        cls.hosts = [cls.keep(Shilad(cls.lab, h, peers=names, interfaces=2)) for h in names]
        for h in cls.hosts:
            h.wait_paths(1)

    def test_everybody_with_everybody(self):
        for h in self.hosts:
            h.serve(8000)
            h.serve(9000, udp=True)
        programs = [a.spawn_traffic(*what(b.address(family)))
                    for a in self.hosts for b in self.hosts for family in (4, 6)
                    for what in (lambda at: ("get", at, 8000, BYTES // 3), lambda at: ("udp", at, 9000, 1, 1400, 3000))]
        for p in programs:
            answer = traffic_answer(p.finish(60))
            self.assertTrue(answer["ok"], answer)
        for h in self.hosts:
            clients = {f["peer"] for f in h.flows(side="server", protocol="tcp")}
            self.assertEqual(len(clients), 3)


class Local(Transfers):
    """Both hosts in one AS: the path is empty, and there is one."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="local"))

    def test_transfers(self):
        self.both_ways(self.pair.h1, self.pair.h2)
        self.assertEqual([p["hops"] for p in self.pair.h1.rpc("paths")], [[]])


class Diamond(Transfers):
    """Four paths, two of them disjoint, of different length."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="diamond", interfaces=2))

    def test_transfers(self):
        self.both_ways(self.pair.h1, self.pair.h2)
        for family in (4, 6):
            self.check_disjoint(self.pair.h1, self.pair.h2, family, 2)


class Leaf(Transfers):
    """Up and down: 9 paths of two segments, three disjoint."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="leaf", links=3))

    def test_transfers(self):
        self.both_ways(self.pair.h1, self.pair.h2)
        for family in (4, 6):
            self.check_disjoint(self.pair.h1, self.pair.h2, family, 3)


class Ipv6Underlay(Transfers):
    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=3, underlay="ipv6"))

    def test_transfers(self):
        self.both_ways(self.pair.h1, self.pair.h2)
        for family in (4, 6):
            self.check_disjoint(self.pair.h1, self.pair.h2, family, 3)

    def test_datagrams(self):
        h1, h2 = self.pair.h1, self.pair.h2
        h2.serve(9000, udp=True)
        for family in (4, 6):
            h1.ping(h2.address(family), count=2)
            sizes = [1, 1200, 1300, 1400, 1500, 2600]
            self.assertEqual(h1.traffic("udp", h2.address(family), 9000, *sizes)["answered"], sizes)


class OneFamily(Transfers):
    """Daemons that know nothing of IPv6, or of IPv4, inside."""

    def test_ipv4_only(self):
        pair = self.use(Pair(topology="parallel", links=2, apps=(4,)))
        self.both_ways(pair.h1, pair.h2, (4,))

    def test_ipv6_only(self):
        pair = self.use(Pair(topology="parallel", links=2, apps=(6,), underlay="ipv6"))
        self.both_ways(pair.h1, pair.h2, (6,))


if __name__ == "__main__":
    main()
