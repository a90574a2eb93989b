# SPDX-License-Identifier: Apache-2.0
"""Packets for routers, good and bad: what tests/system/test_routers.py sends through real and emulated ones.

A case is a name and a packet, which carries the number of the case as its flow id: routers keep it, also in
their answers, so what comes out of them can be told apart.
"""

import ipaddress
import random
import struct

from labnet.hopfields import Segment, as_number

UDP, TCP, HBH, E2E, SCMP, BFD = 17, 6, 200, 201, 202, 203
EMPTY, SCION, ONE_HOP, EPIC = 0, 1, 2, 3
SOURCE_PORT, PORT, ENDHOST_PORT, CLOSED_PORT = 31000, 31001, 30041, 31999
ALERT_EGRESS, ALERT_INGRESS = 1, 2
CONS_DIR, PEERING = 1, 2
SVC, ODD_TYPE = 4, 5
MUTATIONS = 250


class RawPath:
    """A raw path taken apart."""

    def __init__(self, raw):
        self.meta = struct.unpack(">I", raw[:4])[0]
        lengths = [self.meta >> 12 & 63, self.meta >> 6 & 63, self.meta & 63]
        count = sum(1 for n in lengths if n)
        self.infos = [bytearray(raw[4 + 8 * i:12 + 8 * i]) for i in range(count)]
        at = 4 + 8 * count
        self.hops = [bytearray(raw[at + 12 * i:at + 12 * i + 12]) for i in range(sum(lengths))]

    def raw(self):
        return struct.pack(">I", self.meta) + b"".join(self.infos) + b"".join(self.hops)


def changed(raw, change):
    path = RawPath(raw)
    change(path)
    return path.raw()


def set_hop(i, at, *values):
    def change(path):
        path.hops[i][at:at + len(values)] = bytes(values)
    return change


def set_info(i, at, *values):
    def change(path):
        path.infos[i][at:at + len(values)] = bytes(values)
    return change


def set_meta(value, mask):
    def change(path):
        path.meta = path.meta & ~mask | value
    return change


def host_bytes(address):
    return ipaddress.ip_address(address).packed


def host_type(packed):
    return 0 if len(packed) == 4 else 3


def udp(data=b"payload", source=SOURCE_PORT, port=PORT):
    return struct.pack(">HHHH", source, port, 8 + len(data), 0x1234) + data


def scmp(kind, body, code=0):
    return struct.pack(">BBH", kind, code, 0x5678) + body


def identified(identifier=SOURCE_PORT):
    return struct.pack(">HH", identifier, 7)


TRACEROUTE = scmp(130, identified() + bytes(16))


