#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A transfer each way for 20 minutes over three paths that live for 337.5 s (ExpTime 0): nobody notices that they expire.

The table has a row a minute: what arrived, the longest time without a byte, and the longest that a program of this
machine, which had nothing to do but to wake up, waited for a CPU: the machine must be quiet.
SHILA_SECONDS=360 makes it shorter, SHILA_ROUTERS=emulated cheaper.
"""

import json
import os
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))

from harness import *  # noqa: E402,F403

SECONDS = int(os.environ.get("SHILA_SECONDS", 1200))
WINDOW_S = 60
LIFE_S = 337.5
LINKS, RATE_MBIT = 3, 10
SENT_BYTES_S = 2500000  # two thirds of what the links carry: no path is enough, and none has to lose anything
ROUTERS = os.environ.get("SHILA_ROUTERS", "real")
STALL = os.path.join(BUILD, "tests", "stall")


class Hiccups(threading.Thread):
    """How long this machine lets a thread wait that wants to run, the longest of each window, in ms."""

    def __init__(self):
        super().__init__(daemon=True)
        self.longest, self.over = [0.0], False

    def run(self):
        began = last = time.monotonic()
        while not self.over:
            time.sleep(0.005)
            now = time.monotonic()
            while now - began >= WINDOW_S * len(self.longest):
                self.longest.append(0.0)
            self.longest[-1] = max(self.longest[-1], (now - last - 0.005) * 1000)
            last = now


class ShortLives(SystemTest):
    NEEDS_PLAIN_BUILD = True

    def test_twenty_minutes(self):
        pair = self.use(Pair(topology="parallel", links=LINKS, rate=f"{RATE_MBIT}mbit", path_lifetime="short", apps=(4,),
                             routers=ROUTERS, log_level="info"))
        h1, h2 = pair.h1, pair.h2
        first = {p["fingerprint"]: p["expiry_unix_s"] for p in h1.rpc("paths")}
        resets = self.resets(h1, h2)
        up = h2.spawn([STALL, "receive", 8000, SECONDS, WINDOW_S], ingress=True)
        serve = h2.spawn([STALL, "serve", 8001, SECONDS + 30, SENT_BYTES_S, "cubic"], ingress=True)
        for port in (8000, 8001):
            h2.wait_listening(port)
        h1.spawn([STALL, "send", h2.address(4), 8000, SECONDS + 30, SENT_BYTES_S, "cubic"])
        down = h1.spawn([STALL, "fetch", h2.address(4), 8001, SECONDS, WINDOW_S])
        wait_for(lambda: len(h1.flows(protocol="tcp", state="open")) == 2 * LINKS, 20, "all subflows")
        hiccups = Hiccups()
        hiccups.start()
        flows = {f["id"] for f in h1.flows(protocol="tcp")}
        began, shortest, same = time.monotonic(), LIFE_S, True
        while time.monotonic() - began < SECONDS - 10:
            time.sleep(5)
            shortest = min([shortest, *(p["expiry_unix_s"] - time.time() for h in (h1, h2) for p in h.rpc("paths"))])
            same = same and {f["id"] for f in h1.flows(protocol="tcp", state="open")} == flows
        changed = {k: v - resets[k] for k, v in self.resets(h1, h2).items()}  # who reads less than is sent resets at the end
        rows = [[json.loads(line) for line in p.finish(60).strip().splitlines()] for p in (up, down)]
        hiccups.over = True
        serve.close()
        print(f"\n    measured: {LINKS} links of {RATE_MBIT} Mbit/s, paths that live for {LIFE_S} s\n"
              "    minute   up Mbit/s  longest ms   down Mbit/s  longest ms   no CPU ms")
        for i, (u, d) in enumerate(zip(rows[0][:-1], rows[1][:-1])):
            print(f"    {i + 1:6}   {self.mbit(u):9.2f}  {u['longest_ms']:10.1f}   {self.mbit(d):11.2f}  {d['longest_ms']:10.1f}  "
                  f"{hiccups.longest[i]:10.1f}")
        print(f"    gaps longer than: up {rows[0][-1]['longer_than_ms']}, down {rows[1][-1]['longer_than_ms']}\n"
              f"    shortest time to expiry {shortest:.0f} s; renewals {h1.counter('path_renewals')}, {h2.counter('path_renewals')}; "
              f"moves {h1.counter('moves')}, {h2.counter('moves')}; resets and losses {sum(changed.values())}", flush=True)
        self.assertGreater(shortest, 0, "a path has expired")
        self.assertTrue(same, "a subflow was lost or replaced")
        self.assertEqual({k: v for k, v in changed.items() if v}, {})
        for h in (h1, h2):
            self.assertGreaterEqual(h.counter("path_renewals"), 2 * LINKS * int(SECONDS / LIFE_S))
        for p in h1.rpc("paths"):
            self.assertIn(p["fingerprint"], first)  # the same paths
        for name, (*windows, total) in zip(("up", "down"), rows):
            rates = [self.mbit(w) for w in windows]
            self.assertLess(total["longest_ms"], 100, name)
            self.assertGreaterEqual(min(rates), 0.95 * max(rates), name)

    @staticmethod
    def mbit(window):
        return window["window_bytes"] * 8 / 1e6 / WINDOW_S

    @staticmethod
    def resets(*hosts):
        """Anything that a program could have noticed, or its kernel."""
        out = {}
        for h in hosts:
            for name in ("resets_to_programs", "unreachables_to_programs", "subflows_lost", "closes_rx", "unknowns_rx"):
                out[f"{h.host} {name}"] = h.counter(name)
            for ingress in (False, True):
                for name in ("TcpEstabResets", "MPTcpExtMPRstRx", "MPTcpExtMPFailRx", "MPTcpExtRcvPruned"):
                    out[f"{h.host} {'ingress' if ingress else 'egress'} {name}"] = h.nstat(ingress).get(name, 0)
        return out


if __name__ == "__main__":
    main()
