#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a daemon does with packets that are wrong or forged: each refusal, each limit, and how much it sends."""

import os
import struct
import time

from harness import *  # noqa: F403
from hostile import ALLOWED_AS, AS, CONTACT, STRANGER, Hostile
import amplification
import inject
from inject import (ACCEPT, ACK, ALIVE, CLOSE, DATA, DATAGRAM, DGRAM, FIN, FRAG, HELLO_ACK, LAST, MAIN, OPEN, PLAIN,
                    PROBE_REPLY, REJECT, RST, SUB, SYN, UNKNOWN, URG, TcpClient, frame, hello, open_frame, probe, thin)


class Refusals(Hostile):
    """Each refusal, to the contact port and to a worker port."""

    def both(self, why, build, counter, answer=None):
        for port in (CONTACT, self.worker[0]):
            self.refused(f"{why}, port {port}", port, build(port), counter, answer)

    def test_scion(self):
        i = self.i
        good = open_frame(self.names(), (1, 8000))
        self.both("not a SCION packet", lambda p: b"\xff" * 60, "drop.scion_malformed")
        self.both("an empty datagram", lambda p: b"\0", "drop.scion_malformed")
        self.both("cut in the SCION header", lambda p: i.packet(p, good)[:30], "drop.scion_malformed")
        self.both("cut in the payload", lambda p: i.packet(p, good)[:-7], "drop.scion_malformed")
        self.both("longer than it says", lambda p: i.packet(p, good) + b"more", "drop.scion_malformed")
        self.both("SCION version 1", lambda p: bytes([0x10]) + i.packet(p, good)[1:], "drop.scion_malformed")
        self.both("header length 0", lambda p: i.packet(p, good)[:5] + b"\0" + i.packet(p, good)[6:], "drop.scion_malformed")
        self.both("UDP length too small", lambda p: self.udp_length(p, good, 4), "drop.scion_malformed")
        self.both("UDP length too large", lambda p: self.udp_length(p, good, 600), "drop.scion_malformed")
        for kind in (2, 3, 4, 255):
            self.both(f"path type {kind}", lambda p, kind=kind: self.patch(p, good, 8, kind), "drop.scion_path_type")
        self.both("a SCION path without segments",
                  lambda p: self.patch(p, good, 8, 1), "drop.scion_malformed")
        self.both("destination is a service", lambda p: self.patch(p, good, 9, 0x40), "drop.scion_addr_type")
        self.both("another host", lambda p: i.packet(p, good, target=(AS, "10.12.0.99")), "drop.scion_not_us")
        self.both("another AS", lambda p: i.packet(p, good, target=("2-64512", self.target[1])), "drop.scion_not_us")
        self.both("another port", lambda p: i.packet(p + 1, good), "drop.scion_not_us")
        self.both("wrong checksum", lambda p: i.packet(p, good)[:-1] + b"\x01", "drop.scion_checksum")
        self.both("checksum 0", lambda p: self.no_checksum(p, good), "drop.scion_checksum")
        self.both("BFD", lambda p: self.patch(p, good, 4, 203), "drop.scion_l4")
        self.both("TCP", lambda p: self.patch(p, good, 4, 6), "drop.scion_l4")

    def patch(self, port, data, at, value):
        p = bytearray(self.i.packet(port, data))
        p[at] = value
        return bytes(p)

    def udp_length(self, port, data, value):
        p = bytearray(self.i.packet(port, data))
        at = p[5] * 4 + 4
        p[at:at + 2] = struct.pack(">H", value)
        return bytes(p)

    def no_checksum(self, port, data):
        p = bytearray(self.i.packet(port, data))
        at = p[5] * 4 + 6
        p[at:at + 2] = b"\0\0"
        return bytes(p)

    def test_frames(self):
        i, n, m = self.i, self.names(), self.names()

        def both(why, data, counter="drop.frame_malformed", answer=None):
            self.both(why, lambda p: i.packet(p, data), counter, answer)
        for version in (0, 2, 15):
            both(f"version {version}", frame(inject.PROBE, bytes(12), version=version), "drop.frame_version")
        for kind in (0, 13, 14, 15):
            both(f"type {kind}", frame(kind, bytes(64), to=n))
        for kind in range(1, 13):
            both(f"type {kind}, 11 bytes", frame(kind, to=n)[:11])
        for kind in (ACCEPT, REJECT, ALIVE, DATA, DATAGRAM, CLOSE):
            both(f"type {kind} to index 0", frame(kind, bytes(30), to=(0xFFF, 1)))
        # HELLO
        both("HELLO, cut", hello()[:55])
        both("HELLO, no workers", hello(workers=0))
        both("HELLO, 9 workers", hello(workers=9))
        both("HELLO, worker port 0", hello(ports=(31000, 0)))
        both("HELLO, versions 0 to 1", hello(versions=(0, 1)))
        both("HELLO, versions 2 to 1", hello(versions=(2, 1)))
        # OPEN
        syn, tcp = thin(1, 0, SYN), (1, 8000)
        both("OPEN, 75 bytes", open_frame(n, tcp)[:75])
        both("OPEN, sender's index 0", open_frame((0xFFF, 1), tcp))
        both("OPEN, kind 0", open_frame(n, tcp, kind=0))
        both("OPEN, kind 5", open_frame(n, tcp, kind=5))
        both("OPEN, TCP as datagrams", open_frame(n, tcp, kind=DGRAM))
        both("OPEN, UDP as plain TCP", open_frame(n, tcp, syn, proto=17))
        both("OPEN, addresses of 5 bytes", open_frame(n, tcp, size=5))
        both("OPEN, addresses of 16 bytes that are not there", open_frame(n, tcp, size=16))
        both("OPEN, body longer than the frame", open_frame(n, tcp, body_len=600))
        both("OPEN, no SYN", open_frame(n, tcp, thin(1, 0, ACK)))
        both("OPEN, SYN and ACK", open_frame(n, tcp, thin(1, 0, SYN | ACK)))
        both("OPEN, SYN and FIN", open_frame(n, tcp, thin(1, 0, SYN | FIN)))
        both("OPEN, SYN and RST", open_frame(n, tcp, thin(1, 0, SYN | RST)))
        both("OPEN, data offset 4", open_frame(n, tcp, thin(1, 0, SYN, offset=4)))
        both("OPEN, options cut", open_frame(n, tcp, thin(1, 0, SYN, offset=15)))
        both("OPEN, urgent pointer cut", open_frame(n, tcp, thin(1, 0, SYN | URG)[:12], body_len=12))
        # the others
        both("PROBE, cut", probe()[:23])
        both("PROBE-REPLY, cut", probe(PROBE_REPLY)[:23])
        both("UNKNOWN, cut", inject.unknown(n, 1)[:21])
        both("CLOSE, cut", inject.end(CLOSE, n, m)[:18])
        # to flows that do not exist
        unknown = "drop.frame_unknown_flow"
        both("ACCEPT for nothing", inject.accept(n, m), unknown)
        both("REJECT for nothing", inject.end(REJECT, n, m), unknown)
        both("CLOSE for nothing", inject.end(CLOSE, n, m), unknown)
        both("UNKNOWN for nothing", inject.unknown(n, 1), unknown)
        both("ALIVE for nothing", frame(ALIVE, to=n), unknown)
        both("ALIVE of a PROBE's length for nothing", frame(ALIVE, bytes(12), to=n), unknown, UNKNOWN)
        both("DATA for nothing", frame(DATA, thin(1, 1, ACK), to=n), unknown, UNKNOWN)
        both("DATAGRAM for nothing", frame(DATAGRAM, bytes(30), to=n), unknown, UNKNOWN)
        both("short DATAGRAM for nothing", frame(DATAGRAM, b"x", to=n), unknown)
        # unasked
        both("HELLO-ACK unasked", hello(HELLO_ACK), "drop.frame_state")
        both("PROBE-REPLY unasked", probe(PROBE_REPLY), "drop.frame_state")

    def test_who(self):
        i = self.i

        def both(why, data, counter, answer=None, source=None):
            self.both(why, lambda p: i.packet(p, data, source=source), counter, answer)
        both("OPEN of a stranger", open_frame(self.names(), (1, 8000)), "drop.not_allowed", REJECT, STRANGER)
        both("HELLO of a stranger", hello(), "drop.not_allowed", None, STRANGER)
        both("PROBE of a stranger", probe(), "drop.not_allowed", None, STRANGER)
        served = "drop.not_served"
        both("port not served", open_frame(self.names(), (1, 80)), served, REJECT)
        both("protocol not served", open_frame(self.names(), (0, 0), proto=47, kind=DGRAM), served, REJECT)
        both("UDP port not served", open_frame(self.names(), (1, 53), proto=17, kind=DGRAM), served, REJECT)
        for address in ("127.0.0.1", "10.12.0.1", "255.255.255.255", "224.0.0.1"):
            both(f"destination {address}", open_frame(self.names(), (1, 8000), dst=address), served, REJECT)
        both("no IPv6 here", open_frame(self.names(), (1, 8000), src="fd00::1", dst="::"), served, REJECT)

    def test_established(self):
        """Frames that name a running flow, and are wrong."""
        c = TcpClient(self.i, (40001, 8000), 77, CONTACT, self.peer)
        c.open()
        self.assertEqual(c.say(b"hello there\n"), b"hello there\n")
        self.i.receive(0.3)
        flow = {"flow": 77}

        def refused(why, data, counter, port=None, source=None, answer=None, **how):
            self.refused(why, port or c.port, self.i.packet(port or c.port, data, source=source, **flow, **how), counter, answer)
        dt = frame(DATA, thin(c.seq, c.ack, ACK), to=c.peer)
        other = (AS, "10.12.0.77")
        refused("DATA of another host", dt, "drop.frame_wrong_source", source=other)
        refused("ALIVE of another host", frame(ALIVE, to=c.peer), "drop.frame_wrong_source", source=other)
        refused("DATA of another AS", dt, "drop.frame_wrong_source", source=("1-64513", self.peer[1]))
        refused("DATA from another port", dt, "drop.frame_wrong_source", src_port=self.i.port + 1)
        refused("DATAGRAM in a TCP flow", frame(DATAGRAM, bytes(40), to=c.peer), "drop.frame_malformed")
        refused("DATA, data offset 4", frame(DATA, thin(1, 1, ACK, offset=4), to=c.peer), "drop.frame_malformed")
        refused("DATA, options cut", frame(DATA, thin(1, 1, ACK, offset=15), to=c.peer), "drop.frame_malformed")
        refused("DATA, cut", dt[:23], "drop.frame_malformed")
        refused("DATA, urgent pointer cut", frame(DATA, thin(1, 1, ACK | URG)[:12], to=c.peer), "drop.frame_malformed")
        refused("DATA with another tag", frame(DATA, thin(1, 1, ACK), to=(c.peer[0], c.peer[1] ^ 1)),
                "drop.frame_unknown_flow", answer=UNKNOWN)
        refused("DATA with other random bits", frame(DATA, thin(1, 1, ACK), to=(c.peer[0] ^ 1, c.peer[1])),
                "drop.frame_unknown_flow", answer=UNKNOWN)
        refused("DATA to the contact port", dt, "drop.frame_state", port=CONTACT)
        refused("ACCEPT to a server", inject.accept(c.peer, c.name), "drop.frame_state")
        refused("REJECT to a server", inject.end(REJECT, c.peer, c.name), "drop.frame_state")
        refused("ACCEPT of another host", inject.accept(c.peer, c.name), "drop.frame_wrong_source", source=other)
        refused("CLOSE with another name", inject.end(CLOSE, c.peer, (c.name[0] ^ 1, c.name[1])), "drop.frame_unknown_flow")
        refused("CLOSE of another host", inject.end(CLOSE, c.peer, c.name), "drop.frame_wrong_source", source=other)
        refused("UNKNOWN with another FlowID", inject.unknown(c.name, 1), "drop.frame_unknown_flow")
        refused("UNKNOWN of another host", inject.unknown(c.name, c.peer[0] >> 12), "drop.frame_unknown_flow", source=other)
        refused("ACCEPT, body too long", inject.accept(c.peer, c.name, body=thin(1, 1, SYN | ACK, options=bytes([1]) * 40) + bytes(9)),
                "drop.frame_state")
        # An OPEN once more is no second flow, and gets one answer.
        before = len(self.h2.flows())
        again = self.h2.counter("opens_again")
        drops = self.drops()
        self.i.send(CONTACT, c.open_bytes(), source=self.peer)
        answers = self.settle(CONTACT)
        self.assertEqual([a.type for a in answers], [ACCEPT])
        self.assertEqual(answers[0].sender, c.peer)
        self.assertEqual(len(self.h2.flows()), before)
        self.assertEqual(self.h2.counter("opens_again"), again + 1)
        self.assertEqual(self.difference(drops), {})
        # And it still works.
        self.assertEqual(c.say(b"still here\n"), b"still here\n")
        c.data(flags=RST | ACK)

    def test_open_of_a_running_flow(self):
        """An OPEN with addresses and ports of a running connection, under another name, does not end it."""
        flow = self.h2.flows(state="open", role="main", side="server")[0]
        port = int(flow["remote"].rsplit(":", 1)[1])
        drops, resets = self.drops(), self.h2.counter("resets_to_programs")
        for kind in (MAIN, SUB, PLAIN):
            self.i.send(CONTACT, open_frame(self.names(), (port, 8000), kind=kind, src=flow["client"]),
                        source=self.real_peer)
        self.assertEqual(self.settle(CONTACT), [])
        self.assertEqual(self.difference(drops), {"drop.in_use": 3})
        self.assertEqual([f["id"] for f in self.h2.flows(state="open", role="main", side="server")], [flow["id"]])
        self.assertEqual(self.h2.counter("resets_to_programs"), resets)

    def test_client_that_lost_its_flow(self):
        """It uses the ports again: asked about the old flow it says UNKNOWN, and its next OPEN gets through."""
        old = TcpClient(self.i, (40100, 8000), 0x200, CONTACT, self.peer)
        old.open()
        self.assertEqual(old.say(b"first\n"), b"first\n")
        self.i.receive(0.3)
        new = TcpClient(self.i, (40100, 8000), 0x201, CONTACT, self.peer)
        self.i.send(CONTACT, new.open_bytes())
        asked = self.i.receive(10, DATA)
        self.assertEqual([(f.type, f.to) for f in asked], [(DATA, old.name)])
        self.i.send(old.port, inject.unknown(old.name, old.peer[0] >> 12), src_port=self.i.port)
        # its FlowID is that of the server's flow, which is how the frame for the old flow was numbered
        new.open()
        self.assertEqual(new.say(b"second\n"), b"second\n")
        new.data(flags=RST | ACK)

    def test_datagrams(self):
        server = self.h2.serve(9000, udp=True)
        n = self.names()
        self.i.send(CONTACT, open_frame(n, (5000, 9000), inject.udp_packet("10.7.9.9", "10.70.2.1", 5000, 9000, b"hi"), DGRAM, 17))
        a = self.i.receive(20, ACCEPT)[-1]
        to, port = a.sender, a.port
        self.i.send(port, frame(ALIVE, to=to))
        answer = self.i.receive(20, DATAGRAM)[-1]
        self.assertEqual(inject.ip_of(answer.body), (17, 9000, 5000, b"hi"))

        def refused(why, data, counter="drop.frame_malformed"):
            self.refused(why, port, self.i.packet(port, data), counter)
        udp = inject.udp_packet
        refused("DATA in a datagram flow", frame(DATA, thin(1, 1, ACK), to=to), "drop.frame_state")
        refused("empty", frame(DATAGRAM, to=to))
        refused("LAST without FRAG", frame(DATAGRAM, bytes(40), to=to, flags=LAST))
        refused("an empty part", frame(DATAGRAM, bytes(4), to=to, flags=FRAG))
        self.i.send(port, frame(DATAGRAM, bytes(60000), to=to, flags=FRAG))
        refused("two parts, too large together", frame(DATAGRAM, bytes(60000), to=to, flags=FRAG | LAST))
        refused("not IP", frame(DATAGRAM, b"\xff" * 40, to=to))
        refused("another port of the server", frame(DATAGRAM, udp("10.7.9.9", "10.70.2.1", 5000, 22, b"x"), to=to))
        refused("another port of the client", frame(DATAGRAM, udp("10.7.9.9", "10.70.2.1", 5001, 9000, b"x"), to=to))
        refused("another protocol", frame(DATAGRAM, inject.ip_packet("10.7.9.9", "10.70.2.1", 1, bytes([8, 0, 0, 0, 0, 1, 0, 1]), 2), to=to))
        refused("IPv6", frame(DATAGRAM, udp("fd00::1", "fd00:70:2::1", 5000, 9000, b"x"), to=to))
        refused("an error that quotes another flow", frame(DATAGRAM, self.icmp(udp("10.70.2.1", "10.7.9.9", 22, 5000, b"")), to=to))
        refused("an error that quotes other addresses", frame(DATAGRAM, self.icmp(udp("10.70.2.1", "10.1.1.1", 9000, 5000, b"")), to=to))
        refused("a redirect", frame(DATAGRAM, self.icmp(udp("10.70.2.1", "10.7.9.9", 9000, 5000, b""), kind=5), to=to))
        self.assertIn("udp", [f["protocol"] for f in self.h2.flows(side="server")])
        server.close()

    @staticmethod
    def icmp(quote, kind=3, code=4):
        return inject.ip_packet("10.7.9.9", "10.70.2.1", 1, bytes([kind, code, 0, 0, 0, 0, 5, 0]) + quote[:28], 2)


