# SPDX-License-Identifier: Apache-2.0
"""What is wanted of the figures, and whether it was seen. Medians of one run; ratios within it."""

from .measurements import paths
from .measurements.many import LEVELS

MIB = 2**20
# (what, set-up A, set-up B): at least so much of it
TCP_OF_PLAIN = {"A": 0.65, "B": 0.70}
MPTCP_OF_PLAIN = {"A": 0.75, "B": 0.85}
MPTCP_OF_TCP = 0.88
NO_LESS = 0.97  # "no less than", with what two medians of the same thing differ by
FLAT = 1.10  # "flat", likewise
HEARTBEATS = 10  # "no wake-ups": what looks after paths and timers, rarely
FIXED_MIB, PER_FLOW = 64, 256
OF_ALL_PATHS = 0.95  # of what the links carry
LIVENESS = 0.2  # % of bytes


class Goal:
    def __init__(self, what, wanted, seen, met, digits=2):
        self.what, self.wanted, self.met = what, wanted, met
        self.seen = f"{seen:.{digits}f}"


def at_least(what, seen, bound, digits=2):
    return [] if seen is None else [Goal(what, f"at least {bound:g}", seen, seen >= bound, digits)]


def at_most(what, seen, bound, digits=2):
    return [] if seen is None else [Goal(what, f"at most {bound:g}", seen, seen <= bound, digits)]


def quotient(a, b):
    return a / b if a is not None and b else None


def throughput(f):
    out = []
    for s in ("A", "B"):
        for case in ("up", "down", "ipv6"):
            out += at_least(f"{s}, {case}: TCP through shila / plain TCP",
                            f.ratio("throughput", s, case, "shila-tcp", "tcp", "gbit"), TCP_OF_PLAIN[s])
            out += at_least(f"{s}, {case}: MPTCP through shila / TCP through shila",
                            f.ratio("throughput", s, case, "shila-mptcp", "shila-tcp", "gbit"), MPTCP_OF_TCP)
            out += at_least(f"{s}, {case}: MPTCP through shila / plain MPTCP",
                            f.ratio("throughput", s, case, "shila-mptcp", "mptcp", "gbit"), MPTCP_OF_PLAIN[s])
        for case in ("up", "down"):
            out += at_least(f"{s}, {case}: two subflows on one path / one",
                            f.ratio("throughput", s, case, "shila-2sf", "shila-mptcp", "gbit"), NO_LESS)
        for name in ("shila-tcp", "shila-mptcp"):
            out += at_least(f"{s}: 8 connections / one, {name}",
                            f.ratio("throughput", s, "parallel", name, ("up", name), "gbit"), NO_LESS)
        out += at_least(f"{s}: TCP through shila / wireguard-go",
                        f.ratio("throughput", s, "up", "shila-tcp", "wireguard-go", "gbit"), 2.5)
    out += at_most("B: CPU s/GB of the machine, MPTCP through shila / plain MPTCP",
                   f.ratio("throughput", "B", "up", "shila-mptcp", "mptcp", "machine"), 2.0)
    return out


def routers(f):
    out = []
    for name in ("shila-tcp", "shila-mptcp"):
        out += at_least(f"routers: CPU s/GB of the tunnel, SCION-IP gateway / {name}",
                        f.ratio("throughput", "routers", "up", "gateway", name, "own"), 20, 1)
        out += at_least(f"routers: {name} / packet generator",
                        f.ratio("throughput", "routers", "up", name, "generator", "gbit"), 0.9)
    return out


def over_paths(f):
    out = []
    for case, (direction, mbit, numbers, _) in paths.CASES.items():
        for n in numbers:
            name, one = f"shila-{n}p", "shila-1p"
            ratio = f.ratio(paths.NAME, "emulated", case, name, one, "gbit")
            if n > 1 and mbit:
                out += at_least(f"{n} paths of {mbit} Mbit/s, {direction}: goodput / {n} times that of one",
                                ratio and ratio / n, OF_ALL_PATHS)
            elif n > 1:
                out += at_least(f"{n} paths without limit, {direction}: goodput / that of one", ratio, NO_LESS)
            if n == 1 or mbit:
                out += at_most(f"liveness over {n} path{'s' if n > 1 else ''}{f' of {mbit} Mbit/s' if mbit else ''}, {direction}, "
                               "% of bytes", f.median(paths.NAME, "emulated", case, name, "liveness"), LIVENESS, 4)
    return out


