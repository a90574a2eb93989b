#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds of neighbouring versions of the state file take turns: an upgrade keeps every connection, a downgrade says
what it does not take, and starts from nothing."""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from harness import *

CONNECTIONS = 5


class Upgrade(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=3))

    def setUp(self):
        self.h1, self.h2 = self.pair.h1, self.pair.h2
        self.hosts = (self.h1, self.h2)

    def tearDown(self):
        for h in self.hosts:
            self.restart(h, "shilad")

    def restart(self, host, program):
        """Detach, and start the other build on what is there."""
        host.detach()
        host.program = program
        host.start()

    def version(self, host):
        with open(os.path.join(host.state_dir, "flows"), "rb") as f:
            return int.from_bytes(f.read(16)[12:], sys.byteorder)

    def names(self, host):
        return {(f["local"], f["remote"], f["id"], f["role"], f["worker"]) for f in host.flows(state="open")}

    def load(self):
        self.h2.serve(8000)
        load = self.h1.spawn_traffic("load", self.h2.address(4), 8000, CONNECTIONS, 120)
        wait_for(lambda: "connected" in load.output(), 20)
        wait_for(lambda: len(self.names(self.h1)) == len(self.names(self.h2)) >= 2 * CONNECTIONS, 20,
                 "connections with their subflows")
        return load

    def test_upgrade(self):
        for h in self.hosts:
            self.restart(h, "shilad-previous")
        load = self.load()
        self.assertEqual([self.version(h) for h in self.hosts], [1, 1])
        for h in self.hosts:
            before = self.names(h)
            self.restart(h, "shilad")
            self.assertEqual(before - self.names(h), set())
            self.assertEqual(self.version(h), 2)
            self.restart(h, "shilad")  # equal versions, of what was read from the other
            self.assertEqual(before - self.names(h), set())
            self.assertEqual(h.counter("flows_not_resumed"), 0)
        self.assertIsNone(load.poll(), load.output())
        load.send_signal(signal.SIGTERM)
        answer = traffic_answer(load.finish(60))
        self.assertTrue(answer["ok"], answer)

    def test_downgrade(self):
        load = self.load()
        self.restart(self.h1, "shilad-previous")
        self.assertRegex(self.h1.log(), "flows: it has layout version 2, this shilad reads 1 to 1: .*flows.refused")
        self.assertTrue(os.path.exists(os.path.join(self.h1.state_dir, "flows.refused")))
        self.assertEqual(self.version(self.h1), 1)
        load.close()
        again = self.h1.spawn_traffic("load", self.h2.address(4), 8000, CONNECTIONS, 60)
        wait_for(lambda: "connected" in again.output(), 20, "new connections")
        again.send_signal(signal.SIGTERM)
        self.assertTrue(traffic_answer(again.finish(60))["ok"])


if __name__ == "__main__":
    main()
