#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Subflows share no link, and the links saw what the flows say."""

import time

from rates import *  # noqa: F403
from rates import iperf, data_flows

NEEDS_PLAIN_BUILD = True


def links_of(path):
    """Each link as the set of its two ends."""
    hops = [(h["isd_as"], h["interface"]) for h in path["hops"]]
    return [frozenset(hops[i:i + 2]) for i in range(0, len(hops), 2)]


class Disjoint(SystemTest):
    def check(self, pair, subflows, offered):
        lab = pair.lab
        ends = {frozenset((e["isd_as"], e["interface"]) for e in link["ends"]): link["id"]
                for link in lab.info["links"]}
        seen = {}
        # What routers say to each other is no flow's: its rate, over one interval of beacons (10 s) without flows.
        idle, idle_from = {c["id"]: c for c in lab.counters()}, time.monotonic()
        time.sleep(10)
        before, began = {c["id"]: c for c in lab.counters()}, time.monotonic()
        quiet = {n: {d: (before[n][d]["bytes"] - idle[n][d]["bytes"]) / (began - idle_from) for d in ("ab", "ba")}
                 for n in before}
        known = {f["id"]: f["tx_wire_bytes"] for f in pair.h1.rpc("flows")}
        # Less than the links carry: what a full shaper drops was sent by a flow but counted by no link.
        iperf(pair, rate=offered, during=lambda: seen.update(flows=data_flows(pair.h1.rpc("flows"))))
        flows = seen["flows"]
        used = [link for f in flows for link in links_of(f["path"])]
        self.assertEqual(len(flows), subflows)
        self.assertEqual(len(used), len(set(used)), "two subflows share a link")
        self.assertTrue(all(f["tx_bytes"] > 100000 for f in flows), "a subflow carries nothing")

        # All that h1 sent in this time, over whatever connection, by link; and what the links counted.
        sent = {}
        for f in pair.h1.rpc("flows"):
            self.assertEqual(f["path_changes"], 0, f"a flow left a healthy path: {f}")
            for link in links_of(f["path"]):
                sent[link] = sent.get(link, 0) + f["tx_wire_bytes"] - known.get(f["id"], 0)
        after, lasted = {c["id"]: c for c in lab.counters()}, time.monotonic() - began
        for link, by_flows in sent.items():
            if by_flows < 500000:
                continue
            number = ends[link]
            grown = {d: after[number][d]["bytes"] - before[number][d]["bytes"] - quiet[number][d] * lasted
                     for d in ("ab", "ba")}
            counted = round(max(grown.values()))
            print(f"\n    measured: link {number}: flows {by_flows} bytes, link {counted} "
                  f"({100 * counted / by_flows - 100:+.2f} %)", end="")
            self.assertLess(abs(counted - by_flows), 0.03 * by_flows, f"link {number}")
        print(flush=True)

    def test_three_of_three(self):
        with Pair(topology="parallel", links=3, rate="20mbit", apps=(4,), log_level="info") as pair:
            self.check(pair, 3, "45M")

    def test_eight_of_sixty_four(self):
        with Pair(topology="leaf", links=8, rate="5mbit", apps=(4,), interfaces=8, log_level="info") as pair:
            self.check(pair, 8, "28M")


if __name__ == "__main__":
    main()
