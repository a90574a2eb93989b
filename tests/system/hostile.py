# SPDX-License-Identifier: Apache-2.0
"""A pair in one AS and a socket beside it, for tests of what hostile hosts can do.

Both hosts are in one AS (topology `local`), so there is no router that could know better. h2 is the target,
h1 a real peer whose connection runs beside everything, and the packets come from a socket on h1's host
under any SCION address.
"""

import signal
import sys

from harness import *  # noqa: F403

sys.path.insert(0, TOOLS)
import inject  # noqa: E402

CONTACT = 31654
AS = "1-64512"
ALLOWED_AS = "1-64513"  # any host of it may connect
STRANGER = ("1-64599", "10.99.0.99")


class Hostile(SystemTest):
    """A pair in one AS, an injector, and a connection of h1 that must not notice anything."""

    config2 = {}
    beat = True

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="local", apps=(4,), config2=dict(
            {"ingress": {"allow": [AS, ALLOWED_AS], "serve": ["tcp/8000-8002", "udp/9000-9001", "icmp"]}}, **cls.config2)))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2
        cls.worker = cls.h2.rpc("status")["worker_ports"]
        cls.addresses = {h: cls.pair.lab.hosts[h]["address"] for h in ("h1", "h2")}
        cls.target = (AS, cls.addresses["h2"])
        cls.peer = (AS, "10.12.0.50")  # another host of the same AS, which may connect; h1 itself goes on as it is
        cls.real_peer = (AS, cls.addresses["h1"])
        cls.i = cls.keep(cls.injector())
        cls.server = cls.keep(cls.h2.serve(8000))
        cls.beside = cls.keep(cls.h1.spawn_traffic("beat", cls.h2.address(4), 8000, 600)) if cls.beat else None
        if cls.beat:
            wait_for(lambda: cls.h2.flows(state="open", role="main", side="server"), 10, "the connection beside")

    @classmethod
    def injector(cls, source=None):
        return inject.Injector(f"/run/netns/{cls.pair.lab.netns('h1')}", cls.addresses["h1"], source or cls.peer, cls.target)

    @classmethod
    def tearDownClass(cls):
        if cls.beside:
            cls.beside.send_signal(signal.SIGTERM)
            answer = traffic_answer(cls.beside.finish(20))
            assert answer["ok"] and answer["longest"] < 2, answer

    def drops(self):
        return {d["name"]: d["count"] for d in self.h2.rpc("drops")}

    def settle(self, port):
        """What was sent to that port has been dealt with: later packets have, and worker and control are one queue."""
        return self.i.barrier(port)

    def difference(self, before):
        after = self.drops()
        return {k: after[k] - before[k] for k in after if after[k] != before[k]}

    def refused(self, why, port, packet, counter, answer=None):
        """One packet: exactly this counter rises, by one, and the answer is of that type and not larger."""
        with self.subTest(why):
            before = self.drops()
            self.i.send_raw(port, packet)
            answers = self.settle(port)
            self.assertEqual(self.difference(before), {counter: 1} if counter else {}, f"{why}; answers {answers}")
            self.assertEqual([a.type for a in answers], [answer] if answer else [], why)
            for a in answers:
                self.assertLessEqual(a.size, len(packet), why)

    def names(self):
        """Names of flows that never were."""
        Hostile.number = getattr(Hostile, "number", 100) + 1
        return Hostile.number << 12 | 0x777, 0x4242

    def worker_of(self, a, b):
        """The worker port for a flow with these ports."""
        return self.worker[((((a ^ b) * 0x9E3779B1) & 0xFFFFFFFF) >> 16) % len(self.worker)]
