# SPDX-License-Identifier: Apache-2.0
"""Two daemons in two ASes with three paths between them, and in each AS a host that sends the daemon there what it likes.

    forged = Forged(attacked, ...)    one side: whom, from where, in whose name
    forged.kinds()                    {name: (packets, counters that show them)}
    forged.spray(packets, seconds)    how many were sent
"""

import os
import socket
import struct
import sys
import tempfile
import time

from harness import *  # noqa: F403

sys.path.insert(0, TOOLS)
import inject  # noqa: E402
from inject import ACCEPT, ACK, ALIVE, CLOSE, DATA, HELLO_ACK, PROBE_REPLY, REJECT, UNKNOWN, frame, thin  # noqa: E402,F401

ms = inject.ms
CONTACT = 31654
SPRAY = os.path.join(TOOLS, "spray.py")
LINKS = 3
ETH, IP, UDP = 14, 20, 8
LIMITS = {"drop.limit_frames_peers", "drop.limit_frames_as", "drop.limit_frames_strangers", "drop.limit_unknown", "drop.limit_scmp",
          "drop.socket_full"}
SCMP_TYPES = [(1, 0, 4), (1, 4, 4), (2, 0, 4), (3, 0, 4), (4, 0, 4), (4, 51, 4), (4, 52, 4), (5, 0, 16), (6, 0, 24), (100, 0, 4), (127, 0, 4),
              (128, 0, 4), (129, 0, 4), (130, 0, 20), (131, 0, 20), (200, 0, 4), (255, 0, 4)]


class Seen:
    """A SCION/UDP packet with a frame that came to the host or left it."""

    def __init__(self, raw):
        head = raw[5] * 4
        self.raw = raw[:head + struct.unpack(">H", raw[6:8])[0]]
        self.src_port, self.dst_port = struct.unpack(">HH", raw[head:head + 4])
        self.flow_id = struct.unpack(">I", raw[:4])[0] & 0xFFFFF
        self.frame = inject.Frame(self.raw[head + UDP:], self.src_port, self.dst_port, len(self.raw))


def capture(netns, address, seconds):
    """What comes to that address: [Seen]. Of a train the first packet."""
    sock, out, until = inject.socket_in(netns, socket.AF_PACKET, socket.SOCK_RAW), [], time.monotonic() + seconds
    sock.bind(("eth0", 0x0800))
    sock.settimeout(0.1)
    mine = socket.inet_aton(address)
    while time.monotonic() < until:
        try:
            p = sock.recv(1 << 17)
        except socket.timeout:
            continue
        raw = p[ETH + IP + UDP:]
        if p[ETH + 9] == 17 and p[ETH + 16:ETH + 20] == mine and len(raw) > 60 and raw[4] == 17 and raw[5] * 4 + UDP + 12 <= len(raw):
            out.append(Seen(raw))
    sock.close()
    return out


