# SPDX-License-Identifier: Apache-2.0
"""Speaks SCION/UDP and the backbone protocol from any underlay socket, under any SCION address.

Builders are those of the test vectors (tests/vectors), which share no code with the daemon. In the lab
`local` there is no router in between: what the packet says about its source is what the daemon believes,
and its answers come to the socket that sent.

    i = Injector("/run/netns/...", "10.12.0.2", source=("1-64512", "10.12.0.2"), target=("1-64512", "10.12.0.3"))
    i.send(31654, frame(PROBE, be32(1), be64(2)))
    print(i.receive())
"""

import ctypes
import os
import select
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "vectors"))
import make_frame as mf  # noqa: E402
import make_scion as ms  # noqa: E402
from make_frame import (ACCEPT, ACK, ALIVE, CLOSE, DATA, DATAGRAM, DGRAM, FIN, FRAG, HELLO, HELLO_ACK, LAST,  # noqa: E402,F401
                        MAIN, OPEN, PLAIN, PROBE, PROBE_REPLY, PSH, REJECT, RST, SUB, SYN, UNKNOWN, URG,
                        address, ip_packet, udp_packet)

CLONE_NEWNET = 0x40000000
UDP_HDR = 8
NO_NAME = (0, 0)


def socket_in(netns, family, kind=socket.SOCK_DGRAM):
    """A socket of another network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as here, open(netns, "rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {netns}")
        try:
            return socket.socket(family, kind)
        finally:
            libc.setns(here.fileno(), CLONE_NEWNET)


# ---- frames ----

def frame(kind, *parts, to=NO_NAME, flags=0, epoch=0, version=1, req=0, ans=0):
    """A frame header and what follows; `to` is the (flow id, tag) of the receiver."""
    return struct.pack(">BBBxBBHI", version << 4 | kind, flags, epoch, req, ans, to[1], to[0]) + b"".join(parts)


def name(n):
    return struct.pack(">IH", *n)


def thin(seq, ack, flags, window=64240, options=b"", urgent=0, offset=None):
    words = 5 + len(options) // 4 if offset is None else offset
    out = struct.pack(">IIBBH", seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 4, flags, window)
    return out + (struct.pack(">HH", urgent, 0) if flags & URG else b"") + options


def hello(kind=HELLO, cookie=1, ports=(31000,), workers=None, versions=(1, 1), boot_id=7, max_flows=0):
    return frame(kind, struct.pack(">BBBxIIQQ", *versions, len(ports) if workers is None else workers, 0, max_flows,
                                   boot_id, cookie), struct.pack(f">{len(ports)}H", *ports), bytes(16 - 2 * len(ports)))


def open_frame(sender, ports, body=None, kind=PLAIN, proto=6, src="10.7.9.9", dst="0.0.0.0", mtu=1472, epoch=0,
               seq=1000, options=b"", pad=True, size=None, body_len=None):
    """An OPEN; without a body: a SYN for TCP, nothing else for the rest."""
    if body is None:
        body = thin(seq, 0, SYN, options=options) if proto == 6 else b""
    src, dst = address(src), address(dst)
    out = frame(OPEN, name(sender), struct.pack(">HBBBBHHHxx", mtu, kind, proto, len(src) if size is None else size,
                                                epoch, *ports, len(body) if body_len is None else body_len),
                src, dst, body, epoch=epoch)
    return out + bytes(max(0, mf.OPEN_MIN - len(out)) if pad else 0)


def probe(kind=PROBE, number=1, sent=2):
    return frame(kind, struct.pack(">IQ", number, sent))


def unknown(addressed, flow_id):
    return frame(UNKNOWN, struct.pack(">IIH", addressed[0], flow_id, addressed[1]))


def end(kind, to, sender, reason=0):
    return frame(kind, name(sender), bytes([reason, 0]), to=to)


def accept(to, sender, port=31000, body=b"", epoch=0):
    return frame(ACCEPT, name(sender), struct.pack(">H", port), body, to=to, epoch=epoch)


class Frame:
    """A received frame, taken apart as far as its names."""

    def __init__(self, data, src_port, dst_port, size):
        self.data, self.src_port, self.dst_port, self.size = data, src_port, dst_port, size
        self.version, self.type = data[0] >> 4, data[0] & 15
        self.flags, self.epoch, self.tag, self.flow_id = data[1], data[2], *struct.unpack(">HI", data[6:12])
        self.to = (self.flow_id, self.tag)
        self.body = data[12:]
        self.sender = self.port = None
        if self.type in (ACCEPT, REJECT, CLOSE):
            self.sender = struct.unpack(">IH", self.body[:6])
            self.port = struct.unpack(">H", self.body[6:8])[0]
            self.reason = self.body[6]

    def __repr__(self):
        return f"<type {self.type} of {self.size} bytes: {self.data.hex()}>"


class Injector:
    """One underlay socket. Counts the SCION packets that it sends and gets, in bytes."""

    def __init__(self, netns, address_, source, target, port=0):
        self.source, self.target = source, target
        family = socket.AF_INET6 if ":" in address_ else socket.AF_INET
        self.sock = socket_in(netns, family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind((address_, port))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]
        self.sent = self.got = self.packets_sent = self.packets_got = 0
        self.numbers = 0

    def close(self):
        self.sock.close()

    def packet(self, dst_port, data, source=None, target=None, src_port=None, path=None, flow=1, tc=0):
        p = ms.Packet(target or self.target, source or self.source, path, flow, tc)
        return ms.raw(p.udp(src_port or self.port, dst_port, data))

    def send_raw(self, port, packet):
        """To an underlay port of the target."""
        while True:
            try:
                self.sock.sendto(packet, (self.target[1], port))
                break
            except BlockingIOError:
                select.select([], [self.sock], [], 1)
        self.sent += len(packet)
        self.packets_sent += 1

    def send(self, port, data, **how):
        """A frame to a SCION/UDP port of the target, the same on the underlay."""
        self.send_raw(port, self.packet(port, data, **how))

    def receive(self, seconds=0.0, want=None, all_of_them=False):
        """What came, or comes within that time: frames. want: ends with the first of that type."""
        frames, until = [], time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            if not select.select([self.sock], [], [], max(0, left))[0]:
                return frames
            packet = self.sock.recv(1 << 16)
            self.got += len(packet)
            self.packets_got += 1
            head = packet[5] * 4
            if packet[4] == 17 and len(packet) >= head + UDP_HDR + 12:
                src, dst = struct.unpack(">HH", packet[head:head + 4])
                frames.append(Frame(packet[head + UDP_HDR:], src, dst, len(packet)))
                if want is not None and frames[-1].type == want and not all_of_them:
                    return frames

    def barrier(self, port, seconds=20.0, source=None):
        """What is in front of a PROBE to that port has been dealt with once its reply is there.

        Returns the frames that came besides; the PROBEs and their replies are not counted.
        """
        counts = self.sent, self.packets_sent
        self.numbers += 1
        number, frames, until = 0x5000000 + self.numbers, [], time.monotonic() + seconds
        self.send(port, probe(number=number), source=source)
        self.sent, self.packets_sent = counts
        while time.monotonic() < until:
            for f in self.receive(until - time.monotonic(), PROBE_REPLY):
                if f.type == PROBE_REPLY and struct.unpack(">I", f.body[:4])[0] == number:
                    self.got -= f.size
                    self.packets_got -= 1
                    return frames
                frames.append(f)
        raise TimeoutError(f"no answer from port {port} within {seconds} s; seen: {frames}")


def ip_of(data):
    """(protocol, source port, destination port, payload) of a UDP or ICMP packet over IPv4."""
    head = (data[0] & 15) * 4
    return data[9], *struct.unpack(">HH", data[head:head + 4]), data[head + 8:]


class TcpClient:
    """The TCP of a client that does as it is told: it has no timers and repeats nothing."""

    def __init__(self, injector, ports, index, contact, source=None, src="10.7.9.9", options=b"", kind=PLAIN):
        self.i, self.ports, self.contact, self.source, self.src = injector, ports, contact, source, src
        self.name = (index << 12 | 0x123, 0x4567)
        self.options, self.kind = options, kind
        self.seq, self.ack, self.peer, self.port = 1000, 0, None, None

    def open_bytes(self, **how):
        return open_frame(self.name, self.ports, seq=self.seq, src=self.src, options=self.options, kind=self.kind, **how)

    def open(self, seconds=20.0, port=None, **how):
        """Sends OPEN until the ACCEPT with the SYN/ACK is there (bare: any), and acknowledges it unless confirm=False."""
        confirm, bare = how.pop("confirm", True), how.pop("bare", False)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.i.send(port or self.contact, self.open_bytes(**how), source=self.source)
            for f in self.i.receive(0.3, ACCEPT):
                if f.type == REJECT:
                    return f
                if f.type != ACCEPT or f.to != self.name:
                    continue
                self.peer, self.port = f.sender, f.port
                if len(f.body) > 8:
                    self.ack = (struct.unpack(">I", f.body[8:12])[0] + 1) & 0xFFFFFFFF
                    self.seq += 1
                    if confirm:
                        self.data()
                    return f
                if bare:
                    return f
        raise TimeoutError("no ACCEPT")

    def data(self, payload=b"", flags=ACK, seq=None, ack=None, epoch=0, options=b"", **how):
        seq, ack = self.seq if seq is None else seq, self.ack if ack is None else ack
        how.setdefault("source", self.source)
        self.i.send(self.port, frame(DATA, thin(seq, ack, flags, options=options), payload, to=self.peer, epoch=epoch),
                    flow=self.name[0] >> 12, **how)

    def say(self, payload, seconds=20.0):
        """Sends it and returns the bytes of the answers up to the first pause after something came."""
        self.data(payload, ACK | PSH)
        self.seq += len(payload)
        out, until = b"", time.monotonic() + seconds
        while time.monotonic() < until:
            for f in self.i.receive(0.2 if out else 1.0):
                if f.type == DATA and f.to == self.name:
                    seq, offset = struct.unpack(">I", f.body[:4])[0], f.body[8] >> 4
                    data = f.body[12 + (offset - 5) * 4:]
                    if seq == self.ack and data:
                        out += data
                        self.ack = (self.ack + len(data)) & 0xFFFFFFFF
                        self.data()
            if out.endswith(b"\n"):
                return out
        return out
