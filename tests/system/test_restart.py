#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon ends, in every way and on either side, and starts again: no connection is lost, every byte is right."""

import itertools
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from harness import *

CONNECTIONS = 20
RESTARTS = 20


def flows(host):
    """What makes the flows of a daemon what they are, without what changes while they run."""
    return {(f["local"], f["remote"], f["id"], f["role"], f["token"], f["worker"])
            for f in host.flows() if f["state"] == "open"}


class Restarts(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=3))

    def setUp(self):
        self.h1, self.h2 = self.pair.h1, self.pair.h2

    def end(self, how, hosts):
        for h in hosts:
            if how == "kill":
                h.kill()
            else:
                h.detach()

    def start(self, hosts):
        for h in hosts:
            h.start(wait=False)
        for h in hosts:
            h.wait_running()

    def all_connected(self):
        """Each connection with its subflows, on both sides. (On a busy machine the kernel may give up a join.)"""
        def settled():
            # Both kernels have to have heard of a subflow: one resets it if the ACK of its SYN/ACK is lost.
            every = [[f["rx_segments"] for f in h.flows(state="open")] for h in (self.h1, self.h2)]
            opening = [f for f in self.h1.flows() if f["state"] in ("new", "waiting", "opening")]
            return not opening and len(every[0]) == len(every[1]) >= 2 * CONNECTIONS and min(map(min, every)) > 0
        wait_for(settled, 30, f"{CONNECTIONS} connections with their subflows")

    def story(self, missing):
        """What became of these flows, by both daemons."""
        ports = {end.rsplit(":", 1)[1] for flow in missing for end in flow[:2]} - {"8000"}
        lines = []
        for h in (self.h1, self.h2):
            lines += [f"{h.host}: {f}" for f in h.flows() if {f["local"].rsplit(":", 1)[1],
                                                             f["remote"].rsplit(":", 1)[1]} & ports]
            lines += [f"{h.host}: {line}" for line in h.log().splitlines()
                      if any(f":{p} " in line for p in ports) or " info " in line]
        return "\n".join(lines)

    def test_under_load(self):
        h1, h2 = self.h1, self.h2
        h2.serve(8000)
        load = h1.spawn_traffic("load", h2.address(4), 8000, CONNECTIONS, 300)
        wait_for(lambda: "connected" in load.output(), 30)
        self.all_connected()
        began, lost = time.monotonic(), 0
        turns = itertools.cycle(itertools.product(("term", "kill"), ([h1], [h2], [h1, h2])))
        for number, (how, hosts) in zip(range(RESTARTS), turns):
            before = {h: flows(h) for h in hosts}
            received = sum(f["rx_bytes"] for f in (h2 if hosts == [h1] else h1).flows())
            self.end(how, hosts)
            if number % 4 == 0:
                time.sleep(0.5)  # now and then nobody is there for a while
            self.start(hosts)
            for h in hosts:
                missing = before[h] - flows(h)
                self.assertEqual(missing, set(), f"restart {number} ({how} {h.host}): " + self.story(missing))
                lost += h.counter("flows_not_resumed")
            if len(hosts) == 1:  # it goes on
                other = h2 if hosts == [h1] else h1
                wait_for(lambda: sum(f["rx_bytes"] for f in other.flows()) > received, 20, "bytes after the restart")
            else:
                wait_for(lambda: sum(f["rx_bytes"] for f in h1.flows()) > 0, 20, "bytes after the restart")
            self.assertIsNone(load.poll(), load.output())
        self.assertEqual(lost, 0)
        took = time.monotonic() - began
        load.send_signal(signal.SIGTERM)
        answer = traffic_answer(load.finish(60))
        print(f"{RESTARTS} restarts in {took:.0f} s, longest round {answer['longest']:.2f} s",
              file=sys.stderr)
        self.assertTrue(answer["ok"], answer)

    def test_while_opening(self):
        """Connections that are opened and closed all the time, many at once."""
        h1, h2 = self.h1, self.h2
        h2.serve(8002)
        script = ("import sys, json; sys.path.insert(0, sys.argv[1]); import traffic; n = 0\n"
                  "import time; end = time.monotonic() + 14\n"
                  "while time.monotonic() < end:\n"
                  "    assert traffic.get(sys.argv[2], 8002, 20000)['ok']; n += 1\n"
                  "print(n)")
        clients = [h1.spawn([sys.executable, "-B", "-c", script, TOOLS, h2.address(4 if i % 2 else 6)],
                            mptcp=i % 3 > 0) for i in range(6)]
        for how, hosts in (("kill", [h1]), ("kill", [h2]), ("term", [h1, h2]), ("kill", [h1, h2]), ("term", [h2])):
            time.sleep(1.5)
            self.end(how, hosts)
            self.start(hosts)
        done = [int(c.finish(60).split()[-1]) for c in clients]
        print(f"connections of {len(done)} clients: {done}", file=sys.stderr)
        self.assertTrue(all(n >= 5 for n in done), done)

    def test_killed_while_starting(self):
        """At any moment of a start that goes on with connections: the next one goes on with them too."""
        h1, h2 = self.h1, self.h2
        h2.serve(8003)
        beats = [h1.spawn_traffic("beat", h2.address(4), 8003, 60, mptcp=bool(i)) for i in range(2)]
        wait_for(lambda: len(h1.flows(state="open")) >= 4, 20)
        before = flows(h1)
        h1.kill()
        for i in range(10):
            h1.start(wait=False)
            time.sleep(0.015 * i)
            h1.kill()
        h1.start()
        self.assertEqual(before - flows(h1), set())
        self.assertEqual(h1.counter("flows_not_resumed"), 0)
        time.sleep(0.5)
        for beat in beats:
            beat.end_traffic(40)

    def test_pause(self):
        """How long nothing is heard: the time without a daemon, and less than a second more."""
        h1, h2 = self.h1, self.h2
        h2.serve(8001)
        beat = h1.spawn_traffic("beat", h2.address(4), 8001, 60)
        wait_for(lambda: h1.flows(state="open"), 20)
        gone = 0
        for host in (h1, h2, h1, h2):
            time.sleep(1)
            began = time.monotonic()
            host.detach()
            host.start()
            gone = max(gone, time.monotonic() - began)
        time.sleep(1)
        beat.send_signal(signal.SIGTERM)
        answer = traffic_answer(beat.finish(30))
        print(f"without a daemon {gone:.2f} s, longest pause {answer['longest']:.2f} s", file=sys.stderr)
        self.assertTrue(answer["ok"], answer)
        self.assertLess(answer["longest"], gone + 1)


