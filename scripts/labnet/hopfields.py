# SPDX-License-Identifier: Apache-2.0
"""Path segments with valid hop fields, and paths made of them: what beacons and control services do.

    key(master)                      the key of an AS for its hop fields
    Segments(topo, keys).paths(...)  all paths from one AS to another, as the SCION daemon would give them

Segments are those of the topologies of the lab: from a core AS down over links to children, or from
core AS to core AS. There is no peering.
"""

import ctypes
import hashlib
import struct
from dataclasses import dataclass

from .topology import ISD, ROUTER_PORT

HOP_KEY_SALT = b"Derive OF Key"
EXP_TIME_UNIT_S = 86400 / 256


def as_number(asys):
    return ISD << 48 | asys.asn


# ---- AES-CMAC of one block, by libcrypto ----

class HopKey:
    def __init__(self, master):
        self._crypto = ctypes.CDLL("libcrypto.so.3")
        self._key = ctypes.create_string_buffer(512)  # AES_KEY takes 244
        raw = hashlib.pbkdf2_hmac("sha256", master, HOP_KEY_SALT, 1000, 16)
        if self._crypto.AES_set_encrypt_key(raw, 128, self._key) != 0:
            raise ValueError("no AES key")
        doubled = int.from_bytes(self._encrypt(bytes(16)), "big") << 1
        self._subkey = doubled & (1 << 128) - 1 ^ (0x87 if doubled >> 128 else 0)

    def _encrypt(self, block):
        out = ctypes.create_string_buffer(16)
        self._crypto.AES_encrypt(block, out, self._key)
        return out.raw

    def mac(self, beta, timestamp, exp_time, cons_ingress, cons_egress):
        block = struct.pack(">HHIBBHHH", 0, beta, timestamp, 0, exp_time, cons_ingress, cons_egress, 0)
        return self._encrypt((int.from_bytes(block, "big") ^ self._subkey).to_bytes(16, "big"))[:6]


# ---- segments ----

@dataclass
class Segment:
    """In construction direction: [(AS, interface it is entered by, interface it is left by)]."""
    hops: list
    links: list

    def serial(self):
        return repr([(a.asn, i, e) for a, i, e in self.hops]).encode()


def _walk(asys, link_to, wanted, seen=()):
    """All ways from an AS over links of one kind to the next that is wanted: [[(link, end here, end there)]]."""
    if wanted(asys):
        return [[]]
    return [[(link, end, link.other(end)), *rest] for link, end in asys.interfaces
            if end.link_to == link_to and link.other(end).asys not in seen
            for rest in _walk(link.other(end).asys, link_to, wanted, (*seen, asys))]


def _segment(steps):
    """Of a way from where a segment ends to where it begins."""
    if not steps:
        return None
    hops, entered = [], 0
    for _, near, far in reversed(steps):
        hops.append((far.asys, entered, far.interface))
        entered = near.interface
    hops.append((steps[0][1].asys, entered, 0))
    return Segment(hops, [link for link, _, _ in steps])


def up_segments(asys):
    """From the core to an AS; [None] for a core AS."""
    return [_segment(w) for w in _walk(asys, "parent", lambda a: a.core)]


def core_segments(start, end):
    """As the AS that starts uses them: constructed from the other end. [None] if both are one."""
    return [_segment(w) for w in _walk(start, "core", lambda a: a is end)]


# ---- paths ----

@dataclass
class Path:
    raw: bytes
    next_hop: str
    interfaces: list  # of (ISD-AS as a number, interface id), two for each link
    mtu: int
    expiration: int


@dataclass
class Age:
    """Of the segments: when they were made, and how long each hop field is good."""
    timestamp: int
    exp_time: int

    @property
    def expiration(self):
        return int(self.timestamp + (1 + self.exp_time) * EXP_TIME_UNIT_S)


class Segments:
    def __init__(self, topo, keys):
        """keys: {AS number: HopKey}"""
        self.topo = topo
        self.keys = keys

    def _hop_fields(self, segment, age):
        """Hop fields in construction direction, and the accumulators that their MACs were made with."""
        # another one for each segment, and the same at both ends
        beta = int.from_bytes(hashlib.sha256(segment.serial() + struct.pack(">I", age.timestamp)).digest()[:2], "big")
        fields, betas = [], []
        for asys, entered, left in segment.hops:
            mac = self.keys[asys.asn].mac(beta, age.timestamp, age.exp_time, entered, left)
            fields.append(struct.pack(">BBHH", 0, age.exp_time, entered, left) + mac)
            betas.append(beta)
            beta ^= int.from_bytes(mac[:2], "big")
        return fields, betas

    def _path(self, up, core, down, age):
        lengths, infos, fields, interfaces, links, ases = [], b"", [], [], [], []
        for segment, cons_dir in ((up, False), (core, False), (down, True)):
            if not segment:
                continue
            hop_fields, betas = self._hop_fields(segment, age)
            hops = segment.hops
            if not cons_dir:
                hop_fields.reverse()
                hops = [(a, left, entered) for a, entered, left in reversed(hops)]
            lengths.append(len(hops))
            infos += struct.pack(">BBHI", cons_dir, 0, betas[0 if cons_dir else -1], age.timestamp)
            fields += hop_fields
            links += segment.links
            for i, (asys, entered, left) in enumerate(hops):
                ases.append(asys)
                interfaces += [(as_number(asys), entered)] if i else []
                interfaces += [(as_number(asys), left)] if i + 1 < len(hops) else []
        lengths += [0] * (3 - len(lengths))
        visited = [a.asn for i, a in enumerate(ases) if not i or ases[i - 1] is not a]
        if len(visited) != len(set(visited)):
            return None
        meta = struct.pack(">I", lengths[0] << 12 | lengths[1] << 6 | lengths[2])
        return Path(meta + infos + b"".join(fields), self.topo.endpoint(ases[0].address, ROUTER_PORT), interfaces,
                    min([self.topo.mtu, *(link.mtu for link in links)]), age.expiration)

    def paths(self, source, destination, age):
        """All paths between two ASes, those with the fewest hops first."""
        if source is destination:
            return [Path(b"", "", [], self.topo.mtu, age.timestamp + 86400)]
        found = []
        for up in up_segments(source):
            for down in up_segments(destination):
                first = up.hops[0][0] if up else source
                last = down.hops[0][0] if down else destination
                for core in core_segments(first, last):
                    found.append(self._path(up, core, down, age))
        return sorted((p for p in found if p), key=lambda p: (len(p.interfaces), p.interfaces))