def packet(flow, source, destination, path, payload, next_header=UDP, **other):
    """source, destination: (ISD-AS as a number, host bytes); other: fields that are to be wrong."""
    (src_ia, src), (dst_ia, dst) = source, destination
    types = other.get("dst_type", host_type(dst)) << 4 | other.get("src_type", host_type(src))
    size = 28 + len(dst) + len(src) + len(path)
    return struct.pack(">IBBHBBHQQ", other.get("traffic_class", 0) << 20 | flow, next_header,
                       other.get("hdr_len", size // 4), other.get("payload_len", len(payload)) & 0xffff,
                       other.get("path_type", SCION), types, other.get("reserved", 0), dst_ia, src_ia) \
        + dst + src + path + payload


class Cases:
    """cases: [(name, place that sends, packet)]; the flow id of a packet is its index and 1."""

    def __init__(self, topo, places, segments, age):
        """places: {AS number: host address in it}; segments: labnet.hopfields.Segments"""
        self.topo, self.segments, self.age = topo, segments, age
        self.places = places
        self.ases = {a.asn: a for a in topo.ases}
        self.cases = []

    def end(self, asn):
        return as_number(self.ases[asn]), host_bytes(self.places[asn])

    def add(self, name, source, destination, path, payload=None, **fields):
        flow = len(self.cases) + 1
        payload = udp(b"case %d" % flow) if payload is None else payload
        source_end = fields.pop("source_end", self.end(source))
        destination_end = fields.pop("destination_end", None) or self.end(destination)
        extra = fields.pop("extra", b"")
        self.cases.append((f"{name} {source}>{destination}", source,
                           packet(flow, source_end, destination_end, path, payload, **fields) + extra))

    def paths(self, source, destination):
        return [p.raw for p in self.segments.paths(self.ases[source], self.ases[destination], self.age)]

    def pairs(self):
        return [(a, b) for a in self.places for b in self.places if a != b]

    def add_all(self, seed):
        for source, destination in self.pairs():
            paths = self.paths(source, destination)
            for raw in paths:
                self.on_every_path(source, destination, raw)
            self.wrong_paths(source, destination, paths[-1])
        ends = self.ends_of_longest()
        self.wrong_headers(*ends)
        self.extensions(*ends)
        self.messages(*ends)
        self.special_segments()
        self.mutated(*ends, random.Random(seed))

    def ends_of_longest(self):
        """(source, destination, path): of three segments if there are such"""
        return max(((a, b, raw) for a, b in self.pairs() for raw in self.paths(a, b)), key=lambda x: len(x[2]))

    def on_every_path(self, source, destination, raw):
        self.add("UDP", source, destination, raw)
        self.add("echo request", source, destination, raw, scmp(128, identified() + b"data"), next_header=SCMP)
        self.add("traceroute request without alert", source, destination, raw, TRACEROUTE, next_header=SCMP)
        for i in range(len(RawPath(raw).hops)):
            for alert in ALERT_EGRESS, ALERT_INGRESS, ALERT_EGRESS | ALERT_INGRESS:
                self.add(f"traceroute hop {i} alert {alert}", source, destination, changed(raw, set_hop(i, 0, alert)),
                         TRACEROUTE, next_header=SCMP)

    def wrong_paths(self, source, destination, raw):
        path = RawPath(raw)

        def add(name, change, **fields):
            self.add(name, source, destination, changed(raw, change), **fields)

        for i, hop in enumerate(path.hops):
            add(f"hop {i} MAC", set_hop(i, 6, hop[6] ^ 1))
            add(f"hop {i} last byte of MAC", set_hop(i, 11, hop[11] ^ 1), payload=udp(bytes(1300)))
            add(f"hop {i} other ExpTime", set_hop(i, 1, 5))
            add(f"hop {i} other ingress", set_hop(i, 2, 0, 77))
            add(f"hop {i} other egress", set_hop(i, 4, 0, 78))
            add(f"hop {i} reserved flags", set_hop(i, 0, 0xfc))
            add(f"hop {i} reserved flags, alert, UDP", set_hop(i, 0, 0xff))
            add(f"hop {i} current", set_meta(i << 24, 63 << 24))
        for i, info in enumerate(path.infos):
            add(f"info {i} expired", set_info(i, 4, 0, 0, 0, 1), traffic_class=0xb8)
            add(f"info {i} other direction", set_info(i, 0, info[0] ^ CONS_DIR))
            add(f"info {i} peering", set_info(i, 0, info[0] | PEERING))
            add(f"info {i} SegID", set_info(i, 2, info[2] ^ 0x80))
            add(f"info {i} reserved", set_info(i, 0, info[0] | 0xf0, 0xff))
            add(f"info {i} current", set_meta(i << 30, 3 << 30))
        add("meta reserved", set_meta(63 << 18, 63 << 18))
        add("meta reserved, first MAC", lambda p: (set_meta(63 << 18, 63 << 18)(p), set_hop(0, 6, 0)(p)))
        add("meta reserved, last MAC", lambda p: (set_meta(63 << 18, 63 << 18)(p), set_hop(-1, 6, 0, 0, 0)(p)))
        for lengths in ((0, 0, 0), (1, 1, 0), (0, 2, 0), (2, 0, 2), (63, 63, 63), (1, 0, 0), (3, 1, 0)):
            value = lengths[0] << 12 | lengths[1] << 6 | lengths[2]
            add(f"segments {lengths}", set_meta(value, 0x3ffff))
        self.add("bytes behind the path", source, destination, raw + bytes(8))
        self.add("path cut off", source, destination, raw[:-4])

    def wrong_headers(self, source, destination, raw):
        (src_ia, src), (dst_ia, dst) = self.end(source), self.end(destination)
        other_ia = as_number(next(a for a in self.topo.ases if a.asn not in (source, destination)))
        v6, mapped = host_bytes("2001:db8::7"), host_bytes("::ffff:10.1.2.3")

        def add(name, **fields):
            self.add(name, source, destination, raw, **fields)

        for name, end in (("other source AS", (other_ia, src)), ("source AS of destination", (dst_ia, src)),
                          ("IPv6 source", (src_ia, v6)), ("mapped source", (src_ia, mapped))):
            add(name, source_end=end)
        add("odd source type", src_type=ODD_TYPE, source_end=(src_ia, bytes(8)))
        for name, end in (("own AS", (src_ia, dst)), ("AS on the way", (other_ia, dst)),
                          ("unknown AS", (1 << 48 | 65000, dst)), ("unspecified", (dst_ia, bytes(len(dst)))),
                          ("mapped", (dst_ia, mapped))):
            add(f"destination {name}", destination_end=end)
        add("destination of odd type", destination_end=(dst_ia, bytes(8)), dst_type=ODD_TYPE)
        for service in 1, 0x10, 0xffff:
            add(f"destination service {service}", destination_end=(dst_ia, struct.pack(">HH", service, 0)), dst_type=SVC)
        for kind in EMPTY, ONE_HOP, 4, 9:
            add(f"path type {kind}", path_type=kind)
        for delta in -1, 1, 100:
            add(f"PayloadLen {delta:+}", payload_len=15 + delta, payload=udp(b"1234567"))
        add("a byte behind the packet", extra=b"x")
        add("HdrLen too small", hdr_len=9)
        add("HdrLen too large", hdr_len=255)
        add("HdrLen 0", hdr_len=0)
        add("reserved", reserved=0xffff)
        add("version", traffic_class=0xf00)
        add("traffic class", traffic_class=0xff)
        for size in 1, 8, 500, 1300:
            add(f"UDP of {size} bytes", payload=udp(bytes(size)))
        add("closed port", payload=udp(port=CLOSED_PORT))
        add("short UDP", payload=udp()[:7])
        add("TCP", payload=udp() + bytes(20), next_header=TCP)
        add("short TCP", payload=udp(b"")[:8] + bytes(11), next_header=TCP)
        for proto in BFD, 253, 254, 0, 59, 99, 255:
            add(f"next header {proto}", next_header=proto)
        add("more than a router takes", payload=udp(bytes(8600)))
        add("nothing", payload=b"")

    def extensions(self, source, destination, raw):
        def extension(following, size=4, length=None):
            return bytes([following, size // 4 - 1 if length is None else length]) + b"\1" + bytes(size - 3)

        def add(name, first, *parts):
            self.add(name, source, destination, raw, b"".join(parts), next_header=first)
            bad = changed(raw, set_hop(-1, 6, 1, 2, 3))
            self.add(name + ", last MAC", source, destination, bad, b"".join(parts), next_header=first)

        add("HBH", HBH, extension(UDP), udp())
        add("E2E", E2E, extension(UDP, 12), udp())
        add("HBH, E2E", HBH, extension(E2E, 8), extension(UDP), udp())
        add("E2E, HBH", E2E, extension(HBH), extension(UDP), udp())
        add("HBH twice", HBH, extension(HBH), extension(UDP), udp())
        add("E2E twice", E2E, extension(E2E), extension(UDP), udp())
        add("HBH too long", HBH, extension(UDP, 4, 200), udp())
        add("HBH cut off", HBH, b"\x11")
        add("HBH, SCMP error", HBH, extension(SCMP), scmp(5, bytes(16) + b"quote"))

    def messages(self, source, destination, raw):
        sent = packet(0xfffff, self.end(destination), self.end(source), raw, udp(bytes(30)))
        asked = packet(0xffffe, self.end(destination), self.end(source), raw, scmp(128, identified()), SCMP)
        traced = packet(0xffffd, self.end(destination), self.end(source), raw, TRACEROUTE, SCMP)
        replied = packet(0xffffc, self.end(destination), self.end(source), raw, scmp(129, identified()), SCMP)
        refused = packet(0xffffb, self.end(destination), self.end(source), raw, scmp(5, bytes(16)), SCMP)
        bad = changed(raw, set_hop(-1, 6, 1, 2, 3))

        def add(name, payload):
            self.add(name, source, destination, raw, payload, next_header=SCMP)
            self.add(name + ", last MAC", source, destination, bad, payload, next_header=SCMP)

        for kind, block in (1, 4), (2, 4), (4, 4), (5, 16), (6, 24), (3, 4), (100, 4), (127, 4), (200, 4):
            add(f"SCMP {kind}", scmp(kind, bytes(block) + sent, 3))
        header = len(raw) + 28 + 2 * len(self.end(source)[1])
        for name, quote in (("echo", asked), ("traceroute", traced), ("reply", replied), ("error", refused),
                            ("8 bytes of UDP", sent[:header + 8]), ("7 bytes of UDP", sent[:header + 7]),
                            ("half a header", sent[:40]), ("nothing", b""), ("port 0", sent[:header] + bytes(38)),
                            ("cut echo", asked[:-1]), ("cut traceroute", traced[:-1])):
            add(f"SCMP error quoting {name}", scmp(5, bytes(16) + quote))
        add("SCMP short", scmp(128, b"")[:3])
        add("SCMP error short", scmp(5, bytes(15)))
        add("echo reply", scmp(129, identified() + b"data"))
        add("echo reply short", scmp(129, b"\0\0\0"))
        add("traceroute reply", scmp(131, identified() + bytes(16)))
        add("traceroute reply short", scmp(131, identified() + bytes(15)))
        alert = changed(raw, lambda p: [set_hop(i, 0, 3)(p) for i in range(len(p.hops))])
        for name, payload in (("echo", scmp(128, identified())), ("code 1", scmp(130, identified() + bytes(16), 1)),
                              ("short", TRACEROUTE[:-1]), ("error", scmp(5, bytes(16) + sent))):
            self.add(f"alert, {name}", source, destination, alert, payload, next_header=SCMP)

    def built(self, *parts):
        """A path of segments that no control service would make: (hops in construction direction, flags)"""
        lengths, infos, fields = [], b"", b""
        for hops, flags in parts:
            hop_fields, betas = self.segments._hop_fields(  # pylint: disable=protected-access
                Segment([(self.ases[asn], i, e) for asn, i, e in hops], []), self.age)
            cons_dir = flags & CONS_DIR
            lengths.append(len(hops))
            infos += struct.pack(">BBHI", flags, 0, betas[0 if cons_dir else -1], self.age.timestamp)
            fields += b"".join(hop_fields if cons_dir else reversed(hop_fields))
        lengths += [0] * (3 - len(lengths))
        return struct.pack(">I", lengths[0] << 12 | lengths[1] << 6 | lengths[2]) + infos + fields

    def special_segments(self):
        """In the diamond: links 1 and 2 from 64514 and 64515 to 64512, 3 and 4 to 64513, 5 between those."""
        down = [(64512, 0, 2), (64515, 102, 0)]
        add = self.add
        add("valley: down, up", 64512, 64513, self.built(
            (down, CONS_DIR), ([(64513, 0, 4), (64515, 104, 0)], 0)))
        add("from parent to parent in a segment", 64512, 64513, self.built(
            ([(64512, 0, 2), (64515, 102, 104), (64513, 4, 0)], CONS_DIR)))
        add("unknown egress at the first AS", 64512, 64515, self.built(
            ([(64512, 0, 77), (64515, 102, 0)], CONS_DIR)))
        add("unknown egress at the second AS", 64514, 64515, self.built(
            ([(64514, 0, 1), (64512, 101, 77), (64515, 102, 0)], CONS_DIR)))
        add("unknown egress, other direction", 64514, 64515, self.built(
            ([(64515, 0, 102), (64512, 77, 101), (64514, 1, 0)], 0)))
        add("from child to core in a segment", 64514, 64513, self.built(
            ([(64514, 0, 1), (64512, 101, 5), (64513, 105, 0)], CONS_DIR)))
        add("up and down over one AS of the core", 64514, 64515, self.built(
            ([(64512, 0, 101), (64514, 1, 0)], 0), (down, CONS_DIR)))
        add("core, core", 64514, 64513, self.built(
            ([(64512, 0, 101), (64514, 1, 0)], 0), ([(64513, 0, 105), (64512, 5, 0)], 0)))
        for flags in (PEERING, PEERING), (PEERING, 0), (0, PEERING):
            add(f"as if peering {flags}", 64514, 64515, self.built(
                ([(64512, 0, 101), (64514, 1, 0)], flags[0]), (down, CONS_DIR | flags[1])))
        add("as if peering, one hop each", 64512, 64513, self.built(
            ([(64512, 5, 0)], PEERING), ([(64513, 105, 0)], PEERING | CONS_DIR)))
        add("egress 0 on the way", 64514, 64515, self.built(
            ([(64514, 0, 1), (64512, 101, 0), (64515, 102, 0)], CONS_DIR)))
        add("long", 64514, 64515, self.built(
            ([(64514, 0, 1), *[(64512, 101, 2)] * 20, (64515, 102, 0)], CONS_DIR)))

    def mutated(self, source, destination, raw, rng):
        """Bytes at random places behind the flow id, but no service as the source: real routers end with that."""
        while rng and len([1 for name, _, _ in self.cases if name.startswith("mutation")]) < MUTATIONS:
            flow = len(self.cases) + 1
            good = packet(flow, self.end(source), self.end(destination), raw,
                          rng.choice((udp(), TRACEROUTE)), rng.choice((UDP, SCMP)))
            bad = bytearray(good)
            for _ in range(rng.randint(1, 3)):
                bad[rng.randrange(4, len(bad))] = rng.randrange(256)
            if bad[9] & 15 != SVC:
                self.cases.append((f"mutation {flow}", source, bytes(bad)))
