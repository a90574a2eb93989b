#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hundreds and thousands of connections: at once, silent, one after another; several workers; parked flows.

The programs are tests/tools/many.c: MPTCP, every byte checked by both ends.
"""

import os
import time

from harness import *  # noqa: F403

MANY = os.path.join(BUILD, "tests", "many")
HOLD = os.path.join(BUILD, "tests", "hold")
# Connections that ended are forgotten soon, so that a test can wait for it.
SHORT = {"limits": {"linger_s": 2}}


class ManyTest(SystemTest):
    def serve(self, *args, port=8000):
        p = self.pair.h2.spawn([MANY, "server", port, *args], ingress=True, mptcp=False)
        self.pair.h2.wait_listening(port)
        return p

    def client(self, *args, family=4, port=8000, seconds=90):
        return self.pair.h1.spawn([MANY, "client", self.pair.h2.address(family), port, "--deadline-s", seconds, *args],
                                  mptcp=False)

    def ended(self, client, server, connections, seconds=100):
        """The client has seen every connection, MPTCP to the end, and every byte. What the server has seen."""
        answer = traffic_answer(client.finish(seconds, code=None))
        server.terminate()
        served = traffic_answer(server.finish(10, code=None))
        self.assertTrue(answer["ok"] and answer["done"] == connections and not answer["errors"], (answer, served))
        self.assertEqual(answer["mptcp"], connections)
        return served

    def finish(self, client, server, connections, seconds=100):
        """The same for both."""
        served = self.ended(client, server, connections, seconds)
        self.assertTrue(served["ok"] and served["done"] == connections and not served["errors"], served)
        self.assertEqual(served["mptcp"], connections)

    def held_back(self):
        """Options of a server that does not speak before self.go() says so."""
        self.go_file = os.path.join(temporary(), "go")
        return ["--go", self.go_file]

    def go(self):
        with open(self.go_file, "w", encoding="utf-8"):
            pass

    def limits_kept(self):
        for h in (self.pair.h1, self.pair.h2):
            refused = {x["name"]: x["refused"] for x in h.rpc("status")["limits"] if x["refused"]}
            self.assertEqual(refused, {}, h.host)


class AtOnce(ManyTest):
    """With what the shipped configuration allows."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=3, log_level="info",
                                 config={"workers": 4, "steering": "program"}))

    def test_500_connections(self):
        """500 connections of three subflows in one moment, from one program; routers drop some of that burst."""
        for family in (4, 6):
            server = self.serve("--bytes", 2000)
            client = self.client("--connections", 500, "--bytes", 2000, family=family)
            self.finish(client, server, 500)
        self.limits_kept()
        for h in (self.pair.h1, self.pair.h2):
            status = h.rpc("status")
            self.assertEqual((status["workers"], status["steering"]), (4, "program"))
            self.assertEqual(status["counters"]["trains_passed_on"], 0)


