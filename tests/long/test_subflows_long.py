#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Subflows that are ended in every way, daemons that are restarted in every way: 30 times each (or SUBFLOW_TIMES), as
distributions. Then hundreds of lost subflows of one connection, so that the numbers that the kernel has for addresses
run out; and thousands at once, while the daemon stands still."""

import itertools
import json
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system"))
from harness import *
from subflows import *

REPETITIONS = int(os.environ.get("SUBFLOW_TIMES", 30))
CONNECTIONS = 20
MANY, GAPS = (os.path.join(BUILD, "tests", name) for name in ("many", "gaps"))
LOSSES = 300  # more than there are numbers
THOUSANDS = 2000


def percentile(values, percent):
    """The smallest that so many of them are not above."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def row(what, seconds):
    """A line of the table."""
    ms = [1000 * s for s in seconds]
    return f"| {what} | {len(ms)} | {percentile(ms, 50):.0f} | {percentile(ms, 99):.0f} | {max(ms):.0f} |"


def show(title, rows):
    print("\n".join(["", f"| {title} | times | p50, ms | p99, ms | worst, ms |", "| --- | --- | --- | --- | --- |", *rows]),
          file=sys.stderr)


class Lost(SubflowTest):
    """From the command that ends it until both kernels and shila have all subflows again, each on a path of its own."""

    rows = []

    @classmethod
    def tearDownClass(cls):
        show("subflow ended by", cls.rows)

    def repeat(self, what, end, again=False):
        """end() gives the port that is gone, or None: all of them. again: in a connection of its own each time."""
        took = []
        for number in range(REPETITIONS):
            if number and again:
                self.check()
                self.setUp()
            if again or not number:
                self.connect(4, seconds=600)
            time.sleep(0.6)  # who dies as soon as it is born is made again later and later
            began = time.monotonic()
            took.append(self.back(end(), what, began))
        self.check()
        self.rows.append(row(what, took))

    def one_of_them(self, end):
        """Ports are random: now this, now that; a main flow but once."""
        port = min(self.sockets())
        end(port)
        return port

    def all_of_them(self, end):
        before = self.sockets()
        end(before)
        wait_for(lambda: not before & self.sockets(), 10, "none of before is left", every=0.002)

    def kill_all(self, host, ports):
        for port in ports:
            self.kill(host, port)

    def test_killed(self):
        for host, where in ((self.h1, "client"), (self.h2, "server")):
            self.setUp()
            self.repeat(f"`ss -K` at the {where}", lambda h=host: self.one_of_them(lambda port: self.kill(h, port)))

    def test_main_flow_killed(self):
        def end(host):
            port = self.main_port()
            self.kill(host, port)
            return port
        for host, where in ((self.h1, "client"), (self.h2, "server")):
            self.setUp()
            self.repeat(f"`ss -K` at the {where}: the main flow", lambda h=host: end(h), again=True)

    def test_all_killed(self):
        for host, where in ((self.h1, "client"), (self.h2, "server")):
            self.setUp()
            self.repeat(f"`ss -K` at the {where}: all three", lambda h=host: self.all_of_them(lambda ports: self.kill_all(h, ports)))

    def test_reset(self):
        for end, where in ((self.inject_at_client, "client"), (self.inject_at_server, "server")):
            self.setUp()
            self.repeat(f"RST injected at the {where}", end, again=True)

    def test_command(self):
        self.repeat("SUBFLOW_DESTROY at the client", lambda: self.one_of_them(self.destroy))
        self.setUp()
        self.repeat("REMOVE_ADDR of the server: all three", lambda: self.all_of_them(lambda _: self.remove_address()), again=True)


