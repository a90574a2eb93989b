# SPDX-License-Identifier: Apache-2.0
"""What links can carry, and one iperf3 run against it; shared by test_rates.py and tests/long."""

import json
import time

from harness import *  # noqa: F403

SCION_COMMON, SCION_UDP, FRAME, THIN = 12, 8, 12, 12
# Options of bulk data segments: timestamps 12, DSS with 4-byte ack and 8-byte sequence number 24.
OPTIONS = 36
ETHERNET = 14  # which tbf counts
CORE_PATH, LEAF_PATH = 36, 68  # path bytes: one segment of 2 hop fields, two of 2


def addresses(underlay):
    return 16 + 2 * (4 if underlay == "ipv4" else 16)


def outer(underlay):
    return 28 if underlay == "ipv4" else 48


def scion_mtu(underlay):
    return 1500 - outer(underlay)


def payload(underlay, path_bytes=CORE_PATH):
    """Application bytes in a full data packet."""
    return (scion_mtu(underlay) - SCION_COMMON - addresses(underlay) - path_bytes - SCION_UDP - FRAME - THIN -
            OPTIONS)


def possible_mbit(paths, rate_mbit, underlay, path_bytes=CORE_PATH):
    """Application goodput that so many links of that rate can carry."""
    return paths * rate_mbit * payload(underlay, path_bytes) / (1500 + ETHERNET)


def subflow_routes(lab, me, counts=(1, 2)):
    """Further routes of a daemon: destinations that get fewer subflows than the egress has TUNs."""
    other = "h2" if me == "h1" else "h1"
    m = int(other[1:])
    via = [lab.scion_address(other)]
    routes = []
    for k in counts:
        routes.append({"to": f"10.{80 + k}.{m}.0/24", "via": via, "subflows": k})
        routes.append({"to": f"fd00:{80 + k}:{m}::/64", "via": via, "subflows": k})
    return routes


def destination(host, family, subflows=None):
    m = host.number
    if subflows is None:
        return host.address(family)
    return f"10.{80 + subflows}.{m}.1" if family == 4 else f"fd00:{80 + subflows}:{m}::1"


class RatePair(Pair):
    """A pair whose destinations 10.81, 10.82 (fd00:81:, fd00:82:) get one and two subflows."""

    def __init__(self, **options):
        super().__init__(**options)
        for h in (self.h1, self.h2):
            h.stop()
            h.config["routes"] += subflow_routes(self.lab, h.host)
            h.write_config()
            h.start()
        for h in (self.h1, self.h2):
            h.wait_paths(self.lab.info["paths_expected"])


def iperf(pair, family=4, reverse=False, subflows=None, seconds=8, omit=2, during=None, rate=None):
    """One connection of iperf3 from h1 to h2 (reverse: the data flows to h1); goodput in Mbit/s.

    Congestion control is cubic, what Linux uses unless it is told otherwise: the result does not depend on the
    machine's setting. (BBR takes the burst of a token bucket for the rate of the link and overruns it.)
    rate: what the program offers, like "40M" (default: all it can).
    during: called while data flows, with the time that is left at least.
    """
    server = pair.h2.spawn(["iperf3", "-s", "-1"], ingress=True)
    pair.h2.wait_listening(5201)
    client = pair.h1.spawn(["iperf3", "-c", destination(pair.h2, family, subflows), "-J", "-C", "cubic", "-t", seconds - omit,
                            "-O", omit, *(["-R"] if reverse else []), *(["-b", rate] if rate else [])])
    if during:
        time.sleep(seconds - 1.5)  # not a guess at readiness: a sample late in a run of known length
        during()
    out = json.loads(client.finish(seconds + 20))
    server.finish(10)
    return out["end"]["sum_received"]["bits_per_second"] / 1e6


def data_flows(flows):
    """The flows of the connection that carries the data (iperf3 has another one for control)."""
    tokens = {}
    for f in flows:
        if f["token"] and f["state"] == "open":
            tokens.setdefault(f["token"], []).append(f)
    return max(tokens.values(), key=lambda fs: sum(f["tx_bytes"] + f["rx_bytes"] for f in fs))


def check_mptcp(test, pair, family, subflows, flows):
    """So many subflows on both sides, no fallback."""
    test.assertEqual(len(flows), subflows, f"flows of the connection: {flows}")
    for netns in (pair.h1.nstat(), pair.h2.nstat(ingress=True)):
        for name, value in netns.items():
            if name.startswith("MPTcpExt") and any(w in name for w in (
                    "Fallback", "DSSCorruption", "Blackhole", "MPCapableSYNTXDrop", "MPCapableSYNTXDisabled")):
                test.assertEqual(value, 0, name)


class RateCase:
    """One row of the matrix as a test of a SystemTest class; labs are shared by rows that can."""

    def __init__(self, paths, rate, reverse, family, underlay):
        self.paths, self.rate, self.reverse = paths, rate, reverse
        self.family, self.underlay = family, underlay

    def __str__(self):
        return (f"{self.paths} x {self.rate} Mbit/s, {'to' if self.reverse else 'from'} the client, "
                f"IPv{self.family} over {self.underlay}")

    def run(self, test, pair):
        seen = {}
        got = iperf(pair, self.family, self.reverse, self.paths if self.paths < 3 else None,
                    during=lambda: seen.update(flows=data_flows(pair.h1.rpc("flows"))))
        best = possible_mbit(self.paths, self.rate, self.underlay)
        print(f"\n    measured: {self}: {got:.2f} Mbit/s of {best:.2f} = {100 * got / best:.1f} %", flush=True)
        check_mptcp(test, pair, self.family, self.paths, seen["flows"])
        test.assertGreaterEqual(got, 0.95 * best, str(self))


def matrix_class(name, rate, underlay, rows):
    """A test class for one lab, with a test for each row (paths, reverse, family)."""
    def set_up(cls):
        cls.pair = cls.keep(RatePair(topology="parallel", links=3, rate=f"{rate}mbit", underlay=underlay,
                                     log_level="info"))

    body = {"NEEDS_PLAIN_BUILD": True, "setUpClass": classmethod(set_up), "__doc__": None}
    for paths, reverse, family in rows:
        case = RateCase(paths, rate, reverse, family, underlay)

        def test(self, case=case):
            case.run(self, self.pair)
        body[f"test_{paths}_paths_ipv{family}_{'down' if reverse else 'up'}"] = test
    return type(name, (SystemTest,), body)
