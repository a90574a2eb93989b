#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who has nothing to do sleeps: no worker wakes up, and the control thread seldom."""

import os
import time

from harness import *  # noqa: F403

NEEDS_PLAIN_BUILD = True
SECONDS = 2


def switches(host):
    """{thread: how often it went to sleep}: a thread that never wakes up does not."""
    found = {}
    for tid in os.listdir(f"/proc/{host.process.pid}/task"):
        with open(f"/proc/{host.process.pid}/task/{tid}/status", encoding="utf-8") as f:
            lines = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        found[f"{lines['Name']} {tid}"] = int(lines["voluntary_ctxt_switches"])
    return found


class Idle(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="local"))
        # Long enough to look, but for bursts: what looks in vain sleeps.
        cls.h2 = cls.keep(Shilad(cls.lab, "h2", {"workers": 1, "busy_poll_us": 10000}, interfaces=1, log_level="info"))
        cls.h1 = cls.keep(Shilad(cls.lab, "h1", {"workers": 2}, interfaces=1, log_level="info"))
        cls.h1.wait_paths(1)

    def look(self, most):
        """Wake-ups of the control threads in a second."""
        before = [switches(h) for h in (self.h1, self.h2)]
        time.sleep(SECONDS)
        for host, old in zip((self.h1, self.h2), before):
            for thread, n in switches(host).items():
                woken = n - old.get(thread, 0)
                print(f"    measured: {host.host} {thread.split()[0]}: {woken / SECONDS:.1f} wake-ups a second")
                if thread.startswith("worker"):
                    self.assertEqual(woken, 0, f"{host.host} {thread}")
                else:
                    self.assertLessEqual(woken / SECONDS, most, f"{host.host} {thread}")

    def test_idle(self):
        time.sleep(5)  # the first probes of paths come every 2 s
        print()
        self.look(3)
        self.h2.serve(8000)
        self.h1.traffic("echo", self.h2.address(4), 8000, 5)
        self.h1.spawn_traffic("hold", self.h2.address(4), 8000)
        wait_for(lambda: self.h1.flows(state="open"), 20, "a flow")
        time.sleep(4)  # flows rest after a second, the next probe is a second later
        self.look(6)


if __name__ == "__main__":
    main()
