# SPDX-License-Identifier: Apache-2.0
"""shila itself. All of these share one pair of daemons."""

import os

from harness import Shilad

from ..contender import Contender

ORDER = 10
POLL_US = 100
POLL_CPUS = 4  # a worker on each host, client and server

# What one host opens here in a second would be a flood from a single peer elsewhere.
LIMITS = {
    "flows": 262144, "flows_per_peer": 262144, "flows_per_as": 262144, "half_open_per_peer": 65536,
    "half_open_per_as": 65536, "opens_per_second_per_peer": 1000000, "opens_per_second_per_as": 1000000,
    "frames_per_second_peers": 1000000, "frames_per_second_as": 1000000, "pool_addresses_per_peer": 65536,
    "pool_addresses_per_as": 65536, "control_queue": 65536, "held_syns": 65536,
}


class Daemons:
    """A shilad on each of two hosts: an egress with one TUN, another with the kernel's path manager, and one with two TUNs
    and the kernel's, which makes two subflows on one path; ours does not."""

    def __init__(self, bed, hosts, config=None):
        first, second = hosts
        self.egress = {}
        self.pair = {}
        for host, other in ((first, second), (second, first)):
            n = int(host[1:])
            d = Shilad(bed.lab, host, interfaces=1, start=False, log_level="info", peers=[other])
            d.config["egress"] = [d.config["egress"]]
            self.egress[host] = {}
            for subflows in (1, 2):
                name = self.egress[host][subflows] = f"{d.ns_egress}{subflows + 1}"
                d.config["egress"].append({"namespace": name, "interfaces": subflows, "path_manager": "kernel",
                                           "addresses": [f"10.{7 + subflows}.{n}.0/24", f"fd00:{7 + subflows}:{n}::/64"]})
            for route in d.config["routes"]:
                route["paths"] = {"share": 2}
            d.config["limits"] = dict(LIMITS)
            d.config.update(config or {})
            d.write_config()
            self.pair[host] = d
        try:
            self.client, self.server = self.pair[first], self.pair[second]
            self.server.start()  # first: the first probes of the client find it
            self.client.start()
            self.client.wait_paths(bed.lab.info["paths_expected"])
            self.server.wait_paths(bed.lab.info["paths_expected"], None)
        except BaseException:
            self.close()
            raise

    def pids(self):
        return [d.process.pid for d in self.pair.values()]

    def flows(self):
        """Of both sides together, also those that linger."""
        return sum(d.rpc("status")["flows"] for d in self.pair.values())

    def uneven(self):
        """How many more flows the fullest worker of the client has than an even share, in percent."""
        status = self.client.rpc("status")
        most = next(limit["used"] for limit in status["limits"] if limit["name"] == "flows")
        return 100 * (most * status["workers"] / status["flows"] - 1) if status["flows"] else 0.0

    def close(self):
        for d in self.pair.values():
            d.close()


class Shila(Contender):
    mptcp = True
    set_ups = ("A", "B", "routers")

    def start(self, bed):
        self.bed = bed
        self.daemons = bed.shared("shila", lambda: Daemons(bed, self.hosts))

    def version(self):
        return self.daemons.client.rpc("status").get("version")

    def server_command(self, argv):
        return self.daemons.server.command(argv, ingress=True, mptcp=self.mptcp)

    def client_command(self, argv):
        return self.daemons.client.command(argv, mptcp=self.mptcp)

    def address(self, family=4):
        return self.daemons.server.address(family)

    def pids(self):
        return self.daemons.pids()

    def flows(self):
        return self.daemons.flows()

    def counters(self):
        """Of each daemon."""
        return [d.rpc("status")["counters"] for d in self.daemons.pair.values()]


class ShilaTcp(Shila):
    name = "shila-tcp"
    what = "plain TCP through shila"
    measurements = ("throughput", "rr", "connects", "many", "datagrams", "idle")
    cases = ("up", "down", "ipv6", "parallel")
    mptcp = False


class ShilaMptcp(Shila):
    name = "shila-mptcp"
    what = "MPTCP through shila, one subflow"
    measurements = ("throughput", "rr", "connects")
    cases = ("up", "down", "ipv6", "parallel")
    base = "mptcp"


class OtherEgress(Shila):
    def client_command(self, argv):
        d = self.daemons
        return d.client.cli("run", "--egress", d.egress[self.hosts[0]][self.subflows], "--", *argv)


class ShilaTwoSubflows(OtherEgress):
    name = "shila-2sf"
    what = "MPTCP through shila, two subflows on one path (share: 2)"
    measurements = ("throughput", "connects")
    cases = ("up", "down")
    base = "mptcp"
    subflows = 2


class ShilaKernelsManager(OtherEgress):
    name = "shila-mptcp-kpm"
    what = "as shila-mptcp, with the kernel's path manager"
    measurements = ("connects",)
    base = "shila-mptcp"
    subflows = 1


class ShilaOneWorker(Shila):
    name = "shila-1w"
    what = "plain TCP through shila with one worker, on hosts of its own"
    set_ups = ("A", "B")
    cases = ("up", "parallel")
    hosts = ("h3", "h4")
    mptcp = False

    def start(self, bed):
        self.bed = bed
        self.daemons = bed.shared("shila-1w", lambda: Daemons(bed, self.hosts, {"workers": 1}))


class ShilaPolling(Shila):
    name = "shila-poll"
    what = f"MPTCP through shila with busy_poll_us: {POLL_US} and one worker, on hosts of its own"
    set_ups = ("B",)
    measurements = ("rr",)
    cases = ()
    hosts = ("h5", "h6")
    base = "mptcp"

    def missing(self):
        return None if os.cpu_count() >= POLL_CPUS else f"busy polling needs {POLL_CPUS} CPUs"

    def start(self, bed):
        self.bed = bed
        self.daemons = bed.shared("shila-poll", lambda: Daemons(bed, self.hosts,
                                                                {"workers": 1, "busy_poll_us": POLL_US}))


CONTENDERS = [ShilaTcp, ShilaMptcp, ShilaTwoSubflows, ShilaKernelsManager, ShilaOneWorker, ShilaPolling]
