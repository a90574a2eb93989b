#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many long connections, each byte of which is known beforehand and checked where it arrives, in both directions.

    crowd.py server PORT
    crowd.py client HOST PORT SECONDS < connections      until then, or until SIGTERM

connections: JSON, an array of {"name", "up", "down": bytes per second, "asks": bool, "seed"}. A connection sends at its
rates, or asks questions, thinks (up to 15 s), and asks again. Each frame has a number, and bytes that follow from
the connection's name, the direction and that number. At its end each side tells the other what it got.

The client says "connected" once all are, and ends with one line of JSON: {"ok", "connections": [{"name", "error",
"up_bytes", "down_bytes", "asked", "stalls"}]}. stalls: [from, until] by CLOCK_MONOTONIC, when nothing came for
STALL_S although something should have: at the client, at the server for what it gets, or the answer to a question.
Who waits for LONG_S says so at once, at either end: "waits NAME DIRECTION".
"""

import hashlib
import json
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from traffic import connect, congestion, read_line  # noqa: E402

HEAD = struct.Struct("!III")  # number, bytes that follow, bytes that are asked for
REPORT = 0xFFFFFFFF  # as a number: the last frame of a direction, with what was got of the other
FRAME = 4096
STALL_S = 0.25
LONG_S = 10
LIMIT_S = 150  # TCP repeats what it waits for after 120 s at the latest
QUIET_S = 15  # who is asked for nothing hears nothing


receivers = []


class Wrong(Exception):
    pass


def content(name, direction, number, size):
    return hashlib.shake_128(f"{name} {direction} {number}".encode()).digest(size)


def get(s, size):
    data = bytearray()
    while len(data) < size:
        part = s.recv(size - len(data))
        if not part:
            raise Wrong(f"the connection ended {size - len(data)} bytes early")
        data += part
    return bytes(data)


class Sender:
    """Frames of one direction; of answers and a steady stream in turn."""

    def __init__(self, s, name, direction):
        self.s, self.name, self.direction = s, name, direction
        self.number = self.bytes = 0
        self.lock = threading.Lock()
        self.thread = None

    def send(self, size, asked=0):
        with self.lock:
            self.s.sendall(HEAD.pack(self.number, size, asked) + content(self.name, self.direction, self.number, size))
            self.number += 1
            self.bytes += size

    def report(self, **what):
        with self.lock:
            data = json.dumps({"sent": self.number, **what}).encode()
            self.s.sendall(HEAD.pack(REPORT, len(data), 0) + data)

    def stream(self, rate, going):
        """At that rate until going() says no; what was missed for more than 0.5 s is not sent faster later."""
        def run():
            due = time.monotonic()
            try:
                while going():
                    self.send(FRAME)
                    due = max(due + FRAME / rate, time.monotonic() - 0.5)
                    time.sleep(max(0, min(due - time.monotonic(), 0.2)))
            except OSError:
                pass  # who receives tells it
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()


class Receiver:
    def __init__(self, s, name, direction, steady):
        self.s, self.name, self.direction, self.steady = s, name, direction, steady
        self.number = self.bytes = 0
        self.stalls = []
        self.waits_since = None
        receivers.append(self)

    def next(self, asked=None):
        """The bytes that are asked for by the next frame; None and the report after the last one. asked: when it was asked for."""
        began = asked or time.monotonic()
        self.waits_since = began if self.steady or asked else None
        number, size, asks = HEAD.unpack(get(self.s, HEAD.size))
        data = get(self.s, size)
        if number == REPORT:
            report = json.loads(data)
            if report["sent"] != self.number:
                raise Wrong(f"{self.direction}: {self.number} of {report['sent']} frames")
            return None, report
        self.late(began)
        if number != self.number or data != content(self.name, self.direction, number, size):
            raise Wrong(f"{self.direction}: frame {self.number} is not as it was sent, it says it is {number} of {size} bytes")
        self.number += 1
        self.bytes += size
        return asks, None

    def late(self, began):
        if self.waits_since and time.monotonic() - began > STALL_S:
            self.stalls.append((began, time.monotonic()))
        self.waits_since = None


def watch():
    """In a thread: who waits for long."""
    told = set()
    while True:
        time.sleep(1)
        for r in list(receivers):
            since = r.waits_since
            if since and time.monotonic() - since > LONG_S and (r, since) not in told:
                told.add((r, since))
                print(f"waits {r.name} {r.direction}", flush=True)


# ---- server ----

def serve(s):
    with s:
        name = "?"
        try:
            name, up, down = read_line(s)
            going = threading.Event()
            out, into = Sender(s, name, "down"), Receiver(s, name, "up", int(up) > 0)
            if int(down):
                out.stream(int(down), lambda: not going.is_set())
            while True:
                asked, report = into.next()
                if report:
                    break
                if asked:
                    out.send(asked)
            going.set()
            if out.thread:
                out.thread.join()
            out.report(bytes=into.bytes, stalls=into.stalls)
            s.recv(1)  # the client ends it
        except (Wrong, OSError, TypeError, ValueError) as e:
            print(f"{time.monotonic():.3f} {name}: {type(e).__name__}: {e}", flush=True)


def server(port):
    threading.Thread(target=watch, daemon=True).start()
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024) as listener:
        while True:
            threading.Thread(target=serve, args=(congestion(listener.accept()[0]),), daemon=True).start()


# ---- client ----

def thinking(draw):
    x = draw.random()
    return draw.uniform(0.01, 0.3) if x < 0.6 else draw.uniform(0.3, 3) if x < 0.93 else draw.uniform(3, QUIET_S)


def ask(spec, out, into, enough, result):
    draw = random.Random(spec["seed"])
    while not enough.is_set():
        began = time.monotonic()
        out.send(draw.randrange(1, 300), draw.randrange(1, 20000))
        into.next(began)
        result["asked"] += 1
        enough.wait(thinking(draw))


def one(host, port, spec, enough, result):
    with connect(host, port) as s:
        s.settimeout(LIMIT_S)
        s.sendall(f"{spec['name']} {spec['up']} {spec['down']}\n".encode())
        result["local"] = s.getsockname()[1]
        out, into = Sender(s, spec["name"], "up"), Receiver(s, spec["name"], "down", spec["down"] > 0)
        try:
            if spec["up"]:
                out.stream(spec["up"], lambda: not enough.is_set())
            if spec["asks"]:
                ask(spec, out, into, enough, result)
            elif spec["down"]:
                while not enough.is_set():
                    into.next()
            enough.wait()
            if out.thread:
                out.thread.join()
            out.report(bytes=into.bytes)
            report = None
            while not report:
                _, report = into.next()
            if report["bytes"] != out.bytes:
                raise Wrong(f"the server got {report['bytes']} bytes of {out.bytes}")
            into.stalls += report["stalls"]
        finally:
            result.update(up_bytes=out.bytes, down_bytes=into.bytes, stalls=into.stalls)


def client(host, port, seconds):
    specs = json.load(sys.stdin)
    results = [{"name": spec["name"], "error": None, "up_bytes": 0, "down_bytes": 0, "asked": 0, "stalls": []} for spec in specs]
    enough = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: enough.set())
    threading.Thread(target=watch, daemon=True).start()

    def run_one(spec, result):
        try:
            one(spec.get("host", host), port, spec, enough, result)
        except (Wrong, OSError) as e:
            result["error"] = f"{type(e).__name__}: {e}"
            print(f"{time.monotonic():.3f} {spec['name']} (port {result.get('local')}): {result['error']}", flush=True)

    threads = [threading.Thread(target=run_one, args=a) for a in zip(specs, results)]
    for t in threads:
        t.start()
    while any("local" not in r and not r["error"] for r in results):
        time.sleep(0.05)
    print("connected", flush=True)
    end = time.monotonic() + seconds
    while not enough.is_set() and time.monotonic() < end and any(t.is_alive() for t in threads):
        time.sleep(0.1)
    enough.set()
    for t in threads:
        t.join()
    print(json.dumps({"ok": not any(r["error"] for r in results), "connections": results}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server(int(sys.argv[2]))
    else:
        client(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