class Forged:
    def __init__(self, lab, attacked, attacker, peer):
        """attacked, peer: Shilad; attacker: a host in the AS of the attacked."""
        self.lab, self.attacked, self.attacker = lab, attacked, attacker
        host = lab.hosts[attacked.host]
        self.me = (host["isd_as"], host["address"])
        self.peer = (lab.hosts[peer.host]["isd_as"], lab.hosts[peer.host]["address"])
        self.other = (self.peer[0], self.peer[1].rsplit(".", 1)[0] + ".99")
        self.netns = f"/run/netns/{lab.netns(attacked.host)}"
        self.seen = []
        self.look()

    def look(self):
        """Learns the names of its flows from what comes to it: more than a forger off the path can."""
        def enough():
            self.seen += capture(self.netns, self.me[1], 0.3)
            return len({s.frame.to for s in self.of(DATA)}) >= LINKS and self.of(PROBE_REPLY)
        wait_for(enough, 10, "frames of all flows")
        self.flows = {s.frame.to: s for s in self.of(DATA)}

    def of(self, *types):
        return [s for s in self.seen if s.frame.type in types]

    def packet(self, seen, data, source):
        """As if it were from the peer's port, to the port where the flow is."""
        return seen.dst_port, ms.raw(ms.Packet(self.me, source, None, seen.flow_id).udp(seen.src_port, seen.dst_port, data))

    def scmp(self):
        """Of every type, from whoever; errors quote a frame between the right ports, with the right FlowID and a wrong name."""
        out = []
        for seen in self.flows.values():
            wrong = (seen.frame.to[0] ^ 0x5A5, seen.frame.to[1] ^ 0xA5A5)
            index = seen.frame.to[0] >> 12
            quote = ms.raw(ms.Packet(self.peer, self.me, None, index).udp(seen.dst_port, seen.src_port,
                                                                          frame(DATA, thin(1, 1, ACK), bytes(300), to=wrong)))
            for kind, code, block in SCMP_TYPES:
                body = struct.pack(">HH", CONTACT, 7) + bytes(block - 4) if kind >= 128 else bytes(block)
                for port in (seen.dst_port, CONTACT):
                    out.append((port, ms.raw(ms.Packet(self.me, self.peer, None, index)
                                             .scmp(kind, code, body, quote if kind < 128 else b""))))
        return out

    def kinds(self):
        """Frames to each flow, with its name; `wrong` has another one."""
        each = self.flows.values()
        mine = [s.frame.to for s in each]
        theirs = (0x123456, 0x789A)
        unknown = [inject.unknown(theirs, n[0] >> 12) for n in mine]
        close, reject = ([inject.end(k, n, theirs, 7) for n in mine] for k in (CLOSE, REJECT))
        accept = [inject.accept(n, theirs, 31000) for n in mine]
        data = [frame(DATA, thin(1, 1, ACK), bytes(200), to=n, epoch=1) for n in mine]
        alive = [frame(ALIVE, bytes(12), to=n, epoch=1) for n in mine]

        def forged(frames, source):
            return [self.packet(s, f, source) for s, f in zip(each, frames)]

        def wrong(s):
            n = (s.frame.to[0] ^ 0x5A5, s.frame.to[1] ^ 0xA5A5)
            return [frame(DATA, thin(1, 1, ACK), bytes(200), to=n, epoch=1), frame(ALIVE, bytes(12), to=n, epoch=1),
                    inject.end(CLOSE, n, theirs, 7), inject.end(REJECT, n, theirs, 3), inject.accept(n, theirs, 31000),
                    inject.unknown(theirs, n[0] >> 12)]
        wrong_source, unknown_flow, state = "drop.frame_wrong_source", "drop.frame_unknown_flow", "drop.frame_state"
        return {
            "SCMP of every type": (self.scmp(), {"drop.scmp_unmatched"}),
            "UNKNOWN of another address": (forged(unknown, self.other), {unknown_flow}),
            "CLOSE of another address": (forged(close, self.other), {wrong_source}),
            "PROBE-REPLY of another address": ([self.packet(s, s.frame.data, self.other) for s in self.of(PROBE_REPLY)], {state}),
            "REJECT of another address": (forged(reject, self.other), {wrong_source, state}),
            "ACCEPT of another address": (forged(accept, self.other), {wrong_source, state}),
            "DATA and ALIVE of another address": (forged(data, self.other) + forged(alive, self.other), {wrong_source}),
            "the right address and a wrong name": ([self.packet(s, f, self.peer) for s in each for f in wrong(s)], {unknown_flow}),
            "PROBE-REPLYs replayed": ([(s.dst_port, s.raw) for s in self.of(PROBE_REPLY, HELLO_ACK)], {state}),
            "DATA and ALIVE replayed": ([(s.dst_port, s.raw) for s in self.of(DATA, ALIVE)][:2000], set()),
        }

    def spray(self, packets, seconds, rate=10000):
        with tempfile.NamedTemporaryFile("w", suffix=".spray") as f:
            f.writelines(f"{port} {data.hex()}\n" for port, data in packets)
            f.flush()
            p = spawn(self.lab.inside(self.attacker, [sys.executable, "-B", SPRAY, self.me[1], f.name, rate, seconds]))
            return int(p.finish(seconds + 20))

    def drops(self):
        return {d["name"]: d["count"] for d in self.attacked.rpc("drops")}
