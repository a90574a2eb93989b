# SPDX-License-Identifier: Apache-2.0
"""Enough of HTTP/2, gRPC and protobuf to be the SCION daemon that shilad asks.

For libcurl: names of methods are looked for as it writes them, and its windows are large enough for any answer.
"""

import socket
import struct
import threading

SERVICE = "/proto.daemon.v1.DaemonService/"
METHODS = ("Paths", "AS", "Interfaces", "PortRange", "NotifyInterfaceDown")
DATA, HEADERS, RST, SETTINGS, PING = 0, 1, 3, 4, 6
END_STREAM, END_HEADERS, ACK = 1, 4, 1
UNKNOWN, UNIMPLEMENTED = 2, 12

# HPACK's Huffman code (RFC 7541, appendix B) for what occurs in the names of methods
FIVE, SIX, SEVEN = "012aceiost", " %-./3456789=A_bdfghlmnpru", ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"


def huffman(text):
    bits = ""
    for c in text:
        if c in FIVE:
            bits += format(FIVE.index(c), "05b")
        elif c in SIX:
            bits += format(0x14 + SIX.index(c), "06b")
        else:
            bits += format(0x5c + SEVEN.index(c), "07b")
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


# The path of a request is a literal in both cases: libcurl does not index it.
CODES = {code: m for m in METHODS for code in (huffman(SERVICE + m), (SERVICE + m).encode())}


# ---- protobuf: a message as a list of [number, wire type, value] ----

def varint(v):
    out = bytearray()
    while v > 0x7f:
        out.append(v & 0x7f | 0x80)
        v >>= 7
    return bytes([*out, v])


def read_varint(b, at):
    v = shift = 0
    while True:
        v |= (b[at] & 0x7f) << shift
        at += 1
        if b[at - 1] < 0x80:
            return v, at
        shift += 7


def parse(b):
    fields, at = [], 0
    while at < len(b):
        key, at = read_varint(b, at)
        if key & 7 == 2:
            n, at = read_varint(b, at)
            fields.append([key >> 3, 2, b[at:at + n]])
            at += n
        else:
            v, at = read_varint(b, at)
            fields.append([key >> 3, 0, v])
    return fields


def build(fields):
    out = b""
    for number, kind, value_ in fields:
        out += varint(number << 3 | kind)
        out += varint(len(value_)) + value_ if kind == 2 else varint(value_)
    return out


def value(fields, number, default=None):
    return next((v for n, _, v in fields if n == number), default)


# ---- HTTP/2 ----

class Gone(Exception):
    """The other side has closed."""


def receive(s, n):
    out = b""
    while len(out) < n:
        part = s.recv(n - len(out))
        if not part:
            raise Gone
        out += part
    return out


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def read_frame(s):
    h = receive(s, 9)
    return h[3], h[4], struct.unpack(">I", h[5:])[0], receive(s, int.from_bytes(h[:3], "big"))


def header(name, text):
    return bytes([0, len(name)]) + name.encode() + bytes([len(text)]) + text.encode()


class Failed(Exception):
    """A call that is answered with an error: gRPC status and text."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status
        self.text = text


class Server:
    """Calls handler(method, request) for each request and sends what it returns, or the Failed it raises."""

    def __init__(self, address, handler):
        self.handler = handler
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.create_server(address, family=family, backlog=64)

    def run(self):
        while True:
            s, _ = self.socket.accept()
            threading.Thread(target=self._connection, args=(s,), daemon=True).start()

    def _connection(self, s):
        with s:
            try:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._serve(s)
            except (Gone, OSError):
                pass

    def _serve(self, s):
        calls = {}  # stream: [method, body]
        receive(s, 24)  # the preface
        s.sendall(frame(SETTINGS, 0, 0))
        while True:
            kind, flags, stream, payload = read_frame(s)
            if kind == SETTINGS and not flags & ACK:
                s.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                s.sendall(frame(PING, ACK, 0, payload))
            elif kind == HEADERS:
                calls[stream] = [next((m for code, m in CODES.items() if code in payload), None), b""]
            elif kind == DATA and stream in calls:
                calls[stream][1] += payload
            elif kind == RST:
                calls.pop(stream, None)
            if kind in (HEADERS, DATA) and flags & END_STREAM and stream in calls:
                s.sendall(self._answer(stream, *calls.pop(stream)))

    def _answer(self, stream, method, body):
        head = frame(HEADERS, END_HEADERS, stream, b"\x88" + header("content-type", "application/grpc"))
        try:
            if method is None:
                raise Failed(UNIMPLEMENTED, "not a call of the emulated daemon")
            message = self.handler(method, parse(body[5:]))
        except Failed as e:
            return head + frame(HEADERS, END_HEADERS | END_STREAM, stream,
                                header("grpc-status", str(e.status)) + header("grpc-message", e.text))
        data = b"\0" + struct.pack(">I", len(message)) + message
        return head + b"".join(frame(DATA, 0, stream, data[at:at + 16384]) for at in range(0, len(data), 16384)) \
            + frame(HEADERS, END_HEADERS | END_STREAM, stream, header("grpc-status", "0"))
