# SPDX-License-Identifier: Apache-2.0
"""A link at run time: rate, cut, black hole, counters.

Nothing about the state of a link is written down; the kernel is asked.

Direction ab is from the first end to the second. A black hole drops what arrives at the far end,
before IP sees it: the interface stays up, the sender notices nothing, and the sender's counter
still counts what went into the link.
"""

import json

from . import LabError, netns
from .topology import rate_bits

ETHERNET = 14
TABLE = "lab_blackhole_"

DIRECTIONS = ("ab", "ba")


def find(topo, link_id):
    for link in topo.links:
        if str(link.id) == str(link_id):
            return link
    raise LabError(f"there is no link {link_id}, only 1 to {len(topo.links)}")


def _receiver(link, direction):
    return link.ends[1] if direction == "ab" else link.ends[0]


def tbf_arguments(rate, mtu):
    """Arguments of tc for a rate.

    tbf counts the Ethernet header: a link of 20mbit carries 20 Mbit/s of IP packets plus 14 bytes
    each. The burst is 25 ms worth of bytes, 64 kB at 20mbit: enough that a late timer costs no
    rate; at least four packets, because larger ones than the burst are dropped; and small on slow
    links, where it would hide the rate from short measurements.
    """
    bits = rate_bits(rate)
    burst = max(bits // 8 // 40, 4 * (mtu + 100))
    if bits >= 20_000_000:
        burst = max(64 * 1024, bits // 8 // 1000)
    return ["tbf", "rate", f"{bits}bit", "burst", str(burst), "latency", "50ms"]


def set_rate(topo, link, rate):
    """Shapes both directions. What is queued at that moment is lost."""
    rate_bits(rate)
    for end in link.ends:
        dev = ["dev", link.device, "root"]
        # Deleting first: a change of a running tbf keeps the burst it once had.
        try:
            netns.run(["tc", "-n", end.asys.netns, "qdisc", "del", *dev])
        except LabError:
            pass  # there was none
        if rate != "none":
            netns.run(["tc", "-n", end.asys.netns, "qdisc", "add", *dev,
                       *tbf_arguments(rate, link.mtu + topo.overhead)])
    link.rate = rate


def set_all_rates(topo):
    """As set_rate for all links of a new lab, with one call of tc per AS."""
    for a in topo.ases:
        lines = [" ".join(["qdisc add dev", link.device, "root",
                           *tbf_arguments(link.rate, link.mtu + topo.overhead)])
                 for link, _ in a.interfaces if link.rate != "none"]
        if lines:
            netns.run(["tc", "-n", a.netns, "-batch", "-"], "\n".join(lines) + "\n")


def cut(link):
    """Link down: one end has no device any more, the other no carrier, and both know."""
    netns.run(["ip", "-n", link.ends[0].asys.netns, "link", "set", link.device, "down"])


def _nft(netns_name, script):
    return netns.run(netns.command(netns_name, ["nft", "-f", "-"]), script)


def blackhole(link, directions=DIRECTIONS):
    for d in directions:
        end, table = _receiver(link, d), TABLE + link.device
        _nft(end.asys.netns,
             f"add table netdev {table}\ndelete table netdev {table}\nadd table netdev {table}\n"
             f"add chain netdev {table} in {{ type filter hook ingress device \"{link.device}\" "
             "priority -500; policy drop; }\n")


def restore(link):
    for end in link.ends:
        table = TABLE + link.device
        # adding what is there is no error, deleting what is not there is
        _nft(end.asys.netns, f"add table netdev {table}\ndelete table netdev {table}\n")
        netns.ip_batch([f"link set {link.device} up"], end.asys.netns)
    for end in link.ends:
        netns.ip_batch(netns.neighbour_lines(link, end), end.asys.netns)


def states(topo):
    """{link id: "up", "cut", "blackhole", "blackhole-ab" or "blackhole-ba"}"""
    down, dropping = set(), set()
    for a in topo.ases:
        shown = json.loads(netns.run(["ip", "-n", a.netns, "-j", "link", "show"]) or "[]")
        for dev in shown:
            if "UP" not in dev["flags"]:
                down.add((a.asn, dev["ifname"]))
        if topo.links:
            shown = netns.run(netns.command(a.netns, ["nft", "list", "tables", "netdev"]))
            for line in shown.splitlines():
                if TABLE in line:
                    dropping.add((a.asn, line.split(TABLE)[1].strip()))
    result = {}
    for link in topo.links:
        dark = [d for d in DIRECTIONS if (_receiver(link, d).asys.asn, link.device) in dropping]
        if any((end.asys.asn, link.device) in down for end in link.ends):
            result[link.id] = "cut"
        elif dark:
            result[link.id] = "blackhole" if len(dark) == 2 else f"blackhole-{dark[0]}"
        else:
            result[link.id] = "up"
    return result


def counters(topo):
    """Packets and IP bytes that went into each link, per direction, since the lab is up.

    The veth counts frames with their Ethernet header but without check sum or gap, so the IP bytes
    are its bytes less 14 for each packet. What the shaper dropped never got to the veth.
    """
    seen = {}
    for a in topo.ases:
        for dev in json.loads(netns.run(["ip", "-n", a.netns, "-j", "-s", "link", "show"]) or "[]"):
            seen[a.asn, dev["ifname"]] = dev["stats64"]["tx"]
    result = []
    for link in topo.links:
        row = {"id": link.id}
        for d, end in zip(DIRECTIONS, link.ends):
            tx = seen[end.asys.asn, link.device]
            row[d] = {"packets": tx["packets"], "bytes": tx["bytes"] - ETHERNET * tx["packets"]}
        result.append(row)
    return result
