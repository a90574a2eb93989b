#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several clients and servers, other topologies, other address families."""

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
        p = client.spawn_traffic("get", server.address(family), port, 64 << 20)
        flows = wait_for(lambda: len(client.flows(protocol="tcp", state="open")) == subflows and
                         client.flows(protocol="tcp", state="open"), 5, f"{subflows} open flows")
        for i, f in enumerate(flows):
            for g in flows[:i]:
                self.assertFalse(links_of(f) & links_of(g), (f["path"], g["path"]))
        p.close()


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
            clients = [h.spawn_traffic("get", self.h3.address(family), 8000, 8 * BYTES) for h in (self.h1, self.h2)]

            def flows():
                found = [f for f in self.h3.flows(protocol="tcp", state="open", side="server") if f["role"] == "main"]
                return found if len(found) == 2 else None
            a, b = wait_for(flows, 5, "a main flow of either")
            self.assertEqual(a["client"], b["client"])
            self.assertNotEqual(a["remote"].rsplit(":", 1)[0], b["remote"].rsplit(":", 1)[0])
            self.assertNotEqual(a["peer"], b["peer"])
            for c in clients:
                answer = traffic_answer(c.finish(60))
                self.assertTrue(answer["ok"], answer)
            # A join that its client gave up in the middle is forgotten after 10 s.
            wait_for(lambda: not self.h3.flows(state="open", protocol="tcp"), 20, "the end of all flows")

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
        self.assertIn("0% packet loss", self.h1.run(["ping", "-c", 2, "-i", "0.2", self.h1.address(4)]).stdout)
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
            self.assertIn(" 0% packet loss", h1.run(["ping", "-c", 2, "-i", "0.2", h2.address(family)]).stdout)
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
