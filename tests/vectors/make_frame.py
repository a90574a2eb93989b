#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes frame_*.hex: one frame of the backbone protocol each, as docs/protocol.md describes it.

Shares no code with the daemon, so that a mistake in one of them shows in tests/unit/wire/test_frame.c.

    make_frame.py            write
    make_frame.py --check    exit 1 if a file differs
"""

import ipaddress
import os
import struct
import sys

HELLO, HELLO_ACK, OPEN, ACCEPT, REJECT, ALIVE, DATA, DATAGRAM, PROBE, PROBE_REPLY, CLOSE, UNKNOWN = range(1, 13)
MAIN, SUB, PLAIN, DGRAM = range(1, 5)
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << i for i in range(8))
FRAG, LAST = 1, 2
OPEN_MIN = 76

CLIENT = (0x0000C7A5, 0x1B2C)  # flow id (index 12, 7a5 random), tag: how the server calls the client's flow
SERVER = (0x000223F1, 0x4D5E)  # index 34


class Frame:
    """Fields in order, each with the comment that will stand beside it."""

    def __init__(self, name, about):
        self.name, self.about, self.lines, self.data = name, about, [], b""

    def add(self, data, comment):
        self.lines.append((data, comment))
        self.data += data
        return self

    def be(self, fmt, comment, *values):
        return self.add(struct.pack(">" + fmt, *values), comment)

    def header(self, kind, word, to=(0, 0), flags=0, epoch=0, req=0, ans=0):
        self.be("BBBx", f"version 1, {word}; flags {flags:x}; epoch {epoch}; reserved", 0x10 | kind, flags, epoch)
        self.be("BBH", f"req {req}, ans {ans}, tag {to[1]:04x}", req, ans, to[1])
        return self.be("I", f"receiver's flow id: index {to[0] >> 12}" if to[0] else "no flow", to[0])

    def from_name(self, name):
        return self.be("IH", f"sender's flow id (index {name[0] >> 12}) and tag", *name)

    def thin(self, seq, ack, flags, window, options=b"", urgent=0):
        self.be("II", f"seq {seq}, ack {ack}", seq, ack)
        names = " ".join(n for i, n in enumerate("FIN SYN RST PSH ACK URG ECE CWR".split()) if flags >> i & 1)
        self.be("BBH", f"data offset {5 + len(options) // 4}; {names}; window {window}",
                (5 + len(options) // 4) << 4, flags, window)
        if flags & URG:
            self.be("HH", f"urgent pointer {urgent}, reserved", urgent, 0)
        for start, end, text in split_options(options):
            self.add(options[start:end], text)
        return self

    def text(self):
        lines = [f"# {self.about}", "# Made by tests/vectors/make_frame.py.", ""]
        for data, comment in self.lines:
            for i in range(0, len(data), 16):
                text = data[i:i + 16].hex(" ", -4)
                lines.append(text if i else f"{text:<36} # {comment}")
        return "\n".join(lines) + "\n"


def split_options(options):
    names = {0: "end of options", 1: "NOP", 2: "MSS", 3: "window scale", 4: "SACK permitted", 8: "timestamps",
             30: "MPTCP", 34: "fast open"}
    at = 0
    while at < len(options):
        size = 1 if options[at] < 2 else options[at + 1]
        yield at, at + size, names[options[at]]
        at += size


def address(text):
    return ipaddress.ip_address(text).packed


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ip_packet(src, dst, proto, layer4, csum_at, ttl=64):
    src, dst = address(src), address(dst)
    pseudo = b"" if proto == 1 else src + dst + struct.pack(">II", len(layer4), proto)
    csum = struct.pack(">H", checksum(pseudo + layer4))
    layer4 = layer4[:csum_at] + csum + layer4[csum_at + 2:]
    if len(src) == 16:
        return struct.pack(">IHBB", 6 << 28, len(layer4), proto, ttl) + src + dst + layer4
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(layer4), 0x1234, 0x4000, ttl, proto, 0) + src + dst
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + layer4


def udp_packet(src, dst, src_port, dst_port, data):
    return ip_packet(src, dst, 17, struct.pack(">HHHH", src_port, dst_port, 8 + len(data), 0) + data, 6)


def open_frame(name, about, src, dst, ports, kind, proto, body, mtu=1472, epoch=0, born=40321):
    f = Frame(name, about).header(OPEN, "OPEN", epoch=epoch)
    f.from_name(CLIENT).be("H", f"MTU of the path: {mtu}", mtu)
    words = {MAIN: "main flow", SUB: "subflow", PLAIN: "plain TCP", DGRAM: "datagrams"}
    src, dst = address(src), address(dst)
    inner = Frame("", "")
    body(inner)
    f.be("BBBB", f"{words[kind]}; protocol {proto}; addresses of {len(src)} bytes; epoch {epoch}", kind, proto,
         len(src), epoch)
    f.be("HH", f"ports {ports[0]}, {ports[1]}", *ports)
    f.be("HH", f"body of {len(inner.data)} bytes; made at ..{born} ms", len(inner.data), born)
    f.add(src, "inner source").add(dst, "inner destination" if any(dst) else "the receiver's ingress address")
    for data, comment in inner.lines:
        f.add(data, comment)
    if len(f.data) < OPEN_MIN:
        f.add(b"\0" * (OPEN_MIN - len(f.data)), f"padding to {OPEN_MIN}")
    return f


def hello(name, about, kind, word, boot_id, ports):
    f = Frame(name, about).header(kind, word)
    f.be("BBBx", f"versions 1 to 1; {len(ports)} workers; reserved", 1, 1, len(ports))
    f.be("I", "features", 0).be("I", "at most 4096 flows", 4096).be("Q", "boot id", boot_id)
    f.be("Q", "cookie", 0x0BADCAFE12345678)
    f.be(f"{len(ports)}H", "worker ports", *ports)
    return f.add(b"\0" * (16 - 2 * len(ports)), "no further workers")


KEY_A, KEY_B = bytes.fromhex("a1ca4a9ffd2cc5c5"), bytes.fromhex("35d084e1851afa0d")
TIMES = bytes.fromhex("080a 11223344 55667788")
SYN_OPTIONS = bytes.fromhex("020405b4 0402") + TIMES + bytes.fromhex("01 030307")
CAPABLE_SYN = SYN_OPTIONS + bytes.fromhex("1e040101")
JOIN_SYN = SYN_OPTIONS + bytes.fromhex("1e0c1002 4a7ef1fd 34d6489e")
CAPABLE_SYN_ACK = SYN_OPTIONS + bytes.fromhex("1e0c0101") + KEY_B
DSS = bytes.fromhex("0101") + TIMES + bytes.fromhex("1e1a200f 0011223344556677 277d559405bda7a2 00000001 0534 0101")

UDP = udp_packet("10.7.1.1", "10.70.1.5", 40000, 53, b"shila")
PING6 = ip_packet("fd07::1", "fd70::5", 58, bytes.fromhex("8000 0000 7788 0001") + bytes(i % 251 for i in range(1232)), 2)

FRAMES = [
    hello("hello", "HELLO of a daemon with two workers.", HELLO, "HELLO", 0x1122334455667788, [31000, 31001]),
    hello("hello_ack", "The answer of one with eight workers.", HELLO_ACK, "HELLO-ACK", 0x99AABBCCDDEEFF01,
          list(range(31100, 31108))),
    open_frame("open_main4", "OPEN of a main flow: SYN with MP_CAPABLE; to the ingress address.", "10.7.1.1",
               "0.0.0.0", (40000, 5201), MAIN, 6, lambda f: f.thin(305419896, 0, SYN, 64240, CAPABLE_SYN)),
    open_frame("open_sub6", "OPEN of a subflow over IPv6: SYN with MP_JOIN; it moved twice already.", "fd07::1",
               "fd70::5", (40001, 5201), SUB, 6, lambda f: f.thin(4294967295, 0, SYN | ECE | CWR, 65535, JOIN_SYN),
               mtu=1452, epoch=2),
    open_frame("open_plain4", "OPEN of a plain TCP connection with fast open: data in the SYN.", "10.7.1.1",
               "10.70.1.5", (40002, 80), PLAIN, 6,
               lambda f: f.thin(1, 0, SYN, 1024, bytes.fromhex("220a 0102030405060708 0101"))
               .add(b"GET / HTTP/1.0\r\n\r\n", "data")),
    open_frame("open_datagram4", "OPEN of UDP with its first packet.", "10.7.1.1", "10.70.1.5", (40000, 53), DGRAM, 17,
               lambda f: f.add(UDP, "IP packet")),
    open_frame("open_datagram6", "OPEN of a ping whose packet is too large to come along.", "fd07::1", "fd70::5",
               (0x7788, 0x7788), DGRAM, 58, lambda f: f),
    Frame("accept", "ACCEPT with the SYN/ACK.").header(ACCEPT, "ACCEPT", CLIENT).from_name(SERVER)
    .be("H", "worker port 31001", 31001).thin(2882400001, 305419897, SYN | ACK, 65160, CAPABLE_SYN_ACK),
    Frame("accept_bare", "ACCEPT before the server answered; the flow moved once.")
    .header(ACCEPT, "ACCEPT", CLIENT, epoch=1).from_name(SERVER).be("H", "worker port 31000", 31000),
    Frame("reject", "REJECT: not in the allow list; no flow was made.").header(REJECT, "REJECT", CLIENT)
    .from_name((0, 0)).be("Bx", "reason 1: not allowed; reserved", 1),
    Frame("alive", "ALIVE: answers request 77 and asks 5.").header(ALIVE, "ALIVE", SERVER, epoch=3, req=5, ans=77),
    Frame("data", "DATA with timestamps and DSS, 12 bytes of payload.")
    .header(DATA, "DATA", SERVER, epoch=255, req=127).thin(305419897, 2882400002, PSH | ACK, 502, DSS)
    .add(b"hello, world", "payload"),
    Frame("data_urgent", "DATA with an urgent pointer, no options.").header(DATA, "DATA", CLIENT)
    .thin(1000, 2000, ACK | URG, 1, b"", 3).add(b"abc", "payload"),
    Frame("data_fin", "The smallest DATA: FIN without options.").header(DATA, "DATA", CLIENT)
    .thin(4294967295, 1, FIN | ACK, 0),
    Frame("datagram", "DATAGRAM: a whole packet.").header(DATAGRAM, "DATAGRAM", SERVER).add(UDP, "IP packet"),
    Frame("datagram_first", "DATAGRAM: first part of an IPv6 packet of 1280 bytes.")
    .header(DATAGRAM, "DATAGRAM", SERVER, flags=FRAG).be("Hxx", "packet id, reserved", 0xBEEF).add(PING6[:1200], "first part"),
    Frame("datagram_last", "DATAGRAM: second part.").header(DATAGRAM, "DATAGRAM", SERVER, flags=FRAG | LAST)
    .be("Hxx", "packet id, reserved", 0xBEEF).add(PING6[1200:], "second part"),
    Frame("probe", "PROBE.").header(PROBE, "PROBE").be("I", "identifier", 0xDEADBEEF)
    .be("Q", "sent at (microseconds of the sender's clock)", 0x0001020304050607),
    Frame("probe_reply", "Its reply.").header(PROBE_REPLY, "PROBE-REPLY").be("I", "identifier", 0xDEADBEEF)
    .be("Q", "sent at (repeated)", 0x0001020304050607),
    Frame("close", "CLOSE: the daemon was removed.").header(CLOSE, "CLOSE", CLIENT).from_name(SERVER)
    .be("Bx", "reason 6: stopped; reserved", 6),
    Frame("unknown", "UNKNOWN: there is no flow 34 (any more).").header(UNKNOWN, "UNKNOWN")
    .be("I", "flow id it was addressed to", SERVER[0]).be("I", "SCION FlowID of that packet", 12)
    .be("H", "tag it was addressed to", SERVER[1]),
]


def main():
    bad = 0
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../../docs/protocol.md"), encoding="utf-8") as f:
        doc = f.read()
    for frame in FRAMES:
        path = os.path.join(here, f"frame_{frame.name}.hex")
        if "--check" not in sys.argv:
            with open(path, "w", encoding="ascii") as f:
                f.write(frame.text())
        elif not os.path.exists(path) or open(path, encoding="ascii").read() != frame.text():
            print(f"frame_{frame.name}.hex differs")
            bad = 1
        elif frame.data[:32].hex(" ", -4) not in doc:
            print(f"frame_{frame.name} is not in docs/protocol.md")
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
