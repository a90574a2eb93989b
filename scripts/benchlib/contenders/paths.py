# SPDX-License-Identifier: Apache-2.0
"""shila over several paths: a pair of daemons for each number of them, all in one lab."""

from harness import Shilad

from ..bed import PATHS
from ..contender import Contender

ORDER = 30
NUMBERS = (1, 2, 3, 4, PATHS)
IDLE = (1, 3)  # whose wake-ups without traffic are counted


class OverPaths(Contender):
    set_ups = ("emulated",)
    cases = ()
    base = "shila-1p"

    def start(self, bed):
        self.bed = bed
        self.daemons = []
        for host, other in (self.hosts[::-1], self.hosts):  # the server first: the first probes of the client find it
            self.daemons.insert(0, Shilad(bed.lab, host, interfaces=self.paths, apps=(4,), log_level="info", peers=[other]))
        self.daemons[0].wait_paths(PATHS)
        self.daemons[1].wait_paths(PATHS, None)

    def stop(self):
        for d in self.daemons:
            d.close()

    def version(self):
        return self.daemons[0].rpc("status").get("version")

    def server_command(self, argv):
        return self.daemons[1].command(argv, ingress=True)

    def client_command(self, argv):
        return self.daemons[0].command(argv)

    def address(self, family=4):
        return self.daemons[1].address(family)

    def pids(self):
        return [d.process.pid for d in self.daemons]

    def counters(self):
        """Of each daemon."""
        return [d.rpc("status")["counters"] for d in self.daemons]

    def liveness_bytes(self):
        """What both daemons have sent so far to know whether paths are alive, as IP packets."""
        return sum(counters["liveness_wire_bytes"] for counters in self.counters())


def over(number, index):
    return type(f"Over{number}", (OverPaths,), {
        "name": f"shila-{number}p",
        "paths": number,
        "measurements": ("paths", "idle") if number in IDLE else ("paths",),
        "what": f"MPTCP through shila, {number} subflows on {number} disjoint paths" if number > 1
                else "MPTCP through shila, one subflow on one path",
        "hosts": (f"h{index + 1}", f"h{len(NUMBERS) + index + 1}"),
    })


CONTENDERS = [over(number, index) for index, number in enumerate(NUMBERS)]
