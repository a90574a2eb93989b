#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One life of both daemons under valgrind's memcheck: start, connections, datagrams, a path that is cut, stop.

What it finds beyond ASan: values that were never set, and system calls that are given them.
"""

import os
import signal

from harness import *  # noqa: F403
import harness

NEEDS_PLAIN_BUILD = True  # memcheck and ASan exclude each other
COUNTS = True  # errors

EXIT_CODE = 97
OPTIONS = ["--error-exitcode=%d" % EXIT_CODE, "--leak-check=full", "--show-leak-kinds=definite,indirect,possible",
           "--errors-for-leak-kinds=definite,indirect", "--track-origins=no", "--num-callers=20", "--fair-sched=yes",
           "--suppressions=" + os.path.join(ROOT, "tests", "valgrind.supp")]


class Memcheck(harness.Shilad):
    def argv(self, *more):
        argv = super().argv(*more)
        program = next(i for i, a in enumerate(argv) if a.endswith("/shilad"))
        return [*argv[:program], "valgrind", *OPTIONS, f"--log-file={self.dir}/memcheck", *argv[program:]]


class Valgrind(SystemTest):
    def test_a_life(self):
        lab = self.use(Lab(topology="parallel", links=3))
        h2 = self.use(Memcheck(lab, "h2", start=False))
        h1 = self.use(Memcheck(lab, "h1", start=False))
        h2.start(wait=False)
        h1.start(wait=False)
        for h in (h2, h1):
            h.wait_running(60)
            h.wait_paths(3, "up" if h is h1 else None, 60)
        h2.serve(8000)
        h2.serve(8001, udp=True)
        for family in (4, 6):
            answer = h1.traffic("get", h2.address(family), 8000, 1_000_000)
            self.assertTrue(answer["ok"], answer)
            answer = h1.traffic("udp", h2.address(family), 8001, 10, 1200, 2500)
            self.assertTrue(answer["ok"], answer)
        self.assertEqual(h1.traffic("connect", h2.address(4), 8002)["errno"], "ECONNREFUSED")
        self.assertEqual(h1.traffic("connect", "10.70.99.1", 8000)["errno"], "EHOSTUNREACH")
        client = h1.spawn_traffic("puts", h2.address(4), 8000, 200)
        wait_for(lambda: len(h1.flows(role="sub", state="open", remote=f"{h2.address(4)}:8000")) >= 2, 30, "subflows")
        moves = h1.counter("moves")
        lab.link(1, "blackhole")
        wait_for(lambda: h1.counter("moves") > moves, 30, "a move")
        lab.link(1, "restore")
        client.end_traffic()
        for method in ("status", "peers", "paths", "flows", "drops"):
            h1.rpc(method)
            h2.shila(method if method != "drops" else "status", "--json")
        for h in (h1, h2):
            h.send_signal(signal.SIGINT)
            h.process.wait(60)
            with open(os.path.join(h.dir, "memcheck"), encoding="utf-8") as f:
                found = f.read()
            self.assertIn("ERROR SUMMARY: 0 errors", "\n" + found[:8000])
            self.assertNotIn("unhandled syscall", found)
            h.stop()


if __name__ == "__main__":
    main()
