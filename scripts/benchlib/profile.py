# SPDX-License-Identifier: Apache-2.0
"""Where the CPUs of the whole machine are while shila carries data: perf, by samples of the CPU clock."""

import os
import shutil

from harness import Failed, Process, run, temporary

FREQUENCY = 997  # not in step with timers
REPORTS = (("by symbol", ["--no-children", "-g", "none"]),
           ("by program", ["--no-children", "-g", "none", "--sort", "comm"]),
           ("with callers", ["--no-children", "-g", "caller,0.5,callee,function,percent", "--percent-limit", "1"]))


class Profile:
    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.done = set()
        with open(self.path, "w", encoding="utf-8") as f:
            f.write("perf record -a -g -e cpu-clock, one run each\n")

    @staticmethod
    def missing():
        return None if shutil.which("perf") else "perf is not there (package linux-perf)"

    @staticmethod
    def looks_at(contender):
        return contender.name.startswith("shila")

    def wants(self, key):
        """Each kind of run once."""
        return key not in self.done

    def around(self, key, seconds, work):
        """work() with perf beside it, for so many seconds."""
        self.done.add(key)
        data = os.path.join(temporary(), "perf.data")
        perf = Process(["perf", "record", "-q", "-a", "-g", "-e", "cpu-clock", "-F", FREQUENCY, "-o", data, "--",
                        "sleep", seconds])
        result = work()
        said = perf.finish(seconds + 30, code=None)
        if not os.path.exists(data):
            raise Failed(f"perf record: {said[-500:]}")
        with open(self.path, "a", encoding="utf-8") as f:
            for title, options in REPORTS:
                f.write(f"\n==== {key}, {title}\n\n")
                f.write(run(["perf", "report", "--stdio", "-q", "-i", data, *options], 120, check=False).stdout)
        os.unlink(data)
        return result
