# SPDX-License-Identifier: Apache-2.0
"""What runs over shila: iperf3 as it is, and a file transfer by two ordinary TCP programs."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

from . import DemoError
from .network import CLIENT, SERVER

IPERF_PORT, FILE_PORT = 5201, 5202
TICK_S = 0.05

# Both know nothing of MPTCP or SCION. Files are handed over open: they have no name, so nothing
# can be left behind, and it does not matter which user `shila run` makes of us.
SEND = """\
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
    while data := sys.stdin.buffer.read(65536):
        s.sendall(data)
"""
RECEIVE = """\
import os, socket, sys
with socket.create_server(("", int(sys.argv[1]))) as listener:
    s = listener.accept()[0]
    while data := s.recv(262144):
        os.write(1, data)
"""


class Server:
    """iperf3 -s; a new one for whoever asks, so that none is left busy."""

    def __init__(self, network):
        self.network = network
        self.log = tempfile.TemporaryFile()
        self.process = network.start(SERVER, ["iperf3", "-s", "-p", str(IPERF_PORT)],
                                     stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        network.wait_listening(self.process, IPERF_PORT, "the iperf3 server")


def iperf(network, address, omit_s, seconds, on_tick):
    """Goodput in bit/s as the receiver saw it. on_tick(elapsed_s) is called all the while."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        p = network.start(CLIENT, ["iperf3", "-c", address, "-p", str(IPERF_PORT), "-O", str(omit_s),
                                   "-t", str(seconds), "-J"],
                          stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        began = time.monotonic()
        while p.poll() is None:
            network.check()
            elapsed = time.monotonic() - began
            if elapsed > omit_s + seconds + 15:
                raise DemoError(f"iperf3 to {address} does not come to an end")
            on_tick(elapsed)
            time.sleep(TICK_S)
        network.finish(p)
        out.seek(0)
        err.seek(0)
        try:
            result = json.load(out)
        except ValueError:
            result = {"error": err.read().decode(errors="replace").strip() or f"exit code {p.returncode}"}
    if "error" in result or p.returncode:
        raise DemoError(f"iperf3 to {address} failed: {result.get('error', p.returncode)}")
    return result["end"]["sum_received"]["bits_per_second"]


def _sha256(f):
    f.seek(0)
    digest = hashlib.sha256()
    while data := f.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


class Transfer:
    """What came of it."""

    def __init__(self):
        self.size = self.received = 0
        self.seconds = self.longest_pause_s = 0.0
        self.sent_sha256 = self.received_sha256 = None
        self.problem = None

    @property
    def good(self):
        return self.problem is None and self.sent_sha256 == self.received_sha256


def transfer(network, address, size, limit_s, on_tick):
    """Sends a file of random bytes. on_tick(elapsed_s, bytes received) is called all the while."""
    t = Transfer()
    t.size = size
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink, \
         tempfile.TemporaryFile() as err:
        for begin in range(0, size, 1 << 20):
            source.write(os.urandom(min(1 << 20, size - begin)))
        source.seek(0)
        receiver = network.start(SERVER, [sys.executable, "-c", RECEIVE, str(FILE_PORT)],
                                 stdin=subprocess.DEVNULL, stdout=sink, stderr=err)
        network.wait_listening(receiver, FILE_PORT, "the receiver of the file")
        sender = network.start(CLIENT, [sys.executable, "-c", SEND, address, str(FILE_PORT)],
                               stdin=source, stdout=subprocess.DEVNULL, stderr=err)
        began = grew = time.monotonic()
        while True:
            ended = receiver.poll() is not None  # before looking at what it wrote
            now = time.monotonic()
            have = os.fstat(sink.fileno()).st_size
            if have > t.received:
                if t.received:
                    t.longest_pause_s = max(t.longest_pause_s, now - grew)
                t.received, grew = have, now
            t.seconds = grew - began
            if ended:
                break
            network.check()
            if now - began > limit_s:
                t.longest_pause_s = max(t.longest_pause_s, now - grew)
                t.problem = f"not over after {limit_s:.0f} s: {have} of {size} bytes arrived"
                break
            if sender.poll():
                t.problem = "the sender failed"
                break
            on_tick(now - began, have)
            time.sleep(TICK_S)
        if ended:
            try:
                sender.wait(5)  # it learns a little later that all has arrived
            except subprocess.TimeoutExpired:
                pass
        for p in (sender, receiver):
            network.finish(p)
        if t.problem is None and (sender.returncode or receiver.returncode):
            t.problem = f"exit codes of sender and receiver: {sender.returncode}, {receiver.returncode}"
        err.seek(0)
        said = err.read().decode(errors="replace").strip()
        if t.problem and said:
            t.problem += f"\n{said}"
        t.sent_sha256, t.received_sha256 = _sha256(source), _sha256(sink)
    return t