class Restarted(SystemTest):
    """20 connections of three subflows each that send all the time, both ways: the longest time that one of them hears nothing,
    at either end, and how much of it was without a daemon (from the order to end until the next one says that it runs)."""

    port = 8000
    rows = []

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=LINKS, routers="emulated", log_level="info"))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2

    @classmethod
    def tearDownClass(cls):
        show("ended and started", cls.rows)

    def connect(self):
        type(self).port += 1
        self.server = self.h2.spawn([GAPS, "server", self.port], ingress=True)
        self.h2.wait_listening(self.port)
        self.client = self.h1.spawn([GAPS, "client", self.h2.address(4), self.port, CONNECTIONS])
        wait_for(lambda: "connected" in self.client.output(), 20, "connections")
        wait_for(lambda: len(self.sockets(self.h1)) == LINKS * CONNECTIONS == len(self.sockets(self.h2)) == len(self.flows(self.h1)),
                 20, "their subflows")
        time.sleep(1)

    def disconnect(self):
        """Every byte was right, and all of them came."""
        self.client.send_signal(signal.SIGTERM)
        answer = traffic_answer(self.client.finish(60))
        self.assertTrue(answer["ok"], answer)
        self.server.send_signal(signal.SIGTERM)
        other = traffic_answer(self.server.finish(60))
        self.assertTrue(other["ok"], other)

    def sockets(self, host):
        ns, which = (host.ns_egress, "dport") if host is self.h1 else (host.ns_ingress, "sport")
        out = run(["ip", "netns", "exec", ns, "ss", "-Htn", "state", "established", which, f"= :{self.port}"]).stdout
        return {tuple(line.split()[2:4]) for line in out.splitlines()}

    def flows(self, host):
        return {(f["local"], f["remote"], f["id"]) for f in host.flows(state="open", protocol="tcp")
                if any(f[end].endswith(f":{self.port}") for end in ("local", "remote"))}

    def longest_gap(self, since):
        """Of both ends, in seconds: those that were not over before."""
        longest = 0
        for end in (self.client, self.server):
            for line in end.output().splitlines():
                if line.startswith("gap "):
                    began, length = (float(x) / 1000 for x in line.split()[2:4])
                    longest = max(longest, length if began + length > since else 0)
        return longest

    def restart(self, end, hosts, program="shilad"):
        """(stall, time without a daemon)"""
        before = [self.sockets(h) for h in (self.h1, self.h2)]
        flows = [self.flows(h) for h in hosts]
        began = time.monotonic()
        for h in hosts:
            end(h)
            h.program = program
        for h in hosts:
            h.start(wait=False)
        for h in hosts:
            h.wait_running()
        gone = time.monotonic() - began
        time.sleep(1.5)
        self.assertEqual([self.sockets(h) for h in (self.h1, self.h2)], before, "subflows before and after")
        self.assertEqual([self.flows(h) for h in hosts], flows, "flows before and after")
        for h in hosts:
            self.assertEqual(h.counter("flows_not_resumed"), 0)
            self.assertEqual(h.counter("subflows_lost"), 0)
            # Counted anew: each has something to send, if only an ACK, and hears something.
            wait_for(lambda h=h: all(f["rx_segments"] and f["tx_segments"] for f in h.flows(state="open", protocol="tcp")), 20,
                     "every subflow goes on")
        return self.longest_gap(began), gone

    def report(self, what, found, most_s=1):
        self.rows.append(row(f"{what}: stall", [stall for stall, _ in found]))
        self.rows.append(row(f"{what}: without a daemon", [gone for _, gone in found]))
        beyond = [max(0, stall - gone) for stall, gone in found]
        self.rows.append(row(f"{what}: stall beyond that", beyond))
        self.assertLess(max(beyond), most_s, what)

    def hosts(self):
        return (("client", [self.h1]), ("server", [self.h2]), ("both", [self.h1, self.h2]))

    def again_and_again(self, what, end, most_s=1):
        self.connect()
        for where, hosts in self.hosts():
            self.report(f"{where}, {what}", [self.restart(end, hosts) for _ in range(REPETITIONS)], most_s)
        self.disconnect()

    def test_restarted(self):
        self.again_and_again("SIGTERM", lambda h: h.detach())

    def test_killed(self):
        self.again_and_again("SIGKILL", lambda h: h.kill())

    def test_away(self):
        """So long that TCP waits for seconds before it sends again; no bound is known for what MPTCP does then."""
        def end(host):
            host.kill()
            time.sleep(2)
        self.again_and_again("2 s later", end, 60)

    def test_upgraded(self):
        """From the version of the state file before, which only a daemon that begins with nothing writes."""
        for where, hosts in self.hosts()[:2]:
            found = []
            for _ in range(REPETITIONS):
                for h in hosts:
                    h.stop()
                    h.program = "shilad-previous"
                    h.start()
                self.h1.wait_paths(LINKS)
                self.connect()
                found.append(self.restart(lambda h: h.detach(), hosts))
                self.disconnect()
            self.report(f"{where}, upgraded", found)


