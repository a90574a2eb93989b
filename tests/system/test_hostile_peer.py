#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Peers that are allowed, speak the protocol, and then misbehave: as clients, as servers, and in the name of others."""

import os
import random
import struct
import sys

from harness import *  # noqa: F403
from hostile import ALLOWED_AS, AS, CONTACT, Hostile
import inject
from inject import (ACCEPT, ACK, ALIVE, CLOSE, DATA, DATAGRAM, DGRAM, FIN, FRAG, HELLO_ACK, LAST, OPEN, PLAIN, PROBE_REPLY,
                    PSH, REJECT, RST, SUB, SYN, UNKNOWN, URG, TcpClient, frame, hello, open_frame, probe, thin)

SEED = int(os.environ.get("HOSTILE_SEED", "1"))


class HostileClient(Hostile):
    """The connection of h1 goes on beside all of it (tearDownClass looks)."""

    config2 = {"limits": {"linger_s": 1, "half_open_per_peer": 400, "opens_per_second_per_peer": 100000,
                          "opens_per_second_per_as": 100000, "frames_per_second_peers": 50000, "frames_per_second_as": 50000}}

    def setUp(self):
        self.random = random.Random(SEED)
        self.i.receive(0.05)

    def alive(self):
        """The daemon answers, and so does a flow that is opened now."""
        number = self.names()[0] >> 12
        c = TcpClient(self.i, (20000 + number, 8000), number, CONTACT, self.peer)
        c.open()
        self.assertEqual(c.say(b"still there?\n"), b"still there?\n")
        c.data(flags=RST | ACK)
        self.i.receive(0.05)

    def send_many(self, count, build, port=None, **how):
        for n in range(count):
            self.i.send(port or CONTACT, build(n), **how)
            if n % 50 == 49:
                self.i.barrier(port or CONTACT)

    def test_wild_data(self):
        """Sequence numbers, acknowledgments, windows, flags and options of all kinds in a running flow."""
        c = TcpClient(self.i, (30001, 8000), 0x300, CONTACT, self.peer)
        c.open()
        self.assertEqual(c.say(b"first\n"), b"first\n")
        r = self.random
        for n in range(1500):
            near = r.random() < 0.5
            seq = c.seq + r.randrange(-100000, 100000) if near else r.getrandbits(32)
            ack = c.ack + r.randrange(-100000, 100000) if near else r.getrandbits(32)
            # SYN and FIN among them; a RST in the window would be the end, rightly
            flags = r.choice([ACK, ACK | PSH, ACK | FIN if not near else ACK, ACK | URG, SYN, SYN | ACK, 0, 0xC0 | ACK])
            options = bytes(r.getrandbits(8) for _ in range(4 * r.randrange(0, 11))) if r.random() < 0.5 else b""
            if near:
                flags &= ~PSH
            data = b"" if near else bytes(r.randrange(0, 1200))
            self.i.send(c.port, frame(DATA, thin(seq, ack, flags, r.getrandbits(16), options, r.getrandbits(16)), data,
                                      to=c.peer, epoch=0), flow=0x300, source=self.peer)
            if n % 50 == 49:
                self.settle(c.port)
        self.alive()

    def test_epochs(self):
        """Moves to paths of its choice, back and forth; a flow that is renumbered all the time still works."""
        c = TcpClient(self.i, (30002, 8000), 0x301, CONTACT, self.peer)
        c.open()
        self.assertEqual(c.say(b"first\n"), b"first\n")
        other = self.injector(self.peer)
        for n in range(600):
            epoch = self.random.choice([1, 2, 127, 128, 129, 255, 0, n & 255])
            who = self.random.choice([self.i, other])
            kind = self.random.choice([ALIVE, DATA])
            data = thin(c.seq, self.random.choice([c.ack, c.ack - 1, c.ack + 100000]), ACK) if kind == DATA else bytes(12)
            who.send(c.port, frame(kind, data, to=c.peer, epoch=epoch), flow=0x301, src_port=self.i.port)
            if n % 50 == 49:
                self.settle(c.port)
        # Its answers are where it said that it is: nobody else is worse off.
        other.receive(0.2)
        self.assertLessEqual(other.got, other.sent + 4000)
        other.close()
        self.alive()

    def test_opens_that_are_left(self):
        """Thousands of OPENs that nobody goes on with: bounded while they last, and gone after their time."""
        before = self.h2.rpc("status")["ingress"]
        # a plain one each, and one with an option area of its own; of one host, and of hundreds
        self.send_many(1500, lambda n: open_frame((n + 1 << 12 | 5, 5), (1024 + n, 8000)), source=(ALLOWED_AS, "10.13.1.1"))
        self.send_many(1500, lambda n: open_frame((n + 1 << 12 | 5, 5), (1024 + n, 8000 + n % 3)))
        for n in range(1000):
            self.i.send(CONTACT, open_frame((n + 1 << 12 | 5, 5), (1024 + n, 8000)), source=(ALLOWED_AS, f"10.13.2.{n % 250}"))
        self.settle(CONTACT)
        half = {x["name"]: x["used"] for x in self.h2.rpc("status")["limits"]}
        self.assertLessEqual(half["half_open_per_peer"], 400)
        self.assertLessEqual(half["half_open_per_as"], 2048)
        self.alive()
        wait_for(lambda: not {x["name"]: x["used"] for x in self.h2.rpc("status")["limits"]}["half_open_per_as"], 25,
                 "the flows that were left are forgotten")
        self.assertEqual({k: before[k] for k in before if "pool" in k and "used" in k},
                         {k: v for k, v in self.h2.rpc("status")["ingress"].items() if "pool" in k and "used" in k})
        self.alive()

    def test_names_of_others(self):
        """ACCEPT, REJECT, CLOSE, UNKNOWN, DATA with names that are nearly right, in the name of the real peer."""
        # The running flow is one of few indexes; every other bit of its name is guessed.
        r = self.random
        for n in range(2500):
            name = (r.randrange(1, 6) << 12 | r.getrandbits(12), r.getrandbits(16))
            theirs = (r.randrange(1, 6) << 12 | r.getrandbits(12), r.getrandbits(16))
            data = r.choice([inject.accept(name, theirs, body=thin(1, 1, SYN | ACK)), inject.end(REJECT, name, theirs, 3),
                             inject.end(CLOSE, name, theirs, 6), inject.unknown(theirs, r.randrange(1, 6)),
                             frame(DATA, thin(1, 1, RST | ACK), to=name), frame(ALIVE, bytes(12), to=name, epoch=9)])
            self.i.send(r.choice([CONTACT, *self.worker]), data, source=self.real_peer, src_port=31000)
            if n % 50 == 49:
                self.i.barrier(CONTACT, source=self.real_peer)
        self.assertEqual(len(self.h2.flows(state="open", role="main", side="server")), 1)
        self.alive()

    def test_floods_of_questions(self):
        """HELLO and PROBE by the thousand: no answer too many, and the next one is answered."""
        sent, got = self.i.sent, self.i.got
        self.send_many(2000, lambda n: probe(number=n + 1), source=self.peer)
        self.send_many(2000, lambda n: hello(cookie=n + 1, ports=[1 + n % 65535] * 8, boot_id=n), source=self.peer)
        self.send_many(500, lambda n: hello(HELLO_ACK, cookie=n), source=self.real_peer)
        self.send_many(500, lambda n: probe(PROBE_REPLY, number=n), source=self.real_peer)
        self.i.receive(0.3)
        self.assertLessEqual(self.i.got - got, self.i.sent - sent)
        self.alive()

    def test_options_of_a_syn(self):
        """OPENs whose SYN has options that are cut, too long, doubled or random."""
        fixed = [b"\x02\x00\x00\x00", b"\x02\x04\x00\x00", b"\x02\x04\x00\x01", b"\x02\x03\x05\x00", b"\x1e\x02\x00\x00",
                 b"\x1e\x04\x01\x81", b"\x1e\x0c\x10\x02" + bytes(8), b"\x1e\x0c\x01\x01" + bytes(8), b"\x03\x03\xff\x00",
                 b"\x08\x0a" + bytes(6), b"\x22\x28" + bytes(38), b"\xff\xff\xff\xff", b"\x00" * 40, b"\x01" * 40,
                 b"\x04\x02\x04\x02", b"\x05\x0a" + bytes(10), b"\x1e\x28" + bytes(38), b"\x02\x04\xff\xff" * 10]
        for n in range(400):
            options = fixed[n] if n < len(fixed) else bytes(self.random.getrandbits(8) for _ in range(4 * self.random.randrange(11)))
            kind = self.random.choice([PLAIN, SUB, 1])
            body = thin(self.random.getrandbits(32), self.random.getrandbits(32), SYN | self.random.choice([0, 0xC0, URG, PSH]),
                        self.random.getrandbits(16), options, self.random.getrandbits(16)) + bytes(self.random.randrange(200))
            self.i.send(CONTACT, open_frame((n + 1 << 12 | 9, 9), (2000 + n, 8000), body, kind,
                                            mtu=self.random.choice([0, 1, 68, 1279, 1280, 1472, 65535])), source=self.peer)
            if n % 20 == 19:
                self.settle(CONTACT)
        self.alive()

    def test_path_mtu(self):
        """A path that takes nothing, or everything: data comes in pieces of a sensible size."""
        self.i.receive(0.1)
        for number, mtu in enumerate((0, 1, 100, 999, 1280, 65535)):
            c = TcpClient(self.i, (31000 + number, 8000), 0x400 + number, CONTACT, self.peer)
            c.open(mtu=mtu)
            c.data(b"get 3000\n", ACK | PSH)
            c.seq += 9
            sizes = []
            for _ in range(20):
                for f in self.i.receive(0.1, DATA):
                    data = f.body[12 + ((f.body[8] >> 4) - 5) * 4:] if f.type == DATA and f.to == c.name else b""
                    if data:
                        sizes.append(f.size)
                        c.ack = (struct.unpack(">I", f.body[:4])[0] + len(data)) & 0xFFFFFFFF
                        c.data()
                if sum(sizes) >= 3000:
                    break
            self.assertGreater(len(sizes), 0, mtu)
            self.assertLessEqual(max(sizes), 1472)
            self.assertGreater(max(sizes), 400)
            c.data(flags=RST | ACK)
        self.alive()

    def test_datagrams(self):
        """Halves that never find the other, quotes that lie, packets of no flow: the flow goes on, and so do others."""
        server = self.h2.serve(9000, udp=True)
        names = [self.names() for _ in range(2)]
        flows = []
        for n, name in enumerate(names):
            self.i.send(CONTACT, open_frame(name, (5100 + n, 9000), b"", DGRAM, 17), source=self.peer)
            a = self.i.receive(20, ACCEPT)[-1]
            flows.append((a.sender, a.port))
            self.i.send(a.port, frame(ALIVE, to=a.sender), source=self.peer)
        (to, port), (to2, port2) = flows
        r = self.random
        for n in range(1500):
            packet = inject.udp_packet("10.7.9.9", "10.70.2.1", 5100, 9000, bytes(r.randrange(0, 1300)))
            quote = inject.udp_packet(f"10.70.2.{r.randrange(4)}", "10.7.9.9", r.choice([9000, 22, 8000]), r.choice([5100, 5101]), b"")
            icmp = inject.ip_packet("10.7.9.9", "10.70.2.1", 1, bytes([r.choice([3, 4, 5, 11, 12]), r.randrange(16), 0, 0, 0, 0,
                                                                         *r.randbytes(2)]) + quote[:r.randrange(0, 29)], 2)
            what = r.randrange(4)
            if what == 0:
                data = frame(DATAGRAM, struct.pack(">Hxx", r.getrandbits(16)), packet[:r.randrange(1, len(packet))], to=to,
                             flags=r.choice([FRAG, FRAG | LAST]))
            elif what == 1:
                data = frame(DATAGRAM, icmp, to=to)
            elif what == 2:
                at = r.randrange(len(packet))
                data = frame(DATAGRAM, packet[:at] + bytes([r.getrandbits(8)]) + packet[at + 1:], to=to)
            else:
                data = frame(DATAGRAM, r.randbytes(r.randrange(1, 100)), to=to, flags=r.getrandbits(8))
            self.i.send(port, data, source=self.peer)
            if n % 50 == 49:
                self.settle(port)
        self.i.receive(0.2)
        for name, to, port, own in ((names[0], to, port, 5100), (names[1], to2, port2, 5101)):
            self.i.send(port, frame(DATAGRAM, inject.udp_packet("10.7.9.9", "10.70.2.1", own, 9000, b"well?"), to=to), source=self.peer)
            answer = [f for f in self.i.receive(20, DATAGRAM) if f.type == DATAGRAM and f.to == name][-1]
            self.assertEqual(inject.ip_of(answer.body), (17, 9000, own, b"well?"))
        server.close()
        self.alive()


