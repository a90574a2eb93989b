# SPDX-License-Identifier: Apache-2.0
"""The hosts that everything runs between.

    local       two hosts of one AS, joined by a veth of MTU 1500 beside their way through the AS
        A       the veth with its offloads: trains cross it whole, nothing is segmented
        B       without: frames of 1500 bytes, segmented in software by the sender, merged by the receiver's GRO
    routers     two ASes, one link between their border routers
    emulated    two ASes, eight links, emulated routers; of each pair of hosts one is in either AS
"""

import os

from harness import Failed, Lab, run, temporary
from labnet import emulator

DEVICE = "bench0"
PATHS = 8  # as many links
OFFLOADS = {
    "A": ["tso", "on", "gso", "on", "gro", "off", "tx-udp-segmentation", "on"],
    "B": ["tso", "off", "gso", "on", "gro", "on", "tx-udp-segmentation", "off"],
}

SET_UPS = {
    "A": "veth with offloads: no segmentation on the wire",
    "B": "veth without: 1500-byte frames on the wire",
    "routers": "two ASes, real border routers",
    "emulated": f"two ASes, {PATHS} links between them, emulated routers and links in one process",
}


def kind_of(set_up):
    return set_up if set_up in ("routers", "emulated") else "local"


class Bed:
    """hosts: pairs of client and server. (h1, h2) are there always; others are more hosts of the same AS."""

    client, server = "h1", "h2"

    def __init__(self, kind, pairs=()):
        self.kind = kind
        self.pairs = list(dict.fromkeys([(self.client, self.server), *pairs]))
        self.set_up = None
        self.things = {}
        self.dir = temporary()  # contenders keep their files here
        os.chmod(self.dir, 0o700)
        self.lab = self._make_lab(kind, max(int(h[1:]) for pair in self.pairs for h in pair))
        if kind == "local":
            for pair in self.pairs:
                self._join(*pair)

    @staticmethod
    def _make_lab(kind, hosts):
        if kind == "routers":
            return Lab(topology="parallel", links=1)
        if kind == "emulated":
            return Lab(topology="parallel", links=PATHS, routers="emulated", hosts_per_as=hosts // 2)
        return Lab(topology="local", hosts_per_as=hosts)

    def _join(self, first, second):
        names = [self.lab.netns(h) for h in (first, second)]
        run(["ip", "link", "add", DEVICE, "netns", names[0], "mtu", 1500, "type", "veth",
             "peer", "name", DEVICE, "netns", names[1], "mtu", 1500])
        for host, other in ((first, second), (second, first)):
            ip = ["ip", "-n", self.lab.netns(host)]
            run([*ip, "link", "set", DEVICE, "up"])
            run([*ip, "route", "replace", f"{self.address(other)}/32", "dev", DEVICE, "src", self.address(host)])
            run([*ip, "address", "add", f"{self.address(host, 6)}/64", "dev", DEVICE, "nodad"])

    def use(self, set_up):
        """Switches the offloads of the veth; connections stay."""
        if kind_of(set_up) != self.kind:
            raise Failed(f"set-up {set_up} is not on this bed")
        self.set_up = set_up
        for host in [h for pair in self.pairs for h in pair]:
            if set_up in OFFLOADS:
                run(self.inside(host, ["ethtool", "-K", DEVICE, *OFFLOADS[set_up]]))

    def receive_in_threads(self, on):
        """The kernel's part of receiving from the veth, in threads of its own. Else it runs in the call of whoever sends: on two
        machines it would not."""
        for host in (self.client, self.server):
            run(["ip", "netns", "exec", self.lab.netns(host), "sh", "-c", f"echo {int(on)} > /sys/class/net/{DEVICE}/threaded"])

    def limit_links(self, mbit):
        """All emulated links; None: no limit."""
        for link in self.lab.info["links"]:
            emulator.call(self.lab.name, {"op": "set", "link": link["id"], "props": {"rate_bit_s": (mbit or 0) * 1000000}})

    def link_bytes(self):
        """IP packets that went into emulated links so far, both directions."""
        return sum(link[d]["counters"]["offered"]["bytes"] for link in emulator.show(self.lab.name)["links"].values()
                   for d in emulator.DIRECTIONS)

    def emulator_pid(self):
        return self.lab.info["emulator"]["pid"]

    def inside(self, host, argv):
        """The command line that runs argv on that host."""
        return self.lab.inside(host, [str(a) for a in argv])

    def address(self, host, family=4):
        """Of the host itself; between two hosts of one AS packets to it take the veth."""
        return self.lab.hosts[host]["address"] if family == 4 else f"fd00:be::{host[1:]}"

    def shared(self, name, make):
        """What several contenders share: made by make() when first asked for, closed with the bed."""
        if name not in self.things:
            self.things[name] = make()
        return self.things[name]

    def close(self):
        for thing in reversed(self.things.values()):
            thing.close()
        self.things.clear()
        self.lab.close()
