# SPDX-License-Identifier: Apache-2.0
"""What is compared. A new one is a file in contenders/ with a class below Contender in its list CONTENDERS."""

import importlib
import pkgutil

from . import contenders, iperf
from .bed import SET_UPS


class Contender:
    """One way for the bytes of a program on the client to a program on the server.

    All contenders of a bed run side by side while their measurements take turns, so an idle one must cost
    nothing, and addresses, ports, devices and namespaces have to be its own.
    """

    name = None
    what = None  # one line for --list and docs/performance.md
    set_ups = ("A", "B")  # where it takes part: "A", "B" (two hosts of one AS, a veth), "routers"
    measurements = ("throughput",)
    cases = ("up", "down")  # of throughput, see measurements/throughput.py
    hosts = ("h1", "h2")  # client and server; others of the same AS: see Bed
    base = "tcp"  # the contender that its ratios are to; in set-up "routers": "generator"

    def missing(self):
        """Why it cannot run on this machine, in a few words, or None. Does not need root, changes nothing."""
        return None

    def version(self):
        """Of the program, for the report; called after start()."""
        return None

    def takes_part(self, measurement, set_up):
        return (set_up in self.set_ups and measurement.NAME in self.measurements and
                set_up in getattr(measurement, "SET_UPS", SET_UPS))

    def start(self, bed):
        """Called once for the set-ups A and B together, once for "routers"; returns when traffic can flow.

        What it starts with harness.spawn() or keeps below bed.dir is removed at the end whatever happens.
        """

    def stop(self):
        """The opposite. Also called when start() failed half-way."""

    def server_command(self, argv):
        """The command line that runs argv where the servers are: right namespace, MPTCP or not."""
        raise NotImplementedError

    def client_command(self, argv):
        """The same for the client."""
        raise NotImplementedError

    def address(self, family=4):
        """What the client connects to."""
        raise NotImplementedError

    def pids(self):
        """The tunnel's own processes, whose CPU is counted: the client's first. None of them: []."""
        return []

    def throughput(self, case, seconds):
        """One run: (Gbit/s of payload, bytes of payload in all). What is no tunnel for programs has its own."""
        return iperf.run_case(self, case, seconds)

    def note(self):
        """Something to know about its figures, for the report, or None."""
        return None


def all_contenders():
    """One object of each, in the order of the tables."""
    found = []
    for module in sorted(m.name for m in pkgutil.iter_modules(contenders.__path__)):
        loaded = importlib.import_module(f"{contenders.__name__}.{module}")
        found += [(loaded.ORDER, i, cls) for i, cls in enumerate(loaded.CONTENDERS)]
    return [cls() for _, _, cls in sorted(found, key=lambda f: f[:2])]
