#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small datagrams, many at once: whatever was joined on the way arrives as it was sent."""

import os

from harness import *  # noqa: F403

SMALL = os.path.join(BUILD, "tests", "small")


class Small(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="local"))
        cls.h2 = cls.keep(Shilad(cls.lab, "h2", interfaces=1, log_level="info"))
        cls.h1 = cls.keep(Shilad(cls.lab, "h1", interfaces=1, log_level="info"))
        cls.h1.wait_paths(1)

    def send(self, family, rate, seconds, sizes, segments=1):
        """Datagrams of these sizes in turn. Returns what the sink says and what the workers read from a TUN and wrote to one."""
        count = int(rate * seconds)
        sink = self.h2.spawn([SMALL, "udp-sink", self.h2.address(family), 9300, count, "0.7"], ingress=True, mptcp=False)
        self.h2.wait_listening(9300, "udp")
        before = self.h2.counter("tun_trains_in"), self.h2.nstat(ingress=True), self.h1.counter("tun_trains_out")
        self.h1.run([SMALL, "udp-send", self.h2.address(family), 9300, rate, seconds,
                     ",".join(map(str, sizes)), segments, 300], mptcp=False)
        got = traffic_answer(sink.finish())
        written, after = self.h2.counter("tun_trains_in") - before[0], self.h2.nstat(ingress=True)
        read = self.h1.counter("tun_trains_out") - before[2]
        for name in "UdpInErrors", "UdpInCsumErrors", "Udp6InErrors", "Udp6InCsumErrors", "IpInHdrErrors":
            self.assertEqual(after[name], before[1][name], name)
        return count, got, read, written

    def test_boundaries(self):
        for family in 4, 6:
            for sizes, segments in (([64], 1), ([64, 64, 64, 200, 9, 1200, 64, 64, 1372, 8], 1), ([100, 1000], 20)):
                with self.subTest(family=family, sizes=sizes, segments=segments):
                    for _ in range(3):
                        count, got, read, written = self.send(family, 10000, 0.3, sizes, segments)
                        self.assertEqual({k: got[k] for k in ("wrong", "doubled", "late")},
                                         {"wrong": 0, "doubled": 0, "late": 0}, got)
                        if not got["lost"]:  # a device's queue is full when its reader does not run for 50 ms
                            break
                    self.assertEqual(got["lost"], 0, got)
                    if segments > 1:
                        self.assertLess(written, count / 3, "datagrams that came together are written together")
                        self.assertLess(read, count / segments * 1.2 + 10, "and those that were sent together are read together")


if __name__ == "__main__":
    main()