class OneConnection(SubflowTest):
    def test_lost_again_and_again(self):
        self.connect(4, seconds=3600)
        took, seed = [], random.randrange(1 << 30)
        rng = random.Random(seed)
        print(f"seed {seed}", file=sys.stderr)
        restarts = itertools.cycle([(self.h1, self.h1.kill), (self.h2, self.h2.kill), (self.h1, self.h1.detach),
                                    (self.h2, self.h2.detach)])
        for i in range(LOSSES):
            if i % 60 == 59:
                host, end = next(restarts)
                end()
                host.start()
                self.back(None, "after a restart")
                time.sleep(0.5)
            time.sleep(0.6)
            port, host = rng.choice(sorted(self.sockets())), rng.choice((self.h1, self.h2))
            began = time.monotonic()
            self.kill(host, port)
            took.append(self.back(port, f"loss {i}", began))
        show("of one connection", [row("`ss -K` at either end", took)])
        self.check()


class Thousands(SystemTest):
    NEEDS_PLAIN_BUILD = True

    def sockets(self, host, ingress=False):
        ns, which = (host.ns_ingress, "sport") if ingress else (host.ns_egress, "dport")
        out = run(["ip", "netns", "exec", ns, "ss", "-Htn", "state", "established", which, "= :8000"]).stdout
        return len(out.splitlines())

    def test_events_lost(self):
        """All subflows but the main flows end while the daemon is stopped: neither their events nor their RSTs have room."""
        pair = self.use(Pair(topology="parallel", links=LINKS, routers="emulated", log_level="info"))
        h1, h2 = pair.h1, pair.h2
        go = os.path.join(temporary(), "go")
        server = h2.spawn([MANY, "server", 8000, "--bytes", 1000, "--greet", "--go", go], ingress=True)
        h2.wait_listening(8000)
        client = h1.spawn([MANY, "client", h2.address(4), 8000, "--connections", THOUSANDS, "--rate", 500, "--bytes", 1000,
                           "--greet", "--deadline-s", 120])

        def seen():
            return self.sockets(h1) == LINKS * THOUSANDS == self.sockets(h2, True)
        wait_for(seen, 60, "all subflows", every=0.5)
        time.sleep(1)
        interfaces = h1.rpc("status")["egress"][0]["interfaces"]
        h1.send_signal(signal.SIGSTOP)
        try:
            for i in interfaces[1:]:
                run(["ip", "netns", "exec", h1.ns_egress, "ss", "-K", "-tn", "src", i["addresses"][0]], seconds=60)
            self.assertEqual(self.sockets(h1), THOUSANDS)
        finally:
            h1.send_signal(signal.SIGCONT)
        began = time.monotonic()
        wait_for(seen, 60, "all again", every=0.5)
        print(f"{(LINKS - 1) * THOUSANDS} subflows again after {time.monotonic() - began:.1f} s, {h1.counter('subflows_created')} were "
              f"ordered in all, {h1.counter('drop.limit_held')} SYNs found no room, "
              f"{h1.counter('subflow_events_missed')} times events were lost", file=sys.stderr)
        self.assertGreater(h1.counter("subflow_events_missed"), 0)
        with open(go, "w", encoding="utf-8"):
            pass
        output = client.finish(120, code=None)
        answer = json.loads(output[output.index("{"):])
        self.assertTrue(answer["ok"], answer)
        server.terminate()


if __name__ == "__main__":
    main()