class LimitsTest(Hostile):
    def clients(self, host, asn=ALLOWED_AS, src="10.7.9.9", count=1, confirm=True):
        """So many opened flows of one host."""
        out = []
        for _ in range(count):
            number, before = self.names()[0] >> 12, self.drops()
            c = TcpClient(self.i, (20000 + number, 8000), number, CONTACT, (asn, host), src=src)
            answer = c.open(confirm=confirm)
            self.assertEqual(answer.type, ACCEPT, self.difference(before))
            out.append(c)
        return out

    def one_more(self, host, counter, answer, asn=ALLOWED_AS, src="10.7.9.9"):
        """An OPEN above a limit."""
        number = self.names()[0] >> 12
        packet = self.i.packet(CONTACT, open_frame((number << 12 | 1, 1), (20000 + number, 8000), src=src), source=(asn, host))
        before = self.drops()
        self.i.send_raw(CONTACT, packet)
        answers = self.settle(CONTACT)
        self.assertEqual(self.difference(before), {counter: 1}, answers)
        self.assertEqual([(a.type, a.reason) for a in answers], [(REJECT, 4)] if answer else [])
        for a in answers:
            self.assertLessEqual(a.size, len(packet))

    def end(self, clients):
        for c in clients:
            c.data(flags=RST | ACK)
        wait_for(lambda: not [f for f in self.h2.flows(side="server") if f["peer"] in
                              {f"{c.source[0]},{c.source[1]}" for c in clients}], 10, "the flows are forgotten")