class Silent(ManyTest):
    """Connections of one subflow, with what the shipped configuration allows."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=2, interfaces=1, apps=(4,), log_level="info",
                                 config={"workers": 2}))

    def test_6000_flows_and_a_server_that_speaks_first(self):
        """Each is silent for 10 s after it was opened."""
        server = self.serve("--wait-ms", 10000, *self.held_back(), "--bytes", 2000)
        client = self.client("--connections", 6000, "--rate", 1000, "--bytes", 2000)
        for h in (self.pair.h1, self.pair.h2):
            wait_for(lambda: h.rpc("status")["flows"] >= 6000, 60, "6000 flows", every=0.5)
        self.go()
        for w in (0, 1):
            self.assertGreater(len(self.pair.h1.flows(worker=w)), 2000)
        self.finish(client, server, 6000)
        self.limits_kept()


class OneAfterAnother(ManyTest):
    NEEDS_PLAIN_BUILD = True  # memory of a sanitizer is not ours

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=1, interfaces=1, apps=(4,), log_level="info",
                                 config={"workers": 2, **SHORT}))

    def used(self, h):
        wait_for(lambda: not h.rpc("status")["flows"], 30, f"no flow on {h.host}")
        with open(f"/proc/{h.process.pid}/status", encoding="utf-8") as f:
            rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        pool = h.rpc("status")["ingress"]["pool_used"]
        time.sleep(0.2)  # the daemon closes what asked it
        return {"descriptors": len(os.listdir(f"/proc/{h.process.pid}/fd")), "rss_kib": rss, "pool": pool}

    def test_20000_connections(self):
        """Eight at a time, 5000 four times; what the daemons hold after the second time they hold after the last."""
        hosts = (self.pair.h1, self.pair.h2)
        held = []
        for _ in range(4):
            server = self.serve("--greet", "--bytes", 500)
            client = self.client("--connections", 5000, "--at-once", 8, "--greet", "--bytes", 500)
            self.finish(client, server, 5000)
            held.append([self.used(h) for h in hosts])
        for h, a, b in zip(hosts, held[1], held[3]):
            self.assertEqual((a["descriptors"], a["pool"]), (b["descriptors"], b["pool"]), h.host)
            self.assertLess(b["rss_kib"], a["rss_kib"] + 512, h.host)
        self.limits_kept()


class Memory(ManyTest):
    """What a daemon takes for an open connection, the state file included."""

    NEEDS_PLAIN_BUILD = True
    FIRST, FLOWS = 1000, 5000
    BYTES = 800  # 650 to 690 were seen; 100 000 flows in 64 MiB + 256 bytes each leave 700

    @classmethod
    def setUpClass(cls):
        limits = dict.fromkeys(("opens_per_second_per_peer", "opens_per_second_per_as", "frames_per_second_peers"), 1000000)
        cls.pair = cls.keep(Pair(topology="parallel", links=1, interfaces=1, apps=(4,), log_level="info",
                                 config={"workers": 2, "limits": limits}))

    def grow(self, port, flows):
        """Opens so many more. Resident memory of both daemons then."""
        p = self.pair
        p.h2.spawn([HOLD, "server", port], ingress=True)
        p.h2.wait_listening(port)
        client = p.h1.spawn([HOLD, "client", p.h2.address(4), port, flows, "--at-once", 50])
        wait_for(lambda: client.output().strip() or client.poll() is not None, 60, f"{flows} connections")
        self.assertEqual(traffic_answer(client.output())["open"], flows)
        time.sleep(0.3)  # the last of them is told to all
        found = []
        for h in (p.h1, p.h2):
            with open(f"/proc/{h.process.pid}/status", encoding="utf-8") as f:
                found.append(next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS")))
        return found

    def test_bytes_of_a_flow(self):
        before = self.grow(8000, self.FIRST)  # what is taken once: queues, the first pages of all tables
        after = self.grow(8001, self.FLOWS)
        for h, a, b in zip((self.pair.h1, self.pair.h2), before, after):
            self.assertGreaterEqual(h.rpc("status")["flows"], self.FIRST + self.FLOWS)
            self.assertLess((b - a) / self.FLOWS, self.BYTES, h.host)


class Workers(ManyTest):
    """Without the program in the kernel: whoever reads a train, it is passed on to its worker."""

    def check(self, workers):
        self.pair = self.use(Pair(topology="parallel", links=2, interfaces=2, log_level="info",
                                  config={"workers": workers, "steering": "rings"}))
        h1, h2 = self.pair.h1, self.pair.h2
        server = self.serve("--bytes", 30000)
        for family in (4, 6):
            self.client("--connections", 100, "--bytes", 30000, family=family).good_answer(90)
        server.terminate()
        h2.serve(8001)
        for what in ("get", "put"):
            answer = h1.traffic(what, h2.address(4), 8001, 8 << 20)
            self.assertTrue(answer["ok"], answer)
        h2.serve(9000, udp=True)
        sizes = [1, 1200, 2600]
        self.assertEqual(h1.traffic("udp", h2.address(4), 9000, *sizes)["answered"], sizes)
        for h in (h1, h2):
            status = h.rpc("status")
            self.assertEqual((status["workers"], status["steering"]), (workers, "rings"))
            self.assertEqual("drop.ring_full" in status["drops"], False)
            self.assertGreater(status["counters"]["trains_passed_on"], 50)

    def test_rings_of_two(self):
        self.check(2)

    def test_rings_of_four(self):
        self.check(4)


class Parking(ManyTest):
    """After 1 s without traffic a connection has no path; everything that it needs comes back with a packet."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=2, interfaces=2, log_level="debug", config={
            "workers": 2, "limits": {"park_after_s": 1, "linger_s": 1}}))

    def parked(self, count, hosts=None):
        for h in hosts or (self.pair.h1, self.pair.h2):
            wait_for(lambda: len(h.flows(state="parked")) >= count, 20, f"{count} parked flows on {h.host}")
            for f in h.flows(state="parked"):
                self.assertIsNone(f["path"])

    def gone(self, *hosts):
        for h in hosts or (self.pair.h1, self.pair.h2):
            wait_for(lambda: not h.flows(protocol="tcp"), 20, f"no connection on {h.host}")

    def woken(self, h):
        return h.rpc("status")["counters"]["flows_woken"]

    def on_paths(self, h):
        return sum(p["flows"] for p in h.rpc("paths"))

    def test_server_wakes(self):
        """Both families; the client asks for 8 s whether the server has heard it, before it parks."""
        before = self.woken(self.pair.h2)
        server = self.serve(*self.held_back(), "--bytes", 30000)
        first = self.client("--connections", 15, "--bytes", 30000, family=4)
        second = self.client("--connections", 15, "--bytes", 30000, family=6)
        self.parked(30)
        self.assertEqual(self.on_paths(self.pair.h1), 0)
        self.go()
        answer = traffic_answer(first.finish(60, code=None))
        self.assertTrue(answer["ok"] and answer["done"] == 15, answer)
        served = self.ended(second, server, 15)
        self.assertTrue(served["ok"] and served["done"] == 30, served)
        self.assertGreaterEqual(self.woken(self.pair.h2), before + 30)
        self.gone()

    def talk(self, *between):
        """A program that sends, is silent until all is done between, and sends again; the server echoes."""
        go = os.path.join(temporary(), "go")
        script = ("import os, socket, sys, time\n"
                  "s = socket.create_connection((sys.argv[1], 8001))\n"
                  "for i in range(2):\n"
                  "    data = os.urandom(100000)\n"
                  "    s.sendall(data)\n"
                  "    got = b''\n"
                  "    while len(got) < len(data): got += s.recv(65536) or sys.exit('closed')\n"
                  "    assert got == data\n"
                  "    while not i and not os.path.exists(sys.argv[2]): time.sleep(0.02)\n"
                  "print('fine')\n")
        echo = ("import socket, sys\n"
                "l = socket.create_server(('::', 8001), family=socket.AF_INET6, dualstack_ipv6=True)\n"
                "c, _ = l.accept()\n"
                "while True:\n"
                "    data = c.recv(65536)\n"
                "    if not data: break\n"
                "    c.sendall(data)\n")
        server = self.pair.h2.spawn(["python3", "-c", echo], ingress=True)
        self.pair.h2.wait_listening(8001)
        client = self.pair.h1.spawn(["python3", "-c", script, self.pair.h2.address(4), go])
        self.parked(2)
        for action in between:
            action()
        with open(go, "w", encoding="utf-8"):
            pass
        self.assertEqual(client.finish(30).strip(), "fine")
        server.finish(10)
        self.gone()

    def test_client_wakes(self):
        self.talk()

    def test_paths_died_meanwhile(self):
        """One of two paths is dead when the client wakes; then the other one when the server does."""
        lab = self.pair.lab
        h1 = self.pair.h1

        def down(count):
            wait_for(lambda: len([p for p in h1.rpc("paths") if p["state"] == "down"]) == count, 30, f"{count} paths down")
        try:
            self.talk(lambda: lab.link(1, "blackhole"), lambda: down(1))
            lab.link(1, "restore")
            down(0)
            server = self.serve(*self.held_back())
            client = self.client("--connections", 20)
            self.parked(20)
            lab.link(2, "blackhole")
            down(1)
            self.go()
            self.finish(client, server, 20)
        finally:
            lab.link(1, "restore")
            lab.link(2, "restore")
            down(0)
        self.gone()

    def test_socket_is_gone(self):
        """Programs that died without a word: the kernel has no socket any more, and says so."""
        h1, h2 = self.pair.h1, self.pair.h2
        server = self.serve("--wait-ms", 60000)
        client = self.client("--connections", 10)
        self.parked(10)
        silence = lambda ns, what: run(["ip", "-n", ns, "rule", what, "pref", "1", "blackhole"])
        for h, program in ((h2, server), (h1, client)):
            ns = h.ns_ingress if h is h2 else h.ns_egress
            silence(ns, "add")
            try:
                run(["nsenter", f"--net=/run/netns/{ns}", "ss", "-K", "-t", "state", "established"], check=False)
                self.gone(h)
            finally:
                silence(ns, "del")
            program.close()


if __name__ == "__main__":
    main()
