#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small ordinary programs that the tests run: they know nothing of MPTCP, SCION or shila.

    traffic.py server PORT           TCP: serves get, put and echo, many at once, all families
    traffic.py get HOST PORT BYTES   fetches so many bytes and checks each of them
    traffic.py put HOST PORT BYTES   sends them; the server checks
    traffic.py gets HOST PORT S      as get, 1 MiB after the other over one connection, for S seconds or until SIGTERM
    traffic.py puts HOST PORT S      the same for put
    traffic.py echo HOST PORT N      N small questions and answers, one after the other
    traffic.py talk HOST PORT        a question and its answer for each line on stdin
    traffic.py beat HOST PORT S      a question and its answer every 100 ms, for S seconds or until SIGTERM
    traffic.py load HOST PORT N S    N connections for S seconds, or until SIGTERM: each fetches and sends without
                                     a pause, all of it checked
    traffic.py hold HOST PORT        connects, says so, and waits for the end of the connection
    traffic.py connect HOST PORT     only connects
    traffic.py udp-server PORT [N]   UDP: sends back what comes, N times, each N times as long
    traffic.py udp HOST PORT SIZE... one datagram of each size, there and back

With $TRAFFIC_CONGESTION both use that congestion control instead of the machine's.

Clients print one line of JSON: {"ok", "seconds", "errno" (a name or null), ...}.
"""

import errno
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time

PART = 1 << 16
TIMEOUT_S = float(os.environ.get("TRAFFIC_TIMEOUT", "60"))
CONGESTION = os.environ.get("TRAFFIC_CONGESTION")


def parts(total):
    """The bytes that are sent: the same everywhere, and no two parts alike."""
    for i in range((total + PART - 1) // PART):
        yield hashlib.shake_128(i.to_bytes(8, "big")).digest(min(PART, total - i * PART))


def digest_of(total):
    h = hashlib.sha256()
    for p in parts(total):
        h.update(p)
    return h.hexdigest()


def read_line(s):
    line = b""
    while not line.endswith(b"\n"):
        c = s.recv(1)
        if not c:
            return None
        line += c
    return line.decode().split()


def receive(s, total):
    """So many bytes, or up to the end: number and digest."""
    h, n = hashlib.sha256(), 0
    while n < total:
        p = s.recv(min(1 << 18, total - n))
        if not p:
            break
        h.update(p)
        n += len(p)
    return n, h.hexdigest()


def serve(s):
    with s:
        try:
            while words := read_line(s):
                if words[0] == "get":
                    for p in parts(int(words[1])):
                        s.sendall(p)
                elif words[0] == "put":
                    n, digest = receive(s, int(words[1]))
                    s.sendall(f"{n} {digest}\n".encode())
                else:
                    s.sendall((" ".join(words) + "\n").encode())
        except OSError:
            pass  # the client has what it needs to know


def server(port):
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024) as listener:
        while True:
            threading.Thread(target=serve, args=(congestion(listener.accept()[0]),), daemon=True).start()


def congestion(s):
    if CONGESTION:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION.encode())
    return s


def connect(host, port):
    # getaddrinfo has nothing to do with names here
    return congestion(socket.create_connection((host, port), timeout=TIMEOUT_S))


def get(host, port, total):
    with connect(host, port) as s:
        s.sendall(f"get {total}\n".encode())
        n, digest = receive(s, total)
    return {"ok": n == total and digest == digest_of(total), "bytes": n}


def put(host, port, total):
    with connect(host, port) as s:
        s.sendall(f"put {total}\n".encode())
        for p in parts(total):
            s.sendall(p)
        answer = read_line(s)
    return {"ok": answer == [str(total), digest_of(total)], "bytes": int(answer[0]) if answer else 0}


def until(seconds):
    """A function that says whether to go on: for so many seconds, and not after SIGTERM."""
    end = time.monotonic() + seconds
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    return lambda: not stop and time.monotonic() < end


def gets(host, port, seconds, size=1 << 20):
    going, count, wanted = until(seconds), 0, digest_of(size)
    with connect(host, port) as s:
        while going():
            s.sendall(f"get {size}\n".encode())
            if receive(s, size) != (size, wanted):
                return {"ok": False, "bytes": count * size}
            count += 1
    return {"ok": count > 0, "bytes": count * size}


def puts(host, port, seconds, size=1 << 20):
    going, count, sent = until(seconds), 0, list(parts(size))
    with connect(host, port) as s:
        while going():
            s.sendall(f"put {size}\n".encode())
            for p in sent:
                s.sendall(p)
            if read_line(s) != [str(size), digest_of(size)]:
                return {"ok": False, "bytes": count * size}
            count += 1
    return {"ok": count > 0, "bytes": count * size}


def echo(host, port, count):
    longest = 0
    with connect(host, port) as s:
        for i in range(count):
            began = time.monotonic()
            s.sendall(f"word {i}\n".encode())
            if read_line(s) != ["word", str(i)]:
                return {"ok": False, "answers": i}
            longest = max(longest, time.monotonic() - began)
    return {"ok": True, "answers": count, "longest": longest}


def beat(host, port, seconds):
    longest, count, going = 0, 0, until(seconds)
    with connect(host, port) as s:
        while going():
            began = time.monotonic()
            s.sendall(f"beat {count}\n".encode())
            if read_line(s) != ["beat", str(count)]:
                return {"ok": False, "answers": count, "longest": longest}
            longest = max(longest, time.monotonic() - began)
            count += 1
            time.sleep(max(0, 0.1 - (time.monotonic() - began)))
    return {"ok": True, "answers": count, "longest": longest}


def talk(host, port):
    longest, count = 0, 0
    with connect(host, port) as s:
        print("connected", flush=True)
        for _ in sys.stdin:
            began = time.monotonic()
            s.sendall(f"word {count}\n".encode())
            if read_line(s) != ["word", str(count)]:
                return {"ok": False, "answers": count}
            took = time.monotonic() - began
            print(f"answered after {1000 * took:.2f} ms", flush=True)
            longest = max(longest, took)
            count += 1
    return {"ok": True, "answers": count, "longest": longest}


def load_one(host, port, going, result):
    size, rounds, longest = PART, 0, 0
    with connect(host, port) as s:
        result["connected"] = True
        while going():
            began = time.monotonic()
            s.sendall(f"get {size}\n".encode())
            if receive(s, size) != (size, digest_of(size)):
                return "fetched bytes are wrong"
            s.sendall(f"put {size}\n".encode())
            for p in parts(size):
                s.sendall(p)
            if read_line(s) != [str(size), digest_of(size)]:
                return "sent bytes are wrong"
            rounds += 1
            longest = max(longest, time.monotonic() - began)
            result.update(rounds=rounds, longest=longest)
    return None


def load(host, port, connections, seconds):
    results = [{"rounds": 0, "longest": 0} for _ in range(connections)]
    end = time.monotonic() + seconds
    enough = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: enough.set())

    def run_one(result):
        try:
            going = lambda: time.monotonic() < end and not enough.is_set()
            result["error"] = load_one(host, port, going, result)
        except OSError as e:
            result["error"] = str(e)

    threads = [threading.Thread(target=run_one, args=(r,)) for r in results]
    for t in threads:
        t.start()
    while any("connected" not in r and "error" not in r for r in results):
        time.sleep(0.05)
    print("connected", flush=True)
    for t in threads:
        t.join()
    errors = [r["error"] for r in results if r["error"]]
    return {"ok": not errors and all(r["rounds"] for r in results), "errors": errors,
            "rounds": [r["rounds"] for r in results], "longest": max(r["longest"] for r in results)}


def hold(host, port):
    with connect(host, port) as s:
        s.sendall(b"hello\n")
        read_line(s)
        print("connected", flush=True)
        rest = s.recv(1)
    return {"ok": rest == b"", "closed": True}


def udp_server(port, times=1):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", port))
        while True:
            data, sender = s.recvfrom(1 << 16)
            for _ in range(times):
                s.sendto(data * times, sender)


def udp(host, port, *sizes):
    answered = []
    for n in sizes:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.connect((host, port))
            data = hashlib.shake_128(n.to_bytes(8, "big")).digest(n)
            for _ in range(3):  # UDP may lose
                s.send(data)
                try:
                    if s.recv(1 << 16) == data:
                        answered.append(n)
                        break
                except TimeoutError:
                    continue
    return {"ok": answered == list(sizes), "answered": answered}


def main(argv):
    programs = {"get": get, "put": put, "gets": gets, "puts": puts, "echo": echo, "beat": beat, "talk": talk, "load": load, "hold": hold, "udp": udp,
                "connect": lambda host, port: connect(host, port).close() or {"ok": True}}
    if argv[0] == "server":
        return server(int(argv[1]))
    if argv[0] == "udp-server":
        return udp_server(*map(int, argv[1:]))
    began = time.monotonic()
    try:
        result = {"errno": None, **programs[argv[0]](argv[1], *map(int, argv[2:]))}
    except OSError as e:
        name = errno.errorcode.get(e.errno, str(e)) if e.errno else "TIMEOUT"
        result = {"ok": False, "errno": name}
    result["seconds"] = time.monotonic() - began
    print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
