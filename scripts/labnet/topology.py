# SPDX-License-Identifier: Apache-2.0
"""What there is: ASes, hosts, links and their addresses. Nothing here touches the system.

Addresses are the same in every lab (each has namespaces of its own) and can be read:

    AS 64512+n   box 10.(12+n).0.1, hosts .2 .3 ...    fd00:(12+n)::1, ::2 ...
    link i       10.20.i.1 <-> 10.20.i.2               fd00:20:i::1 <-> fd00:20:i::2

The two ends of link i have the interface ids i and 100+i: unique within an AS, and never equal, so
that whoever mixes up the two ends of a link is found out.
"""

import re
from dataclasses import dataclass, field

from . import LabError

ISD = 1
FIRST_ASN = 64512
CONTROL_PORT = 30252
DAEMON_PORT = 30255
ROUTER_PORT = 30042
LINK_PORT = 50000
TOPOLOGIES = ("parallel", "leaf", "diamond", "local")
MAX_LINKS = 99  # link ids, and the interface ids 100 + id, stay apart

# IP and UDP header: what a SCION packet needs beyond its own size
OVERHEAD = {"ipv4": 28, "ipv6": 48}


@dataclass
class Host:
    name: str
    netns: str
    address: str
    mac: str
    asys: "AutonomousSystem" = field(repr=False)


@dataclass
class AutonomousSystem:
    asn: int
    core: bool
    netns: str
    address: str
    hosts: list = field(default_factory=list)
    interfaces: list = field(default_factory=list)  # of (Link, End)

    @property
    def isd_as(self):
        return f"{ISD}-{self.asn}"


@dataclass
class End:
    asys: AutonomousSystem = field(repr=False)
    interface: int
    address: str
    mac: str
    link_to: str  # what the AS at the other end is to this one


@dataclass
class Link:
    id: int
    device: str  # the name of the veth, the same at both ends
    mtu: int
    rate: str
    ends: tuple  # (a, b)

    def other(self, end):
        return self.ends[1] if end is self.ends[0] else self.ends[0]


@dataclass
class Topology:
    name: str
    kind: str
    underlay: str
    mtu: int
    links_wanted: int
    ases: list = field(default_factory=list)
    links: list = field(default_factory=list)

    @property
    def hosts(self):
        return [h for a in self.ases for h in a.hosts]

    @property
    def prefix_len(self):
        return 32 if self.underlay == "ipv4" else 128

    @property
    def overhead(self):
        return OVERHEAD[self.underlay]

    @property
    def netns_names(self):
        return [a.netns for a in self.ases] + [h.netns for h in self.hosts]

    def paths_expected(self):
        """Number of paths from an AS with hosts to another one."""
        n = self.links_wanted
        return {
            "parallel": n,
            "leaf": n * n,
            # over one core, over the other, and twice over both
            "diamond": 4 * n * n,
            "local": 1,
        }[self.kind]

    def pairs(self):
        """The (source AS, destination AS) that must find paths."""
        ends = [a for a in self.ases if a.hosts]
        if len(ends) == 1:
            return [(ends[0], ends[0])]
        return [(a, b) for a in ends for b in ends if a is not b]

    def endpoint(self, address, port):
        return f"{address}:{port}" if self.underlay == "ipv4" else f"[{address}]:{port}"


def netns_pattern(name):
    """Matches exactly the namespaces that belong to the lab of this name."""
    return re.compile(rf"lab-{re.escape(name)}-(as\d+|h\d+)")


