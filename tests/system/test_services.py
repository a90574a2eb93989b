#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SCION daemon, control service and border routers that stop and come back, in any order, at any time.

The order of the last class is drawn by a seed, which a failure shows: SHILA_SEED=... repeats it.
"""

import json
import os
import random
import re
import time

from harness import *  # noqa: F403

LINKS = 2
AS1 = ["router@64512", "control@64512", "daemon@64512"]
AS2 = ["router@64513", "control@64513", "daemon@64513"]
BYTES = 8 << 20


def as_file(lab, asn, name):
    return os.path.join(lab.info["state_dir"], "gen", f"AS{asn}", name)


class Cases(SystemTest):
    """Two ASes with two links of 20 Mbit/s between them, everything up before and after each test."""

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=LINKS, rate="20mbit"))

    def setUp(self):
        self.lab.start(*AS1, *AS2)  # what a test that failed left

    def daemons(self):
        self.h2 = self.use(Shilad(self.lab, "h2"))
        self.h1 = self.use(Shilad(self.lab, "h1"))
        self.h1.wait_paths(LINKS)
        self.h2.wait_paths(LINKS, None)
        self.h2.serve()

    def transfer(self, kind="get", size=1 << 20):
        answer = self.h1.traffic(kind, self.h2.address(4), 8000, size)
        self.assertTrue(answer["ok"], answer)

    def under_way(self, client):
        """A transfer that has moved some bytes."""
        wait_for(lambda: sum(f["rx_bytes"] for f in self.h1.flows(protocol="tcp", state="open")) > 300_000, 20,
                 "data")
        self.assertIsNone(client.poll(), client.output())

    def finished(self, client):
        answer = traffic_answer(client.finish(90))
        self.assertTrue(answer["ok"], answer)
        return answer

    def warnings(self, h, pattern):
        return [line for line in h.log().splitlines() if re.search(pattern, line) and " warn " in line]


class Start(Cases):
    """shilad is there first."""

    def test_before_everything(self):
        self.lab.stop(*AS1, *AS2)
        h1 = self.use(Shilad(self.lab, "h1", start=False))
        h2 = self.use(Shilad(self.lab, "h2", start=False))
        for h in (h1, h2):
            h.start(wait=False)
        self.h1, self.h2 = h1, h2
        for h in (h1, h2):
            wait_for(lambda h=h: "shilad waits for it" in h.log(), 20, "a warning")
            self.assertEqual(len(self.warnings(h, "")), 1)
            status = h.rpc("status")
            self.assertEqual(status["state"], "waiting")
            self.assertIn("SCION daemon", status["error"])
            self.assertIn(self.lab.hosts[h.host]["daemon"], h.shila("status").stdout)
        # It starts with the SCION daemon alone, and says that there are no paths.
        self.lab.start("daemon@64512")
        h1.wait_running(30)
        self.assertEqual(h1.rpc("status")["isd_as"], "1-64512")
        wait_for(lambda: h1.rpc("status")["scion_daemon"]["error"] or re.search("0 paths to 1-64513", h1.log()), 20,
                 "no paths, and it says so")
        p = h1.run(["python3", "-c", "import socket; socket.create_connection(('10.70.2.1', 8000), 20)"], check=False)
        self.assertRegex(p.stderr, "No route to host|Network is unreachable")
        # The rest, in the worst order: who depends on others comes first.
        self.lab.start("daemon@64513", "control@64512", "control@64513", "router@64513", "router@64512")
        h2.wait_running(30)
        h1.wait_paths(LINKS, seconds=60)
        h2.wait_paths(LINKS, None, seconds=60)
        h2.serve()
        self.transfer()


class Restart(Cases):
    """Under traffic: connections survive, every byte right."""

    def test_scion_daemon(self):
        """Restarted, gone for a while, at another port, and back."""
        self.daemons()
        client = self.h1.spawn_traffic("get", self.h2.address(4), 8000, 2 * BYTES)
        self.under_way(client)
        self.lab.stop("daemon@64512", "daemon@64513")
        self.lab.start("daemon@64512", "daemon@64513")
        self.lab.stop("daemon@64512", kill=True)
        self.transfer(size=1 << 16)  # connections are opened with the paths that are known
        # A path that dies is a reason to ask: now it is noticed, and said once.
        self.lab.link(2, "cut")
        wait_for(lambda: self.h1.rpc("status")["scion_daemon"]["state"] == "down", 30, "the status says so")
        self.assertIn("does not answer", self.h1.shila("status").stdout)
        self.transfer(size=1 << 16)
        config = as_file(self.lab, 64512, "sd.toml")
        with open(config, encoding="utf-8") as f:
            text = f.read()
        with open(config, "w", encoding="utf-8") as f:
            f.write(text.replace(":30255", ":30256"))
        self.lab.start("daemon@64512", wait=False)
        self.transfer(size=1 << 16)
        self.assertEqual(self.h1.rpc("status")["scion_daemon"]["state"], "down")
        self.assertEqual(len(self.warnings(self.h1, "SCION daemon")), 1, self.h1.log())
        self.lab.stop("daemon@64512")
        with open(config, "w", encoding="utf-8") as f:
            f.write(text)
        self.lab.start("daemon@64512")
        wait_for(lambda: self.h1.rpc("status")["scion_daemon"]["state"] == "up", 30, "it is asked again")
        self.lab.link(2, "restore")
        self.finished(client)
        self.h1.wait_paths(LINKS)

    def test_control_service(self):
        """Running connections and known paths do not need it.

        A network without BFD: routers that get no CPU for 0.3 s would call a link down, and its flows would rightly leave.
        """
        self.lab = self.use(Lab(topology="parallel", links=LINKS, rate="20mbit", bfd=False))
        self.daemons()
        client = self.h1.spawn_traffic("get", self.h2.address(4), 8000, BYTES)
        self.under_way(client)
        self.lab.stop("control@64512", "control@64513", kill=True)
        self.transfer(size=1 << 16)
        self.finished(client)
        self.transfer("put")
        self.assertEqual(self.h1.counter("moves"), 0)
        self.lab.start("control@64512", "control@64513")
        self.transfer()

    def test_router_of_the_own_as(self):
        """All paths die at once, and come back."""
        self.daemons()
        for kind in ("get", "put"):
            client = self.h1.spawn_traffic(kind, self.h2.address(4), 8000, BYTES)
            if kind == "get":
                self.under_way(client)
            self.lab.stop("router@64512", kill=True)
            wait_for(lambda: {p["state"] for p in self.h1.rpc("paths")} == {"down"}, 20, "the paths are down")
            self.lab.start("router@64512")
            self.finished(client)
            self.h1.wait_paths(LINKS)

    def test_everything_at_once(self):
        self.daemons()
        client = self.h1.spawn_traffic("get", self.h2.address(4), 8000, BYTES)
        self.under_way(client)
        self.lab.stop(*AS1, *AS2, kill=True)
        wait_for(lambda: {p["state"] for p in self.h1.rpc("paths")} == {"down"}, 20, "the paths are down")
        self.lab.start(*AS1, *AS2)
        self.finished(client)
        self.h1.wait_paths(LINKS)
        self.transfer("put")


class RandomOrder(Cases):
    def test_random_order(self):
        seed = int(os.environ.get("SHILA_SEED", random.SystemRandom().randrange(1 << 32)))
        draw = random.Random(seed)
        steps = []
        self.daemons()
        client = self.h1.spawn_traffic("get", self.h2.address(4), 8000, 2 * BYTES)
        self.under_way(client)
        try:
            down = set()
            for _ in range(8):
                program = draw.choice(AS1 + AS2)
                if program in down:
                    steps.append(f"start {program}")
                    self.lab.start(program, wait=False)
                    down.discard(program)
                else:
                    steps.append(f"stop {program}")
                    self.lab.stop(program, kill=draw.random() < 0.5)
                    down.add(program)
                time.sleep(draw.uniform(0, 0.4))
            last = sorted(down)
            draw.shuffle(last)
            steps.append(f"start {last}")
            if last:
                self.lab.start(*last)
            self.finished(client)
            self.h1.wait_paths(LINKS, seconds=60)
            self.transfer("put")
        except Exception as e:
            seen = "\n".join(f"{h.host}: {json.dumps([h.rpc('flows'), h.rpc('paths'), h.rpc('status')])}\n"
                             + run(["nsenter", f"--net=/run/netns/{ns}", "ss", "-tinMH"]).stdout
                             for h, ns in ((self.h1, self.h1.ns_egress), (self.h2, self.h2.ns_ingress)))
            raise Failed(f"SHILA_SEED={seed}: {'; '.join(steps)}\n{e}\n{seen}") from e


if __name__ == "__main__":
    main()
