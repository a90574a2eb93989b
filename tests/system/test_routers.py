#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Emulated routers (scripts/emulator) do with every packet what real ones do with it.

The same packets go through a lab of real routers, and then through emulated ones with the same keys in the
same namespaces: with sockets on the same links, and with the links in their process. What comes out at hosts is
compared byte by byte: what was delivered, and what was answered.
"""

import os
import random
import select
import socket
import sys
import time

from harness import *  # noqa: F403

sys.path[:0] = [os.path.join(ROOT, "scripts"), TOOLS]

from labnet import crypto, daemon, emulated, emulator, lab as labs, links, netns, ready, state  # noqa: E402
from labnet.hopfields import Age, Segments  # noqa: E402
from labnet.topology import DAEMON_PORT, ROUTER_PORT  # noqa: E402
from router_packets import ENDHOST_PORT, PORT, SOURCE_PORT, Cases  # noqa: E402

BATCH = 24  # at once; a real router has room for 32 answers that it is still to make
QUIET_S, LATE_S = 0.015, 0.3  # when nothing comes any more: now, and at all


class Places:
    """Sockets of one host in each AS: the host, or the box of the AS where there is none."""

    def __init__(self, topo):
        self.addresses, self.routers, self.sockets, self.senders = {}, {}, {}, {}
        for a in topo.ases:
            where, address = (a.hosts[0].netns, a.hosts[0].address) if a.hosts else (a.netns, a.address)
            self.addresses[a.asn] = address
            self.routers[a.asn] = (a.address, ROUTER_PORT)
            for port in SOURCE_PORT, PORT, ENDHOST_PORT:
                s = netns.run_in(where, self._open, address, port)
                self.sockets[s] = (a.asn, port)
                if port == SOURCE_PORT:
                    self.senders[a.asn] = s

    @staticmethod
    def _open(address, port):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        s.bind((address, port))
        s.setblocking(False)
        return s

    def close(self):
        for s in self.sockets:
            s.close()

    def collect(self, seen, quiet_s):
        """Adds what arrives, until nothing does: {flow id: {(AS, port, bytes)}}."""
        while ready := select.select(list(self.sockets), [], [], quiet_s)[0]:
            for s in ready:
                try:
                    data = s.recv(65536)
                except OSError:
                    continue
                flow = int.from_bytes(data[1:4], "big") & 0xfffff
                seen.setdefault(flow, set()).add((*self.sockets[s], data))

    def send(self, cases):
        """Sends all; what brought nothing is sent again, because a real router may lose it."""
        seen = {}
        for _ in range(4):
            rest = [(source, data) for flow, (_, source, data) in enumerate(cases, 1) if flow not in seen]
            for at in range(0, len(rest), BATCH):
                for source, data in rest[at:at + BATCH]:
                    self.senders[source].sendto(data, self.routers[source])
                self.collect(seen, QUIET_S)
            self.collect(seen, LATE_S)
        return seen


class Routers(SystemTest):
    def run_all(self, numbers):
        """What comes out for all cases: with all links up, and with some cut."""
        results = [self.places.send(self.cases.cases)]
        cut = [links.find(self.topo, n) for n in numbers]
        for link in cut:
            self.cut(link)
        self.wait_links(cut, "down")
        results.append(self.places.send(self.cut_cases.cases))
        for link in cut:
            self.restore(link)
        return results

    def cut(self, link):
        if self.inside:
            emulator.cut(self.lab.name, link)
        else:
            links.cut(link)

    def restore(self, link):
        if self.inside:
            emulator.restore(self.lab.name, link)
        else:
            links.restore(link)

    def wait_links(self, wanted, how):
        for link in wanted:
            ready.wait_link(link, how, time.monotonic() + 20, self.lab.name if self.emulated else None)

    def make_cases(self):
        age = Age(int(time.time()) - 60, 63)
        directory = state.lab_dir(self.lab.name)
        segments = Segments(self.topo, {a.asn: daemon.read_key(directory, a) for a in self.topo.ases})
        self.cases = Cases(self.topo, self.places.addresses, segments, age)
        self.cut_cases = Cases(self.topo, self.places.addresses, segments, age)
        for source, destination in self.cut_cases.pairs():
            for raw in self.cut_cases.paths(source, destination):
                self.cut_cases.on_every_path(source, destination, raw)

    def emulate(self):
        """Stops the real routers and daemons and starts emulated ones in their place, with sockets on the same links."""
        self.lab.stop(*[f"router@{a.asn}" for a in self.topo.ases],
                      *[f"daemon@{a.asn}" for a in self.topo.ases if a.hosts])
        directory = state.lab_dir(self.lab.name)
        emulated.write_ages(directory, 63, 0)
        for a in self.topo.ases:
            if a.hosts:
                self.addCleanup(spawn(netns.command(a.netns, emulated.daemon_command(self.lab.name, a))).close)
                wait_for(lambda asys=a: ready.serves("daemon", asys), 20, "the emulated daemon")
        return self.start_emulated()

    def start_emulated(self, *more):
        argv = [emulated.binary(), "--control", os.path.join(state.lab_dir(self.lab.name), emulated.CONTROL), *more]
        for a in self.topo.ases:
            argv += [a.netns, crypto.as_dir(state.lab_dir(self.lab.name), a)]
        process = spawn(argv)
        self.addCleanup(process.close)
        wait_for(lambda: "ready" in process.output() or process.poll() is not None, 20, "emulated routers")
        self.emulated = True
        self.wait_links(self.topo.links, "up")
        return process

    def with_links_inside(self):
        """As `up --routers emulated` starts them."""
        self.inside = True
        return self.start_emulated("--links", emulator.write_config(
            self.topo, 1, {}, lambda _, end: {"isd_as": end.asys.isd_as, "interface": end.interface}))

    def known_paths(self):
        """All that shila learns of a daemon, but for hop fields and when they expire; `up` has waited for these."""
        seen = []
        for source, destination in self.topo.pairs():
            out = run(self.lab.inside(source.hosts[0].name, [os.path.join(BUILD, "tests", "path_dump"),
                                                             self.topo.endpoint(source.address, DAEMON_PORT),
                                                             destination.isd_as])).stdout
            seen.append(sorted(line.rpartition(" expires in ")[0] or line for line in out.splitlines()))
        return seen

    def compare(self, topology, underlay, parallel, cut):
        self.lab = self.enterContext(Lab(topology=topology, underlay=underlay, links=parallel))
        self.topo, _ = labs.load(self.lab.name)
        self.places = Places(self.topo)
        self.addCleanup(self.places.close)
        self.emulated = self.inside = False
        self.make_cases()
        seed = random.randrange(1 << 32)
        print(f"seed of the mutations: {seed}")
        if topology == "diamond":
            self.cases.add_all(seed)
        else:
            for source, destination in self.cases.pairs():
                raw = self.cases.paths(source, destination)[0]
                self.cases.on_every_path(source, destination, raw)
                self.cases.wrong_paths(source, destination, raw)
        paths = self.known_paths()
        real = self.run_all(cut)
        process = self.emulate()
        self.assertEqual(self.known_paths(), paths, "paths of the emulated daemon")
        ours = self.run_all(cut)
        self.assertIsNone(process.poll())
        process.close()
        process = self.with_links_inside()
        inside = self.run_all(cut)
        self.assertIsNone(process.poll())
        self.check_same("links inside", real, inside)
        return self.check_same("sockets", real, ours)

    def check_same(self, what, real, ours):
        """(packets, delivered, answered)"""
        delivered = answered = 0
        different = []
        for cases, theirs, mine in zip((self.cases, self.cut_cases), real, ours):
            for flow, (name, _, data) in enumerate(cases.cases, 1):
                want, got = theirs.get(flow, set()), mine.get(flow, set())
                delivered += any(port != SOURCE_PORT for _, port, _ in want)
                answered += any(port == SOURCE_PORT for _, port, _ in want)
                if want != got:
                    different.append(f"{name}: sent {data.hex()}\n" +
                                     "".join(f"  real     {a}:{p} {d.hex()}\n" for a, p, d in sorted(want)) +
                                     "".join(f"  emulated {a}:{p} {d.hex()}\n" for a, p, d in sorted(got)))
        total = len(self.cases.cases) + len(self.cut_cases.cases)
        print(f"{what}: {total} packets: {delivered} were delivered, {answered} answered, {len(different)} differ")
        self.assertFalse(different, f"{what}: {len(different)} of {total} differ:\n" + "\n".join(different[:5]))
        return total, delivered, answered

    def test_ipv4(self):
        total, delivered, answered = self.compare("diamond", "ipv4", None, [1, 5])
        self.assertGreater(delivered, 100)
        self.assertGreater(answered, 200)
        self.assertGreater(total - delivered - answered, 50, "some are dropped without a word")

    def test_ipv6(self):
        _, delivered, answered = self.compare("leaf", "ipv6", 1, [2])
        self.assertGreater(delivered, 10)
        self.assertGreater(answered, 30)


class OverEmulated(SystemTest):
    """shila over emulated routers, as over real ones: every byte arrives, and a dead link is left."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="leaf", links=2, routers="emulated", apps=(4,), interfaces=2))

    def test_transfers(self):
        h1, h2, lab = self.pair.h1, self.pair.h2, self.pair.lab
        h2.serve()
        for direction in "put", "get":
            answer = h1.traffic(direction, h2.address(4), 8000, 64 << 20)
            self.assertTrue(answer["ok"], answer)
        used = [link["ab"]["bytes"] > 1 << 20 for link in lab.counters()]
        self.assertEqual(used, [True] * 4, "data went over all links")
        lab.link(1, "cut", "--wait")
        wait_for(lambda: sum(p["state"] == "down" for p in h1.rpc("paths")) == 2, 20, "the paths over it are down")
        answer = h1.traffic("get", h2.address(4), 8000, 16 << 20)
        self.assertTrue(answer["ok"], answer)
        lab.link(1, "restore", "--wait")
        h1.wait_paths(4)

    def test_routers_and_daemons_stop_and_start(self):
        h1, lab = self.pair.h1, self.pair.lab
        lab.stop("router@64512", "daemon@64513")
        running = {a["isd_as"]: a["processes"]["router"]["running"] for a in lab.status()["ases"]}
        self.assertEqual(running, {"1-64512": False, "1-64513": True, "1-64514": True})
        wait_for(lambda: all(p["state"] == "down" for p in h1.rpc("paths")), 20, "all paths are down")
        lab.start("router@64512", "daemon@64513")
        h1.wait_paths(4)


class Daemon(SystemTest):
    def test_many_paths_and_their_age(self):
        began = time.monotonic()
        with Lab(topology="leaf", links=8, routers="emulated", path_lifetime=300, path_age=300) as lab:
            self.assertLess(lab.info["ready_after_s"], 2)
            took = time.monotonic() - began
            out = run(lab.inside("h1", [os.path.join(BUILD, "tests", "path_dump"), lab.hosts["h1"]["daemon"],
                                        "1-64514"])).stdout.splitlines()[1:]
            print(f"64 paths, {took:.1f} s")
            self.assertEqual(len({line.split()[0] for line in out}), 64)
            left = [int(line.split()[-2]) for line in out]
            self.assertGreaterEqual(min(left), 20)
            self.assertLessEqual(max(left), 38, "337.5 s, of which 300 are over")

    def test_inside_one_as(self):
        with Lab(topology="local", underlay="ipv6", routers="emulated") as lab:
            out = run(lab.inside("h1", [os.path.join(BUILD, "tests", "path_dump"), lab.hosts["h1"]["daemon"],
                                        "1-64512"])).stdout.splitlines()
            self.assertEqual(len(out), 2)
            self.assertIn(" raw 0 mtu 1452", out[1])


if __name__ == "__main__":
    main()