class Limits(LimitsTest):
    """Each limit: its counter, the answer that it owes, and room again once there is some."""

    config2 = {"ingress": {"allow": [AS, ALLOWED_AS, "1-64514", "1-64515", "1-64516"], "serve": ["tcp/8000-8002"],
                           "pool": "10.64.0.0/28"},
               "workers": 1,
               "limits": {"flows": 40, "flows_per_peer": 4, "half_open_per_peer": 3,
                          "pool_addresses_per_peer": 2, "flows_per_as": 6, "half_open_per_as": 5,
                          "pool_addresses_per_as": 4, "peers_per_as": 3, "peers": 8, "linger_s": 1}}

    def test_flows_of_a_peer(self):
        flows = self.clients("10.0.1.1", count=4)
        self.one_more("10.0.1.1", "drop.limit_flows_per_peer", True)
        self.end(flows)
        self.end(self.clients("10.0.1.1"))

    def test_flows_of_an_as(self):
        flows = self.clients("10.0.1.1", "1-64514", count=3) + self.clients("10.0.1.2", "1-64514", count=3)
        self.one_more("10.0.1.2", "drop.limit_flows_per_as", True, "1-64514")
        self.end(flows)
        self.end(self.clients("10.0.1.2", "1-64514"))

    def half_open(self, hosts, counter, asn):
        """Young ones stay, and the OPEN gets no answer; the oldest makes room once it had time to answer."""
        all_of_them = [c for host, count in hosts.items() for c in self.clients(host, asn, count=count, confirm=False)]
        first = self.drops()[counter]
        self.one_more(next(iter(hosts)), counter, False, asn)
        self.assertEqual(self.drops()[counter], first + 1)
        time.sleep(1.1)
        before = {f["id"] for f in self.h2.flows(side="server") if f["peer"].startswith(asn)}
        late = self.clients(next(iter(hosts)), asn)
        after = {f["id"] for f in self.h2.flows(side="server") if f["peer"].startswith(asn)}
        self.assertEqual(len(before), len(after))
        self.assertEqual(len(after - before), 1)
        self.end(all_of_them + late)

    def test_half_open_of_a_peer(self):
        self.half_open({"10.0.2.1": 3}, "drop.limit_half_open", "1-64515")

    def test_half_open_of_an_as(self):
        self.half_open({"10.0.2.1": 2, "10.0.2.2": 3}, "drop.limit_half_open_per_as", "1-64516")

    def test_addresses(self):
        flows = self.clients("10.0.3.1", "1-64514", src="10.7.1.1") + self.clients("10.0.3.1", "1-64514", src="10.7.1.2")
        self.one_more("10.0.3.1", "drop.limit_pool_per_peer", True, "1-64514", "10.7.1.3")
        flows += self.clients("10.0.3.2", "1-64514", src="10.7.1.1") + self.clients("10.0.3.2", "1-64514", src="10.7.1.2")
        self.one_more("10.0.3.3", "drop.limit_pool_per_as", True, "1-64514", "10.7.1.3")
        self.end(flows)
        self.end(self.clients("10.0.3.3", "1-64514", src="10.7.1.3"))

    def test_peers(self):
        flows = [c for host in ("10.0.4.1", "10.0.4.2", "10.0.4.3") for c in self.clients(host)]
        self.one_more("10.0.4.4", "drop.limit_peers_per_as", False)
        flows += [c for host in ("10.0.4.1", "10.0.4.2", "10.0.4.3") for c in self.clients(host, "1-64514")]
        flows += self.clients("10.0.4.1", "1-64515")
        self.one_more("10.0.4.2", "drop.limit_peers", True, "1-64515")
        self.end(flows)
        self.end(self.clients("10.0.4.2", "1-64515"))


