#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A SCION daemon that lies, for tests: asks the real one, and passes the answer on as it is told to.

    scion_daemon.py IP:PORT REAL_IP:PORT MODES.json

MODES.json is read again at every call: {METHOD or "ISD-AS asked for paths to": MODE, "accept": MODE}. Without
an entry the answer is the real one. With "accept" it is not even a request that is waited for. MODES below
are all there are; `scion_daemon.py --modes` lists them with what they do. One line on stdout when it listens.

One thread for each connection.
"""

import functools
import json
import os
import random
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "scripts"))
from labnet.grpc import (CODES, DATA, HEADERS, PING, RST, SERVICE, SETTINGS, Gone, build, frame, header, parse,  # noqa: E402
                         read_frame, receive, value)

GOAWAY, WINDOW, CONTINUATION = 7, 8, 9


# ---- messages: lists of [number, wire type, value] ----

def replaced(fields, number, *values):
    """The fields with others of that number."""
    new = [[number, 2 if isinstance(v, bytes) else 0, v] for v in values]
    return [f for f in fields if f[0] != number] + new


# ---- what is done to an answer about paths ----

RAW, NEXT_HOP, INTERFACES, MTU, EXPIRATION = 1, 2, 3, 4, 5


def each_path(change):
    def mode(message, _asked):
        return build([[n, k, build(change(parse(v))) if n == 1 else v] for n, k, v in parse(message)])
    return mode


def interfaces_of(path):
    return [v for n, _, v in path if n == INTERFACES]


def next_hop(text):
    address = build([[1, 2, build([[1, 2, text]])]])
    return each_path(lambda p: replaced(p, NEXT_HOP, address))


def raw(change):
    return each_path(lambda p: replaced(p, RAW, change(value(p, RAW))))


def interfaces(change):
    return each_path(lambda p: replaced(p, INTERFACES, *change(interfaces_of(p))))


def hop(isd_as, ifid):
    return build([[1, 0, isd_as], [2, 0, ifid]])


def expired(path):
    old = int(time.time()) - 100000
    r = value(path, RAW)
    r = r[:8] + struct.pack(">I", old) + r[12:]
    return replaced(replaced(path, RAW, r), EXPIRATION, build([[1, 0, old + 1000]]))


def later(path):
    """The same path with younger hop fields, whose MACs are wrong then."""
    r = value(path, RAW)
    seconds = struct.unpack(">I", r[8:12])[0] + 60
    return replaced(path, RAW, r[:8] + struct.pack(">I", seconds) + r[12:])


def invented(message, asked, count, now=None):
    """So many paths over one link, all different, from the first hop of the real ones."""
    paths = [v for n, _, v in parse(message) if n == 1]
    now = int(now or time.time())
    source, hop_address = 1 << 48 | 64512, b""
    if paths:
        source = value(parse(interfaces_of(parse(paths[0]))[0]), 1)
        hop_address = value(parse(paths[0]), NEXT_HOP)
    else:
        hop_address = build([[1, 2, build([[1, 2, b"10.12.0.1:30042"]])]])
    out = []
    for i in range(count):
        a, b = 1 + i % 60000, 1 + i // 3 % 60000
        r = struct.pack(">I", 2 << 12) + struct.pack(">BBHI", 1, 0, 7, now - 10)
        r += struct.pack(">BBHH", 0, 63, 0, a) + bytes(6) + struct.pack(">BBHH", 0, 63, b, 0) + bytes(6)
        out.append([1, 2, build([[RAW, 2, r], [NEXT_HOP, 2, hop_address], [INTERFACES, 2, hop(source, a)],
                                 [INTERFACES, 2, hop(asked, b)], [MTU, 0, 1472],
                                 [EXPIRATION, 2, build([[1, 0, now + 20000]])]])])
    return b"".join(build([p]) for p in out)


def as_response(**change):
    def mode(message, _asked):
        fields = parse(message)
        for number, v in ((1, change.get("isd_as")), (3, change.get("mtu"))):
            if v is not None:
                fields = replaced(fields, number, v)
        return build(fields)
    return mode


@functools.cache
def many_routers():
    def entry(i):
        address = b"10.12.%d.%d:30042" % (i // 250, 1 + i % 250)
        return build([[1, 2, build([[1, 0, i + 1], [2, 2, build([[1, 2, build([[1, 2, address]])]])]])]])
    return b"".join(map(entry, range(10000)))


def constant(message):
    return lambda _message, _asked: message


PATH_MODES = {
    "none": constant(b""),
    "random": lambda *_: random.randbytes(300),
    "half_message": lambda m, _: m[:len(m) * 2 // 3],
    "length_4_GiB": constant(b"\x0a\xff\xff\xff\xff\x0f" + bytes(50)),
    "endless_number": constant(b"\xff" * 300),
    "empty_paths": constant(b"\x0a\x00" * 100000),
    "empty_path": constant(build([[1, 2, build([[MTU, 0, 1472]])]])),
    "other_end": interfaces(lambda i: [*i[:-1], hop(1 << 48 | 65000, 1)]),
    "other_start": interfaces(lambda i: [hop(1 << 48 | 65001, value(parse(i[0]), 2)), *i[1:]]),
    "loop": interfaces(lambda i: [*i, *i]),
    "twice_the_same": interfaces(lambda i: [i[0], i[0]]),
    "not_together": interfaces(lambda i: [i[0], hop(1 << 48 | 65000, 1), hop(1 << 48 | 65001, 1), i[-1]]),
    "other_ids": interfaces(lambda i: [hop(value(parse(h), 1), value(parse(h), 2) ^ 4) for h in i]),
    "odd": interfaces(lambda i: i[:1]),
    "no_interfaces": interfaces(lambda _: []),
    "id_0": interfaces(lambda i: [hop(value(parse(h), 1), 0) for h in i]),
    "id_large": interfaces(lambda i: [hop(value(parse(h), 1), 1 << 40) for h in i]),
    "expired": each_path(expired),
    "later": each_path(later),
    "mtu_0": each_path(lambda p: replaced(p, MTU, 0)),
    "mtu_65535": each_path(lambda p: replaced(p, MTU, 65535)),
    "mtu_huge": each_path(lambda p: replaced(p, MTU, 0xffffffff)),
    "raw_short": raw(lambda r: r[:-1]),
    "raw_long": raw(lambda r: r + bytes(12)),
    "raw_64k": raw(lambda r: r + bytes(65000)),
    "raw_none": raw(lambda r: b""),
    "raw_meta": raw(lambda r: b"\x40" + r[1:]),
    "raw_segments": raw(lambda r: struct.pack(">I", 63 << 12 | 63 << 6 | 63) + r[4:]),
    "hop_unspecified": next_hop(b"0.0.0.0:30042"),
    "hop_multicast": next_hop(b"224.0.0.1:30042"),
    "hop_port_0": next_hop(b"10.12.0.1:0"),
    "hop_text": next_hop(b"\x1b[2Jrouter\n\xff:30042"),
    "hop_long": next_hop(b"1" * 50000),
    "many": lambda m, asked: invented(m, asked, 10000),
    "many_bad": lambda m, asked: invented(m, asked, 10000).replace(b"10.12.0.1", b"10.12.0.x"),
}
AS_MODES = {
    "other_number": as_response(isd_as=1 << 48 | 64999),
    "number_0": as_response(isd_as=0),
    "as_mtu_0": as_response(mtu=0),
    "as_mtu_65535": as_response(mtu=65535),
}
PORT_MODES = {
    "ports_0": constant(b""),
    "ports_inverted": constant(build([[1, 0, 40000], [2, 0, 30000]])),
    "ports_large": constant(build([[1, 0, 1], [2, 0, 1 << 31]])),
}
ROUTER_MODES = {
    "no_routers": constant(b""),
    "routers_text": constant(build([[1, 2, build([[1, 0, 1], [2, 2, build([[1, 2, build([[1, 2, b"\xff\x00"]])]])]])]])),
    "many_routers": lambda *_: many_routers(),
}
CONTENT = {**PATH_MODES, **AS_MODES, **PORT_MODES, **ROUTER_MODES}
# What is done below the messages: Answer.NAME
TRANSPORT = ("silence", "close", "reset", "goaway", "http_404", "error", "error_text", "no_status", "wrong_length",
             "compressed", "twice", "endless", "endless_headers", "endless_pings", "endless_settings", "drip",
             "half_answer")
ACCEPT = ("silence", "close", "garbage", "http1", "drip")


# ---- HTTP/2 ----

def ask_real(server, method, body):
    """The message that the real daemon answers with; b"" for an error."""
    out = b""
    with socket.create_connection(server, 5) as s:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", SERVICE + method), (":authority", "x"),
                  ("content-type", "application/grpc"), ("te", "trailers")]
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)
                  + frame(HEADERS, 4, 1, b"".join(header(*f) for f in fields))
                  + frame(DATA, 1, 1, b"\0" + struct.pack(">I", len(body)) + body))
        while True:
            kind, flags, stream, payload = read_frame(s)
            if kind == SETTINGS and not flags & 1:
                s.sendall(frame(SETTINGS, 1, 0))
            elif kind == DATA:
                out += payload
                if payload:
                    s.sendall(b"".join(frame(WINDOW, 0, i, struct.pack(">I", len(payload))) for i in (0, 1)))
            if stream == 1 and kind in (DATA, HEADERS) and flags & 1:
                return out[5:]


class Answer:
    """To one request, on its connection."""

    def __init__(self, s, stream):
        self.s, self.stream = s, stream

    def send(self, kind, flags, payload=b"", stream=None):
        self.s.sendall(frame(kind, flags, self.stream if stream is None else stream, payload))

    def begin(self, status=0x88):
        self.send(HEADERS, 4, bytes([status]) + header("content-type", "application/grpc"))

    def message(self, message, flags=0, length=None):
        body = bytes([flags]) + struct.pack(">I", len(message) if length is None else length) + message
        for at in range(0, len(body), 16384):
            self.send(DATA, 0, body[at:at + 16384])

    def end(self, status=0, text=None):
        self.send(HEADERS, 5, header("grpc-status", str(status)) + (header("grpc-message", text) if text else b""))

    def good(self, message):
        self.begin()
        self.message(message)
        self.end()

    def silence(self, _message):
        pass

    def close(self, _message):
        raise Gone

    def reset(self, _message):
        self.send(RST, 0, struct.pack(">I", 2))

    def goaway(self, _message):
        self.send(GOAWAY, 0, struct.pack(">II", 0, 1), 0)
        raise Gone

    def http_404(self, _message):
        self.begin(0x8d)
        self.send(DATA, 1)

    def error(self, _message):
        self.begin()
        self.end(14, "no path servers")

    def error_text(self, _message):
        self.begin()
        self.end(2, "%1b[2J%0a" + "%ff" * 30)

    def no_status(self, message):
        self.begin()
        self.message(message)
        self.send(DATA, 1)

    def wrong_length(self, message):
        self.begin()
        self.message(message, length=len(message) + 1)
        self.end()

    def compressed(self, message):
        self.begin()
        self.message(message, flags=1)
        self.end()

    def twice(self, message):
        self.begin()
        self.message(message)
        self.message(message)
        self.end()

    def endless(self, _message):
        self.begin()
        while True:
            self.send(DATA, 0, bytes(16384))

    def endless_headers(self, _message):
        self.send(HEADERS, 0, b"\x88")
        while True:
            self.send(CONTINUATION, 0, header("x", "y" * 100) * 100)

    def endless_pings(self, _message):
        many = frame(PING, 0, 0, bytes(8)) * 500
        while True:
            self.s.sendall(many)

    def endless_settings(self, _message):
        many = frame(WINDOW, 0, 0, b"\0\0\0\1") * 500
        while True:
            self.s.sendall(many)

    def drip(self, message):
        self.begin()
        for b in b"\0" + struct.pack(">I", len(message)) + message:
            self.send(DATA, 0, bytes([b]))
            time.sleep(0.2)

    def half_answer(self, message):
        self.begin()
        self.message(message[:20], length=len(message))


class Server:
    def __init__(self, listen, real, modes_file):
        self.real, self.modes_file = real, modes_file
        self.socket = socket.create_server(listen)
        self.socket.listen(256)

    def modes(self):
        with open(self.modes_file, encoding="utf-8") as f:
            return json.load(f)

    def run(self):
        while True:
            s, _ = self.socket.accept()
            threading.Thread(target=self.connection, args=(s,), daemon=True).start()

    def connection(self, s):
        with s:
            try:
                accept = self.modes().get("accept")
                if accept:
                    self.accept(s, accept)
                else:
                    self.serve(s)
            except (Gone, OSError):
                pass

    @staticmethod
    def accept(s, mode):
        if mode == "close":
            return
        if mode == "garbage":
            s.sendall(random.randbytes(1000))
        elif mode == "http1":
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        elif mode == "drip":
            for b in frame(SETTINGS, 0, 0) * 100:
                s.sendall(bytes([b]))
                time.sleep(0.2)
        while s.recv(1 << 16):  # silence
            pass

    def serve(self, s):
        method, body = None, b""
        receive(s, 24)
        s.sendall(frame(SETTINGS, 0, 0))
        while True:
            kind, flags, stream, payload = read_frame(s)
            if kind == SETTINGS and not flags & 1:
                s.sendall(frame(SETTINGS, 1, 0))
            elif kind == HEADERS:
                method, body = next(m for code, m in CODES.items() if code in payload), b""
            elif kind == DATA:
                body += payload
                if flags & 1:
                    self.answer(Answer(s, stream), method, body[5:])

    def answer(self, answer, method, body):
        asked = value(parse(body), 2, 0) if method == "Paths" else 0
        name = f"{asked >> 48}-{asked & 0xffffffffffff}" if asked else method
        modes = self.modes()
        mode = modes.get(name, modes.get(method))
        # Paths to an AS that nobody knows: those to one that is there, with its number at the end
        like = modes.get("like")
        if method == "Paths" and mode and like and name != like:
            isd, _, number = like.partition("-")
            real = int(isd) << 48 | int(number)
            message = ask_real(self.real, method, build([[2, 0, real]]))
            message = each_path(lambda p: replaced(p, INTERFACES, *(
                hop(asked if value(parse(h), 1) == real else value(parse(h), 1), value(parse(h), 2))
                for h in interfaces_of(p))))(message, asked)
        else:
            message = ask_real(self.real, method, body)
        if mode in CONTENT:
            answer.good(CONTENT[mode](message, asked))
        elif mode in TRANSPORT:
            getattr(answer, mode)(message)
        else:
            answer.good(message)


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def main():
    if sys.argv[1:] == ["--modes"]:
        print("\n".join([*CONTENT, *TRANSPORT]))
        return
    many_routers()  # takes a while
    server = Server(endpoint(sys.argv[1]), endpoint(sys.argv[2]), os.path.abspath(sys.argv[3]))
    print("listening", flush=True)
    server.run()


if __name__ == "__main__":
    main()
