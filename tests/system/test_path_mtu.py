#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Path MTUs from 1280 to 9000: bulk data fills the packets that the path takes, and goes on when that changes."""

import json
import os
import struct

from harness import *  # noqa: F403

BYTES = 2 << 20
SHORT = (BYTES >> 16) + 16  # parts of the program, each of which may end in a packet that is not full; and what windows cut
OUTER = 28  # IP and UDP header of the underlay
HEADERS_ONLY = 300  # what is shorter is no data of a transfer


class Wire:
    """Sizes of the IP packets that a device of a namespace sends or gets, in the order of their time."""

    def __init__(self, netns, device, port=None):
        self.file = os.path.join(temporary(), "capture.pcap")
        self.process = spawn(["nsenter", f"--net=/run/netns/{netns}", "tcpdump", "-i", device, "-s", "40", "-B", "16384", "-U",
                              "--immediate-mode", "-w", self.file, f"udp port {port}" if port else "udp"])
        wait_for(lambda: "listening on" in self.process.output(), 10, "tcpdump listens")

    def sizes(self):
        """{sender's address: [bytes]} of packets that carry data."""
        self.process.terminate()
        self.process.finish(10, code=None)
        with open(self.file, "rb") as f:
            data = f.read()
        at, out = 24, {}
        while at + 16 <= len(data):
            caught = struct.unpack_from("<I", data, at + 8)[0]
            ip = data[at + 30:at + 16 + caught]  # behind record and Ethernet header
            size = struct.unpack(">H", ip[2:4])[0]
            if size > HEADERS_ONLY:
                out.setdefault(".".join(map(str, ip[12:16])), []).append(size)
            at += 16 + caught
        return out


class Mtu(SystemTest):
    def full(self, sizes, mtu, short):
        """Packets of one direction: none is too large, and not more than that many are not full."""
        self.assertEqual(max(sizes), mtu + OUTER)
        others = [n for n in sizes if n != mtu + OUTER]
        self.assertLessEqual(len(others), short, f"of {len(sizes)} packets are not full: {sorted(others)}")

    def check_drops(self, *daemons):
        for h in daemons:
            bad = {d["name"]: d["count"] for d in h.rpc("drops")
                   if d["count"] and d["name"] in ("drop.send_too_big", "drop.send_failed", "drop.no_path", "drop.tun_write")}
            self.assertEqual(bad, {}, h.host)


class EmptyPath(Mtu):
    """Two hosts of one AS, joined by a device that segments nothing itself."""

    MTUS = (1280, 1400, 1472, 9000)

    def set_as_mtu(self, mtu):
        path = os.path.join(self.lab.info["state_dir"], "gen", "AS64512", "topology.json")
        with open(path, encoding="utf-8") as f:
            topology = json.load(f)
        topology["mtu"] = mtu
        with open(path, "w", encoding="utf-8") as f:
            json.dump(topology, f)
        self.lab.stop("daemon@64512")
        self.lab.start("daemon@64512")

    def join(self):
        ns = {h: self.lab.netns(h) for h in ("h1", "h2")}
        run(["ip", "link", "add", "d0", "netns", ns["h1"], "type", "veth", "peer", "name", "d0", "netns", ns["h2"]])
        for host, other in (("h1", "h2"), ("h2", "h1")):
            address = {h: self.lab.hosts[h]["address"] for h in ns}
            run(self.lab.inside(host, ["ethtool", "-K", "d0", "tso", "off", "tx-udp-segmentation", "off"]))
            run(self.lab.inside(host, ["ip", "link", "set", "d0", "up"]))
            run(self.lab.inside(host, ["ip", "route", "replace", f"{address[other]}/32", "dev", "d0", "src", address[host]]))

    def test_each(self):
        self.lab = self.use(Lab(topology="local", mtu=max(self.MTUS)))
        self.join()
        daemons = [self.use(Shilad(self.lab, h, apps=(4,), interfaces=1, start=False)) for h in ("h2", "h1")]
        h2, h1 = daemons
        for mtu in self.MTUS:
            with self.subTest(mtu):
                self.set_as_mtu(mtu)
                for h in daemons:
                    run(self.lab.inside(h.host, ["ip", "link", "set", "d0", "mtu", mtu + OUTER]))
                    h.start()
                h1.wait_paths(1)
                server = h2.serve()
                wire = Wire(self.lab.netns("h1"), "d0")
                for kind in ("put", "get"):
                    answer = h1.traffic(kind, h2.address(4), 8000, BYTES)
                    self.assertTrue(answer["ok"], answer)
                sizes = wire.sizes()
                for host in ("h1", "h2"):
                    self.full(sizes[self.lab.hosts[host]["address"]], mtu, SHORT)
                self.check_drops(h1, h2)
                server.close()
                for h in daemons:
                    h.stop()