class Full(LimitsTest):
    """Limits of the daemon as a whole."""

    config2 = {"ingress": {"allow": [AS, ALLOWED_AS], "serve": ["tcp/8000-8002"], "pool": "10.64.0.0/29"}, "workers": 1,
               "limits": {"flows": 16, "linger_s": 1}}

    def test_pool(self):
        flows = [c for n in range(5) for c in self.clients("10.0.1.1", src=f"10.7.9.{n + 1}")]  # the connection beside has one
        self.one_more("10.0.1.1", "drop.limit_pool", True, src="10.7.9.6")
        self.end(flows)
        self.end(self.clients("10.0.1.1", src="10.7.9.6"))

    def test_flows(self):
        flows = self.clients("10.0.1.1", count=15)
        self.one_more("10.0.1.1", "drop.limit_flows", True)
        self.end(flows)
        self.end(self.clients("10.0.1.1"))


class Rates(LimitsTest):
    """Limits of so many a second."""

    config2 = {"ingress": {"allow": [AS, ALLOWED_AS, "1-64514"], "serve": ["tcp/8000-8002"]}, "workers": 1,
               "limits": {"opens_per_second_per_peer": 20, "opens_per_second_per_as": 30,
                          "frames_per_second_strangers": 4, "scmp_per_second": 10, "linger_s": 1}}

    def too_fast(self, counter, hosts, allowed, asn):
        """More than a second's worth at once: what is too much is counted and not answered, and later it goes on."""
        before = self.drops()
        for n in range(3 * allowed):
            number = self.names()[0] >> 12
            self.i.send(CONTACT, open_frame((number << 12 | 1, 1), (20000 + number, 8002)), source=(asn, hosts[n % len(hosts)]))
            if not self.difference(before):
                self.i.receive(1, REJECT)  # nobody listens: it is half-open no longer
        self.settle(CONTACT)
        changed = self.difference(before)
        self.assertLessEqual(set(changed), {counter, "drop.no_flow"}, changed)  # RSTs of the kernel after the REJECT
        self.assertGreaterEqual(changed[counter], allowed // 2)  # a second may have begun meanwhile
        time.sleep(1)
        self.end(self.clients(hosts[0], asn))

    def test_opens_of_a_peer(self):
        self.too_fast("drop.limit_opens", ["10.0.5.1"], 20, ALLOWED_AS)

    def test_opens_of_an_as(self):
        self.too_fast("drop.limit_opens_per_as", ["10.0.5.1", "10.0.5.2"], 30, "1-64514")

    def test_strangers(self):
        before = self.drops()
        for _ in range(50):
            self.i.send(CONTACT, open_frame(self.names(), (1, 8000)), source=STRANGER)
        answers = self.settle(CONTACT)
        changed = self.difference(before)
        self.assertEqual(sum(changed.values()), 50, changed)
        self.assertEqual(set(changed), {"drop.not_allowed", "drop.limit_frames_strangers"})
        self.assertLessEqual(changed["drop.not_allowed"], 8)
        self.assertEqual(len(answers), changed["drop.not_allowed"])

    def test_scmp(self):
        before = self.drops()
        for _ in range(50):
            self.i.send_raw(CONTACT, inject.ms.raw(inject.ms.Packet(self.target, STRANGER, None, 1)
                                                   .scmp(5, 0, bytes(16), bytes(60))))
        self.settle(CONTACT)
        changed = self.difference(before)
        self.assertEqual(sum(changed.values()), 50, changed)
        self.assertEqual(set(changed), {"drop.scmp_unmatched", "drop.limit_scmp"})
        self.assertLessEqual(changed["drop.scmp_unmatched"], 20)


class Amplification(Hostile):
    """No answer is larger than what it answers, whatever kernel and services behind the daemon say."""

    beat = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keep(cls.h2.spawn_traffic("udp-server", 9000, 10, ingress=True))
        cls.keep(cls.h2.spawn_traffic("udp-server", 9001, ingress=True))
        for port in (9000, 9001):
            cls.h2.wait_listening(port, "udp")
        # On 8001 the kernel does not answer, on 8002 nobody listens.
        cls.inside("nft", "add table ip t { chain in { type filter hook input priority 0; tcp dport 8001 drop; }; }")

    @classmethod
    def inside(cls, program, text):
        run(["nsenter", f"--net=/run/netns/{cls.h2.ns_ingress}", program, *([text] if program == "nft" else text.split())])

    def test_refused_late(self):
        """The kernel says RST when the bare ACCEPT is gone: no second answer, but one to the next OPEN or ALIVE."""
        for again in (OPEN, ALIVE):
            self.inside("tc", "qdisc replace dev shila-i0 root tbf rate 500bit burst 50 latency 4s")
            i = self.injector()
            c = TcpClient(i, (30000 + again, 8002), 0x300 + again, CONTACT, self.peer)
            i.send(CONTACT, open_frame(self.names(), (29000 + again, 8002)))  # its RST takes what the bucket holds for 0.8 s
            i.receive(20, REJECT)
            i.send(CONTACT, c.open_bytes())
            frames = i.receive(20, ACCEPT)
            self.assertEqual([(f.type, len(f.data)) for f in frames], [(ACCEPT, 20)])
            wait_for(lambda: self.h2.log().count("port closed") == 2, 20, "the RST")
            self.inside("tc", "qdisc del dev shila-i0 root")
            self.assertEqual(i.receive(0.1), [])
            if again == OPEN:
                i.send(CONTACT, c.open_bytes())
            else:
                i.send(frames[0].port, frame(ALIVE, to=frames[0].sender))
            frames = i.receive(10, REJECT) + i.receive(0.3)
            self.assertEqual([(f.type, f.reason) for f in frames], [(REJECT, 3)])
            self.assertLessEqual(i.got, i.sent)
            wait_for(lambda: not [f for f in self.h2.flows(side="server") if ":8002" in f["local"]], 20, "no flow is left")
            self.h2.log_mark()
            i.close()

    def test_every_frame_in_every_state(self):
        rows = amplification.Matrix(self.injector, STRANGER, CONTACT, self.worker).measure()
        if "AMPLIFICATION_TABLE" in os.environ:
            with open(os.environ["AMPLIFICATION_TABLE"], "w", encoding="utf-8") as f:
                f.write(amplification.table(rows) + "\n")
        bad = [r for r in rows if r.bytes_out > r.bytes_in]
        self.assertEqual(bad, [], amplification.table(rows))
        self.assertEqual(len({(r.type, r.port, r.flow, r.state) for r in rows}), 12 * 2 * (2 + 5 * 2))
        total_in, total_out = sum(r.bytes_in for r in rows), sum(r.bytes_out for r in rows)
        print(f"\n    measured: {len(rows)} cells, {total_in} bytes in, {total_out} bytes out: "
              f"{total_out / total_in:.2f}; worst cell {max(r.bytes_out / r.bytes_in for r in rows):.2f}", flush=True)


if __name__ == "__main__":
    main()
