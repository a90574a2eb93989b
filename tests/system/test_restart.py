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
    return {(f["local"], f["remote"], f["id"], f["role"], f["token"], f["worker"], f["age_ms"] > 1000)
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
            open_flows = [len(h.flows(state="open")) for h in (self.h1, self.h2)]
            opening = [f for f in self.h1.flows() if f["state"] in ("new", "waiting", "opening")]
            return not opening and open_flows[0] == open_flows[1] >= 2 * CONNECTIONS
        wait_for(settled, 20, f"{CONNECTIONS} connections with their subflows")

    def test_under_load(self):
        h1, h2 = self.h1, self.h2
        h2.serve(8000)
        load = h1.spawn_traffic("load", h2.address(4), 8000, CONNECTIONS, 300)
        wait_for(lambda: "connected" in load.output(), 20)
        self.all_connected()
        time.sleep(1)  # older than a second, so that ages tell
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
                after = flows(h)
                self.assertEqual(before[h] - after, set(), f"restart {number} ({how} {h.host})")
                lost += h.counter("flows_not_resumed")
            if len(hosts) == 1:  # it goes on
                other = h2 if hosts == [h1] else h1
                wait_for(lambda: sum(f["rx_bytes"] for f in other.flows()) > received, 10, "bytes after the restart")
            else:
                wait_for(lambda: sum(f["rx_bytes"] for f in h1.flows()) > 0, 10, "bytes after the restart")
            self.assertIsNone(load.poll(), load.output())
        self.assertEqual(lost, 0)
        took = time.monotonic() - began
        load.send_signal(signal.SIGTERM)
        answer = traffic_answer(load.finish(60))
        print(f"{RESTARTS} restarts in {took:.0f} s, longest round {answer['longest']:.2f} s",
              file=sys.stderr)
        self.assertTrue(answer["ok"], answer)


if __name__ == "__main__":
    main()