class Routers(Mtu):
    """Parallel links of different MTUs, between real routers, which take 8488 bytes."""

    MTUS = {1: 1300, 2: 1472, 3: 4000, 4: 8488}

    @staticmethod
    def net(link):
        """What the server is called over this link alone; 0: over 1 or 2."""
        return f"10.{80 + link}.2"

    @classmethod
    def setUpClass(cls):
        via = ["1-64513,10.13.0.2"]
        routes = [{"to": "10.70.2.0/24", "via": via}]
        for i in cls.MTUS:
            routes.append({"to": f"{cls.net(i)}.0/24", "via": via, "paths": {"policy": [f"+ 1-64512#{i}", "- 1-64512", "+"]}})
        routes.append({"to": f"{cls.net(0)}.0/24", "via": via, "paths": {"policy": ["+ 1-64512#1", "+ 1-64512#2", "- 1-64512", "+"]}})
        cls.pair = cls.keep(Pair(topology="parallel", links=len(cls.MTUS), mtu=max(cls.MTUS.values()),
                                 link_mtu={k: v for k, v in cls.MTUS.items() if v != max(cls.MTUS.values())},
                                 apps=(4,), config1={"routes": routes}))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2
        cls.ends = {x["id"]: x["ends"] for x in cls.pair.lab.info["links"]}

    def wire(self, link):
        return Wire(self.ends[link][0]["netns"], self.ends[link][0]["device"])

    def addresses(self, link):
        return [e["address"] for e in self.ends[link]]

    def setUp(self):
        self.h2.serve()

    def flow(self):
        return next(f for f in self.h1.flows(protocol="tcp", state="open") if f["remote"].endswith(":8000"))

    def test_each(self):
        for link, mtu in self.MTUS.items():
            with self.subTest(mtu):
                wire = self.wire(link)
                for kind in ("put", "get"):
                    answer = self.h1.traffic(kind, f"{self.net(link)}.1", 8000, BYTES, mptcp=False)
                    self.assertTrue(answer["ok"], answer)
                sizes = wire.sizes()
                for address in self.addresses(link):
                    self.full(sizes[address], mtu, SHORT)
        self.check_drops(self.h1, self.h2)

    def link_is(self, link, state):
        def there():
            return any(p["state"] == state and p["hops"][0]["interface"] == link for p in self.h1.rpc("paths"))
        wait_for(there, 20, f"link {link} is {state}")

    def test_moves(self):
        """A connection that began on 1472 moves to 1300 and back, while it carries data in both directions."""
        lab = self.pair.lab
        lab.link(1, "cut", "--wait")
        self.link_is(1, "down")
        client = self.h1.spawn_traffic("load", f"{self.net(0)}.1", 8000, 1, 60, mptcp=False)
        wait_for(lambda: "connected" in client.output(), 10, "the connection")
        self.assertEqual(self.flow()["path"]["mtu_bytes"], 1472)
        for old, new in ((2, 1), (1, 2)):
            lab.link(new, "restore", "--wait")
            self.link_is(new, "up")
            wire = self.wire(new)
            lab.link(old, "cut")
            wait_for(lambda: self.flow()["path"]["mtu_bytes"] == self.MTUS[new], 10, f"the flow is on link {new}")
            before = self.flow()
            wait_for(lambda: all(self.flow()[k] > before[k] + (2 << 20) for k in ("tx_bytes", "rx_bytes")), 20, "it goes on there")
            sizes = wire.sizes()
            for address in self.addresses(new):
                # a train of segments that are too large ends in one that is not full: seen 7 %
                self.full(sizes[address], self.MTUS[new], 0.3 * len(sizes[address]))
        client.terminate()
        self.assertLess(client.good_answer(30)["longest"], 3)
        self.check_drops(self.h1, self.h2)


if __name__ == "__main__":
    main()