def rate_bits(rate):
    """Bits per second of a rate as tc writes it, None for none."""
    if rate == "none":
        return None
    m = re.fullmatch(r"(\d+(?:\.\d+)?)(|k|m|g)bit", rate.lower())
    if not m or float(m[1]) <= 0:
        raise LabError(f"{rate!r} is not a rate; examples: 20mbit, 500kbit, none")
    return int(float(m[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[m[2]])


def check_mtu(mtu, underlay, kind):
    # IPv6 does not run on a link of less than 1280 bytes; 576 is what IPv4 hosts must take. The
    # buffers of the router hold 8488 bytes of packet; between hosts of one AS there is no router.
    lowest = 1280 - OVERHEAD["ipv6"] if underlay == "ipv6" else 576 - OVERHEAD["ipv4"]
    highest = 65535 - OVERHEAD[underlay] if kind == "local" else 8488
    if not lowest <= mtu <= highest:
        raise LabError(f"MTU {mtu} is not between {lowest} and {highest} ({underlay} underlay)")


class _Builder:
    def __init__(self, topo, hosts_per_as, rate, link_mtu, link_rate):
        self.topo = topo
        self.hosts_per_as = hosts_per_as
        self.rate = rate
        self.link_mtu = link_mtu
        self.link_rate = link_rate
        self.hosts = 0

    def _address(self, net, host):
        if self.topo.underlay == "ipv4":
            return f"10.{net}.0.{host}"
        return f"fd00:{net}::{host:x}"

    def add_as(self, n, core=False, hosts=False):
        t = self.topo
        asn = FIRST_ASN + n
        a = AutonomousSystem(asn, core, f"lab-{t.name}-as{asn}", self._address(12 + n, 1))
        for i in range(self.hosts_per_as if hosts else 0):
            self.hosts += 1
            a.hosts.append(Host(f"h{self.hosts}", f"lab-{t.name}-h{self.hosts}",
                                self._address(12 + n, 2 + i), f"02:00:00:{12 + n:02x}:00:{2 + i:02x}", a))
        t.ases.append(a)
        return a

    def add_links(self, a, b, a_to_b, count):
        t = self.topo
        back = {"core": "core", "child": "parent", "parent": "child"}[a_to_b]
        for _ in range(count):
            i = len(t.links) + 1
            ends = []
            for nr, (asys, to) in enumerate([(a, a_to_b), (b, back)], 1):
                addr = f"10.20.{i}.{nr}" if t.underlay == "ipv4" else f"fd00:20:{i}::{nr}"
                ends.append(End(asys, i if nr == 1 else 100 + i, addr, f"02:00:01:00:{i:02x}:{nr:02x}", to))
            link = Link(i, f"l{i}", self.link_mtu.pop(i, t.mtu), self.link_rate.pop(i, self.rate),
                        tuple(ends))
            t.links.append(link)
            a.interfaces.append((link, ends[0]))
            b.interfaces.append((link, ends[1]))


def build(name, kind, links=3, rate="none", mtu=None, underlay="ipv4", hosts_per_as=None,
          link_mtu=None, link_rate=None):
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise LabError(f"{name!r} cannot be the name of a lab: up to 32 of a-z, 0-9 and -")
    if kind not in TOPOLOGIES:
        raise LabError(f"no topology {kind!r}; there are {', '.join(TOPOLOGIES)}")
    if mtu is None:
        mtu = 1500 - OVERHEAD[underlay]
    if hosts_per_as is None:
        hosts_per_as = 2 if kind == "local" else 1
    if not 1 <= hosts_per_as <= 200:
        raise LabError("between 1 and 200 hosts per AS")
    if kind == "diamond" and links is None:
        links = 1
    if links is None:
        links = 3
    link_count = {"parallel": links, "leaf": 2 * links, "diamond": 4 * links + 1, "local": 0}[kind]
    if links < 1 or link_count > MAX_LINKS:
        raise LabError(f"--links {links}: at least 1, and at most {MAX_LINKS} links in the whole lab")
    link_mtu, link_rate = dict(link_mtu or {}), dict(link_rate or {})
    for m in [mtu, *link_mtu.values()]:
        check_mtu(m, underlay, kind)
    for r in [rate, *link_rate.values()]:
        rate_bits(r)

    topo = Topology(name, kind, underlay, mtu, links)
    b = _Builder(topo, hosts_per_as, rate, link_mtu, link_rate)
    if kind == "parallel":
        left, right = b.add_as(0, core=True, hosts=True), b.add_as(1, core=True, hosts=True)
        b.add_links(left, right, "core", links)
    elif kind == "leaf":
        core = b.add_as(0, core=True)
        left, right = b.add_as(1, hosts=True), b.add_as(2, hosts=True)
        b.add_links(left, core, "parent", links)
        b.add_links(core, right, "child", links)
    elif kind == "diamond":
        up, down = b.add_as(0, core=True), b.add_as(1, core=True)
        left, right = b.add_as(2, hosts=True), b.add_as(3, hosts=True)
        b.add_links(left, up, "parent", links)
        b.add_links(up, right, "child", links)
        b.add_links(left, down, "parent", links)
        b.add_links(down, right, "child", links)
        b.add_links(up, down, "core", 1)
    else:
        b.add_as(0, core=True, hosts=True)

    unknown = sorted(set(link_mtu) | set(link_rate))
    if unknown:
        raise LabError(f"there is no link {unknown[0]}, only 1 to {len(topo.links)}")
    return topo
