#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A day's worth of connections, opened and closed as fast as they can be, and the memory that is resident meanwhile.

A day's worth: 10 a second, 864 000. SHILA_SOAK=100000 makes fewer of them. Then the daemons are left alone for a while.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system"))
from harness import *

CONNECTIONS = int(os.environ.get("SHILA_SOAK", 10 * 86400))
ROUNDS = 12  # figures are taken between them
AT_ONCE = 64
IDLE_S = min(60, CONNECTIONS // 10000)
MORE_KB = 4096  # that the second half may take more than the first: no flow may leave even 10 bytes behind
MANY = os.path.join(BUILD, "tests", "many")
LIMITS = {  # as many as the machine makes; flows: so few that those that linger fill the tables in the first round
    "flows": 4096, "flows_per_peer": 65536, "flows_per_as": 65536, "half_open_per_peer": 65536, "half_open_per_as": 65536,
    "opens_per_second_per_peer": 1000000, "opens_per_second_per_as": 1000000, "frames_per_second_peers": 1000000,
    "linger_s": 2}


def memory_kb(pid):
    """Anonymous pages: what the program allocated; the pages of the state file come and go."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return {line.split(":")[0]: int(line.split()[1]) for line in f if line.endswith("kB\n")}


class Soak(SystemTest):
    NEEDS_PLAIN_BUILD = True

    def show(self, what):
        for h in (self.h1, self.h2):
            m = memory_kb(h.process.pid)
            fds = len(os.listdir(f"/proc/{h.process.pid}/fd"))
            self.seen.setdefault(h.host, []).append((m["Anonymous"], fds))
            print(f"{what}: {h.host}: anonymous {m['Anonymous']} kB, resident {m['Rss']} kB, {fds} descriptors, "
                  f"{h.rpc('status')['flows']} flows", file=sys.stderr)

    def test_a_day(self):
        pair = self.use(Pair(config={"limits": LIMITS}, topology="local", interfaces=1, log_level="info"))
        self.h1, self.h2, self.seen = pair.h1, pair.h2, {}
        self.h2.spawn([MANY, "server", 9000, "--bytes", 1, "--greet"], ingress=True)
        self.h2.wait_listening(9000)
        self.show("start")
        began = time.monotonic()
        for i in range(ROUNDS):
            answer = json.loads(self.h1.run(
                [MANY, "client", self.h2.address(4), 9000, "--connections", CONNECTIONS // ROUNDS, "--at-once", AT_ONCE,
                 "--bytes", 1, "--greet", "--ports", "1024-65000", "--deadline-s", 3000], seconds=3100, check=False).stdout)
            self.show(f"{(i + 1) * (CONNECTIONS // ROUNDS)} connections, {time.monotonic() - began:.0f} s")
            self.assertEqual(answer["wrong"], 0)
            self.assertLess(answer["failed"], CONNECTIONS // ROUNDS // 1000 + 1, answer)
        time.sleep(IDLE_S)
        self.show(f"idle for {IDLE_S} s")
        for host, seen in self.seen.items():
            half = seen[len(seen) // 2][0]
            self.assertLess(max(m for m, _ in seen[len(seen) // 2:]), half + MORE_KB, host)
            self.assertEqual(seen[-1][1], seen[0][1], f"{host}: descriptors")


if __name__ == "__main__":
    main()