class HostileServer(Hostile):
    """A peer that programs of h2 connect to, which answers their OPENs as it likes."""

    ADDRESS = "10.12.0.60"
    config2 = {"contact": {"open_deadline_ms": 1000},
               "routes": [{"to": "10.70.1.0/24", "via": f"{AS},10.12.0.2"}, {"to": "10.70.9.0/24", "via": f"{AS},{ADDRESS}"}]}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lab = cls.pair.lab
        run(lab.inside("h1", ["ip", "address", "add", f"{cls.ADDRESS}/32", "dev", "eth0"]))
        run(["nsenter", f"--net=/run/netns/lab-{lab.name}-as64512", "ip", "route", "add", cls.ADDRESS, "via", "10.12.0.2"])
        cls.evil = cls.keep(inject.Injector(f"/run/netns/{cls.pair.lab.netns('h1')}", cls.ADDRESS, (AS, cls.ADDRESS), cls.target,
                                            port=CONTACT))

    def answered(self, answer, errors):
        """A program connects; for each frame of h2 `answer` may send something. What became of the connect()."""
        program = self.h2.spawn([sys.executable, "-B", TRAFFIC, "connect", "10.70.9.1", 80], mptcp=False,
                                env=clean_environment(TRAFFIC_TIMEOUT="1.5"))
        sent, seen = self.evil.sent, {}
        while program.poll() is None:
            for f in self.evil.receive(0.05):
                seen[f.type] = seen.get(f.type, 0) + f.size
                for data, port in answer(f) or ():
                    self.evil.send(port, data, flow=1)
        result = traffic_answer(program.finish(5))
        self.assertIn(result["errno"], errors, (answer, result))
        self.assertIn(OPEN, seen)
        self.assertIsNone(self.h2.process.poll())
        return result, seen, self.evil.sent - sent

    @staticmethod
    def opened(f):
        """Name, ports and ISN of an OPEN."""
        name = struct.unpack(">IH", f.body[:6])
        return name, struct.unpack(">HH", f.body[12:16]), struct.unpack(">I", f.body[28:32])[0]

    def test_refusals(self):
        for reason in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255):
            self.answered(lambda f, reason=reason: f.type == OPEN and [
                (inject.end(REJECT, self.opened(f)[0], (0, 0), reason), f.src_port)],
                ("EHOSTUNREACH", "ECONNREFUSED", "EACCES"))

    def test_silence(self):
        result = self.answered(lambda f: None, ("EHOSTUNREACH",))[0]
        self.assertLess(result["seconds"], 3)

    def test_bare_for_ever(self):
        """ACCEPT without a SYN/ACK, again and again: the client gives up at its deadline, and answers no more than it gets."""
        accepts, answers, name = [], [], (0x5000, 7)  # flows that other tests left have ALIVEs of their own

        def answer(f):
            if f.type == ALIVE and f.to == name:
                answers.append(f.size)
            if f.type != OPEN:
                return None
            accept = inject.accept(self.opened(f)[0], name, CONTACT)
            accepts.extend([len(self.evil.packet(f.src_port, accept))] * 5)
            return [(accept, f.src_port)] * 5
        result = self.answered(answer, ("EHOSTUNREACH",))[0]
        self.assertLess(result["seconds"], 3)
        self.assertGreater(len(answers), 0)
        self.assertLessEqual(len(answers), len(accepts), "one ALIVE for each ACCEPT")
        self.assertLess(max(answers), min(accepts), "which is not larger")

    def test_ports_and_bodies(self):
        """Worker ports that cannot be, SYN/ACKs that make no sense, names that change."""
        def reply(body, port=CONTACT, name=(0x6000, 1)):
            return lambda f: f.type == OPEN and [(inject.accept(self.opened(f)[0], name, port, body(self.opened(f)[2])), f.src_port)]
        bodies = [lambda isn: thin(1, isn + 1, SYN | ACK), lambda isn: thin(1, isn, SYN | ACK), lambda isn: thin(1, 0, SYN | ACK),
                  lambda isn: thin(1, isn + 1, SYN | ACK, 0), lambda isn: thin(1, isn + 1, SYN | ACK, options=b"\x02\x04\x00\x00"),
                  lambda isn: thin(1, isn + 1, SYN | ACK, options=b"\x1e\x0c\x01\x01" + bytes(8)),
                  lambda isn: thin(1, isn + 1, SYN | ACK, options=b"\x1e\x10\x10\x02" + bytes(12)),
                  lambda isn: thin(1, isn + 1, SYN | ACK, options=b"\xff" * 40), lambda isn: thin(1, isn + 1, SYN | ACK | URG),
                  lambda isn: thin(1, isn + 1, SYN | ACK | RST), lambda isn: thin(1, isn + 1, ACK), lambda isn: b"\xff" * 56]
        outcomes = (None, "EHOSTUNREACH", "ECONNREFUSED", "ETIMEDOUT", "TIMEOUT")
        for body in bodies:
            for port in (0, 1, CONTACT, 65535):
                if port == CONTACT or body is bodies[0]:
                    self.answered(reply(body, port), outcomes)
        self.answered(reply(bodies[0], name=(0xFFF, 1)), outcomes)

    def test_after_the_handshake(self):
        """CLOSE, UNKNOWN, REJECT, ACCEPT once more, SYN/ACKs as DATA: right names, at the wrong time."""
        for data in (lambda n: inject.end(CLOSE, n, (0x7000, 1), 6), lambda n: inject.end(REJECT, n, (0x7000, 1), 3),
                     lambda n: inject.accept(n, (0x7001, 2), 1, thin(9, 9, SYN | ACK)), lambda n: inject.unknown((0x7000, 1), n[0] >> 12),
                     lambda n: frame(DATA, thin(1, 1, SYN | ACK), to=n), lambda n: frame(DATA, thin(2, 1, RST), to=n),
                     lambda n: frame(ALIVE, bytes(12), to=n, epoch=200), lambda n: frame(DATAGRAM, bytes(40), to=n),
                     lambda n: frame(CLOSE, b"", to=n)):
            def answer(f, data=data):
                if f.type != OPEN:
                    return None
                name, _, isn = self.opened(f)
                return [(inject.accept(name, (0x7000, 1), CONTACT, thin(1, isn + 1, SYN | ACK)), f.src_port)] + [
                    (data(name), f.src_port)] * 20
            self.answered(answer, (None, "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH"))

    def test_hellos_that_lie(self):
        """Worker ports, numbers and boot ids of all kinds, with the right cookie: the next connect still is an OPEN."""
        r = random.Random(SEED)

        def answer(f):
            if f.type == inject.HELLO:
                cookie = struct.unpack(">Q", f.body[20:28])[0]
                return [(hello(HELLO_ACK, cookie, [r.randrange(1, 65536) for _ in range(r.randrange(1, 9))],
                               boot_id=r.getrandbits(64), max_flows=r.getrandbits(32), versions=(1, 255)), f.src_port)]
            if f.type == inject.PROBE:
                return [(frame(PROBE_REPLY, f.body[:12]), f.src_port)] * 3
            return f.type == OPEN and [(inject.end(REJECT, self.opened(f)[0], (0, 0), 4), f.src_port)]
        for _ in range(5):
            self.answered(answer, ("EHOSTUNREACH",))


if __name__ == "__main__":
    main()