class Left(SystemTest):
    """What a start does with what it finds."""

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=2))
        cls.h2 = cls.keep(Shilad(cls.lab, "h2"))
        cls.h2.serve(8000)

    def setUp(self):
        self.h1 = self.use(Shilad(self.lab, "h1"))
        self.h1.wait_paths(2)
        self.file = os.path.join(self.h1.state_dir, "flows")

    def hold(self):
        client = self.h1.spawn_traffic("hold", self.h2.address(4), 8000, mptcp=False)
        wait_for(lambda: "connected" in client.output(), 10)
        return client

    def works(self):
        self.h1.wait_paths(2, None)
        answer = self.h1.traffic("get", self.h2.address(4), 8000, 1 << 20)
        self.assertTrue(answer["ok"], answer)

    def refused(self, damage, message):
        client = self.hold()
        self.h1.detach()
        with open(self.file, "r+b") as f:
            damage(f)
        self.h1.log_mark()
        self.h1.start()
        lines = [line for line in self.h1.log().splitlines() if " warn " in line]
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], message)
        self.assertTrue(os.path.exists(self.file + ".refused"))
        self.assertEqual(self.h1.flows(), [])
        # The programs of both sides learn of it with their next byte, those here at once if the peer speaks.
        client.close()
        self.works()

    def test_truncated(self):
        self.refused(lambda f: f.truncate(5000), "5000 bytes long, and [0-9]+ by its header")

    def test_empty(self):
        self.refused(lambda f: f.truncate(0), "set aside")

    def test_damaged_header(self):
        def damage(f):
            f.seek(64)
            f.write(b"\xff\xff\xff")
        self.refused(damage, "damaged|header")

    def test_foreign(self):
        self.refused(lambda f: (f.truncate(0), f.write(b"PK\x03\x04 something else" * 1000)), "not a state file|foreign")

    def test_unknown_version(self):
        def damage(f):
            f.seek(12)
            f.write((99).to_bytes(4, sys.byteorder))
        self.refused(damage, "version 99")

    def test_damaged_list(self):
        """owned.json: whose devices are there is not known, so they are not touched."""
        self.h1.stop()
        os.makedirs(self.h1.state_dir)
        with open(os.path.join(self.h1.state_dir, "owned.json"), "w", encoding="utf-8") as f:
            f.write("{\"version\": 1, ")
        self.h1.log_mark()
        self.h1.start()
        self.assertRegex(self.h1.log(), "owned.json:1: .*set aside as owned.json.refused")
        self.works()

    def test_damaged_record(self):
        """One record is lost, the others go on."""
        clients = [self.hold() for _ in range(3)]
        self.h1.detach()
        with open(self.file, "r+b") as f:
            content = f.read()
            # The client's address and port of the second connection, as they stand in its record.
            place = content.find(bytes([10, 7, 1, 1]) + bytes(12) + bytes([10, 70, 2, 1]))
            self.assertGreater(place, 4096)
            f.seek(place)
            f.write(b"\x0b")
        self.h1.log_mark()
        self.h1.start()
        self.assertRegex(self.h1.log(), r"1 damaged record left out")
        self.assertEqual(self.h1.counter("flows_resumed"), 2)
        for client in clients:
            client.close()

    def test_route_removed(self):
        client = self.hold()
        self.h1.detach()
        self.h1.config["routes"] = [r for r in self.h1.config["routes"] if ":" in r["to"]]
        self.h1.write_config()
        self.h1.start()
        self.assertRegex(self.h1.log(), "cannot go on, and will be reset: the configuration no longer allows it")
        self.assertEqual(self.h1.counter("flows_not_resumed"), 1)
        client.close()

    def test_workers_changed(self):
        self.h1.detach()
        self.h1.config["workers"] = 1
        self.h1.write_config()
        self.h1.start()
        self.assertRegex(self.h1.log(), "workers: 1 takes effect at the next clean start")
        self.assertEqual(self.h1.rpc("status")["workers"], 2)
        self.works()
        self.h1.stop()
        self.h1.start()
        self.assertEqual(self.h1.rpc("status")["workers"], 1)

    def test_without_scion_daemon(self):
        """Flows go on, and new ones start, with the paths that were known."""
        client = self.hold()
        self.h1.detach()
        daemon = self.h1.config["scion"]["daemon"]
        self.h1.config["scion"]["daemon"] = "127.0.0.1:9"
        self.h1.write_config()
        self.h1.start()
        self.assertEqual(self.h1.counter("flows_resumed"), 1)
        self.works()
        self.assertEqual(self.h1.rpc("status")["scion_daemon"]["state"], "down")
        self.h1.detach()
        self.h1.config["scion"]["daemon"] = daemon
        self.h1.write_config()
        self.h1.start()
        self.assertEqual(self.h1.counter("flows_not_resumed"), 0)
        wait_for(lambda: self.h1.rpc("status")["scion_daemon"]["state"] == "up", 20)
        self.assertIsNone(client.poll())
        client.close()

    def test_port_taken(self):
        client = self.hold()
        port = self.h1.rpc("status")["worker_ports"][0]
        self.h1.detach()
        blocker = self.use(spawn(self.lab.inside("h1", [sys.executable, "-c",
                           f"import socket,time;s=socket.socket(2,2);s.bind(('0.0.0.0',{port}));print(1,flush=True);"
                           "time.sleep(60)"])))
        wait_for(blocker.output, 20)
        self.h1.start()
        self.assertRegex(self.h1.log(), f"{port}, which the daemon before had: .*connections cannot go on")
        self.works()
        client.close()

    def test_datagrams(self):
        ping = self.h1.spawn(["ping", "-i", "0.2", "-c", 300, self.h2.address(4)])
        wait_for(lambda: "bytes from" in ping.output(), 10)
        for host in (self.h1, self.h2):
            host.detach()
            host.start()
            self.assertEqual(host.counter("flows_not_resumed"), 0)
        heard = ping.output().count("bytes from")
        wait_for(lambda: ping.output().count("bytes from") > heard + 3, 20, "answers after it all")
        ping.send_signal(signal.SIGINT)
        self.assertRegex(ping.finish(30, code=None), r"\D0 errors|\d+ received")
        self.assertEqual(len(self.h1.flows(role="datagram")), 1)


if __name__ == "__main__":
    main()