def round_trips(f):
    out = []
    for name, bounds in (("shila-mptcp", (60, 200)), ("shila-poll", (30, 100))):
        for percentile, bound in zip(("p50", "p99"), bounds):
            mine, its = (f.median("rr", "B", "idle", n, percentile) for n in (name, "mptcp"))
            if mine is not None and its is not None:
                out += at_most(f"round trip, {percentile}, added by each host of {name}, µs", (mine - its) / 2, bound, 1)
    for name, plain in (("shila-mptcp", "mptcp"), ("shila-tcp", "tcp")):
        for percentile in ("p50", "p99"):
            out += at_most(f"round trip under load, {percentile}: {name} / {plain}",
                           f.ratio("rr", "B", "loaded", name, plain, percentile), 3.0)
    return out


def connections(f):
    out = []
    for case in ("1", "64"):
        out += at_least(f"connections per second, {case} at once: MPTCP through shila / plain MPTCP",
                        f.ratio("connects", "B", case, "shila-mptcp", "mptcp", "per_second"), 0.5)
    return out


def many_flows(f):
    out = []
    first = "0"
    for level in LEVELS[1:]:
        case = str(level)
        out += at_least(f"goodput beside {level} connections / beside none",
                        quotient(f.ratio("many", "B", case, "shila-tcp", "tcp", "gbit"),
                                 f.ratio("many", "B", first, "shila-tcp", "tcp", "gbit")), NO_LESS)
        out += at_most(f"tunnel's CPU s/GB beside {level} connections / beside none",
                       f.ratio("many", "B", case, "shila-tcp", (first, "shila-tcp"), "own"), FLAT)
        for side in ("client", "server"):
            out += at_most(f"{side}: RSS with {level} connections, MiB", f.median("many", "B", case, "shila-tcp", f"rss_{side}"),
                           round(FIXED_MIB + PER_FLOW * level / MIB, 1), 1)
    out += at_most("fullest worker of 10000 flows, above an even share, %",
                   f.median("many", "B", "10000", "shila-tcp", "uneven"), 10, 1)
    for s in ("A", "B"):
        for case in ("up", "parallel"):
            out += at_most(f"{s}, {case}: tunnel's CPU s/GB, 2 workers / 1",
                           f.ratio("throughput", s, case, "shila-tcp", "shila-1w", "own"), FLAT)
    return out


def small(f):
    out = []
    out += at_most("UDP of 64 bytes: CPU of shilad outbound, µs", f.median("datagrams", "B", "64", "shila", "out"), 1.5)
    out += at_most("the same, without what the receiver's kernel does in its calls, µs",
                   f.median("datagrams", "B", "threaded", "shila", "out"), 1.5)
    out += at_most("UDP of 64 bytes: CPU of shilad inbound, µs", f.median("datagrams", "B", "64", "shila", "in"), 3.0)
    out += at_most("UDP of 64 bytes, 100 000 a second: lost, %", f.median("datagrams", "B", "64", "shila", "loss"), 0, 3)
    for case, what in (("none", "no connection"), ("open", "10 idle connections")):
        out += at_most(f"idle, {what}: wake-ups a second of both daemons (heartbeats)",
                       f.median("idle", "B", case, "shila-tcp", "wake_ups"), HEARTBEATS, 1)
    for n in (1, 3):
        out += at_most(f"idle, 10 idle connections over {n} path{'s' if n > 1 else ''}: wake-ups / heartbeats",
                       quotient(*(f.median("idle", "emulated", "open", f"shila-{n}p", v) for v in ("wake_ups", "heartbeats"))), FLAT)
    return out


def goals(figures):
    return [g for part in (throughput, routers, over_paths, round_trips, connections, many_flows, small) for g in part(figures)]
