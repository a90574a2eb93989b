#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links that die under a transfer: the right bytes arrive, over the paths that are left."""

import time

from harness import *  # noqa: F403

LINKS = 3
BYTES = 16 << 20  # some 3 s over three paths, some 4 over two
MORE = 4 << 20  # what a transfer that goes on moves before it is ended


def interfaces(flow):
    return {h["interface"] for h in flow["path"]["hops"]} if flow["path"] else set()


class Cases:
    """What is the same whether or not the routers notice. A subclass says how the link dies."""

    how = None
    bfd = True

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=LINKS, rate="20mbit", bfd=cls.bfd))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2

    def setUp(self):
        self.h2.serve()

    def tearDown(self):
        self.pair.lab.link(2, "restore")
        self.h1.wait_paths(LINKS)
        super().tearDown()

    def flows(self, port=8000):
        return [f for f in self.h1.flows(protocol="tcp", state="open") if f["remote"].endswith(f":{port}")]

    def kill_link_under(self, *traffic):
        """Kills link 2 under a transfer that lasts until it is ended; returns when no flow of it is on that link."""
        client = self.h1.spawn_traffic(*traffic, 120)
        flows = wait_for(lambda: len(self.flows()) == LINKS and self.flows(), 10, f"{LINKS} flows")
        wait_for(lambda: all(f["tx_bytes"] + f["rx_bytes"] > 200_000 for f in self.flows()), 10, "data on all paths")
        self.assertEqual(sum(2 in interfaces(f) for f in flows), 1)
        moves = self.h1.counter("moves") + self.h2.counter("moves")
        suspects = self.h1.counter("suspects") + self.h2.counter("suspects")
        self.pair.lab.link(2, self.how)
        began = time.monotonic()

        def left():
            now = self.flows()
            return now and not any(2 in interfaces(f) for f in now)
        wait_for(left, 10, "no flow on the dead link")
        self.left_after = time.monotonic() - began
        self.assertGreater(self.h1.counter("moves") + self.h2.counter("moves"), moves)
        # Frames on it were not answered.
        self.assertGreater(self.h1.counter("suspects") + self.h2.counter("suspects"), suspects)
        return client

    def goes_on(self, client):
        """Some more of it arrives; then it is ended, and every byte was right."""
        def moved():
            return sum(f["tx_bytes"] + f["rx_bytes"] for f in self.flows())
        before = moved()
        wait_for(lambda: moved() > before + MORE, 30, f"{MORE} more bytes")
        client.end_traffic()

    def check(self, client):
        self.goes_on(client)
        down = wait_for(lambda: [p for p in self.h1.rpc("paths", why=True) if p["state"] == "down"], 10, "the path is known to be down")
        self.assertIn("not used: ", down[0]["why"])
        self.assertLess(down[0]["since_s"], 60)

    def test_cut_during_download(self):
        """And `shila events` tells it, in order; later the repair too. Frames of all flows were answered, at both ends."""
        last = max([e["number"] for e in self.h1.rpc("events")], default=0)
        self.check(self.kill_link_under("gets", self.h2.address(4), 8000))
        for h in (self.h1, self.h2):
            frames = [p["frames"] for p in h.rpc("paths")]
            self.assertEqual([f for f in frames if not f or not f["answered"] or not f["srtt_us"]], [], frames)
            self.assertTrue(all(f["answered"] <= f["asked"] for f in frames), frames)
        self.pair.lab.link(2, "restore")
        self.h1.wait_paths(LINKS)
        events = self.h1.rpc("events", after=last)
        self.assertEqual([e["number"] for e in events], sorted(e["number"] for e in events))
        self.assertGreater(events[0]["number"], last)
        names = [e["event"] for e in events]
        self.assertGreaterEqual(names.count("flow_open"), LINKS)
        down = names.index("path_down")
        dead = events[down]["path"]
        first = next(i for i, e in enumerate(events) if e.get("path") == dead and e["event"] in ("path_suspect", "path_down"))
        moved = names.index("flow_moved", first)  # flows leave before it is proven
        self.assertNotEqual(events[moved]["path"], dead)
        self.assertIn(("path_up", dead), [(e["event"], e["path"]) for e in events[down:]])
        text = self.h1.shila("events", "--once").stdout
        self.assertIn(f"path {dead} to {events[down]['peer']} is down\n", text)

    def test_cut_during_upload_ipv6(self):
        self.check(self.kill_link_under("puts", self.h2.address(6), 8000))

    def test_plain_tcp_survives(self):
        """One path only: it is the path that dies."""
        client = self.h1.spawn_traffic("get", self.h2.address(4), 8000, BYTES // 2, mptcp=False)
        flow = wait_for(self.flows, 10, "the flow")[0]
        wait_for(lambda: self.flows()[0]["rx_bytes"] > 200_000, 10, "data")
        link = min(interfaces(flow))  # interface ids of link i are i and 100 + i
        self.pair.lab.link(link, self.how)
        try:
            answer = traffic_answer(client.finish(60))
            self.assertTrue(answer["ok"], answer)
            moved = [f for f in self.h1.flows(protocol="tcp") if f["local"] == flow["local"]]
            self.assertNotIn(link, interfaces(moved[0]))
            self.assertGreaterEqual(moved[0]["path_changes"], 1)
        finally:
            self.pair.lab.link(link, "restore")


class Cut(Cases, SystemTest):
    """The link goes down, the routers notice by BFD and say so by SCMP."""

    how = "cut"

    def test_restored_link_is_used_again(self):
        client = self.kill_link_under("gets", self.h2.address(4), 8000)
        self.pair.lab.link(2, "restore", "--wait")

        def back():
            if client.poll() is not None:
                raise Failed("the transfer ended before the flow was back on link 2")
            return any(2 in interfaces(f) for f in self.flows())
        wait_for(back, 10, "a flow on the restored link")
        self.goes_on(client)

    def test_new_connection_avoids_the_dead_link(self):
        self.pair.lab.link(2, "cut", "--wait")
        wait_for(lambda: any(p["state"] == "down" for p in self.h1.rpc("paths")), 10, "the path is known to be down")
        answer = self.h1.traffic("get", self.h2.address(4), 8000, 2 << 20)
        self.assertTrue(answer["ok"], answer)
        self.assertLess(answer["seconds"], 5)

    def test_all_links_cut_and_restored(self):
        """Nothing is left for a while: the connection stalls and goes on."""
        client = self.h1.spawn_traffic("gets", self.h2.address(4), 8000, 120)
        wait_for(lambda: len(self.flows()) == LINKS, 10, f"{LINKS} flows")
        wait_for(lambda: all(f["rx_bytes"] > 100_000 for f in self.flows()), 10, "data on all paths")
        for link in range(1, LINKS + 1):
            self.pair.lab.link(link, "cut")
        wait_for(lambda: all(p["state"] == "down" for p in self.h1.rpc("paths")), 20, "all paths are down")
        for link in range(1, LINKS + 1):
            self.pair.lab.link(link, "restore")
        self.goes_on(client)


class BlackHole(Cases, SystemTest):
    """Packets vanish and no router notices: only the probes of the daemons do."""

    how = "blackhole"
    bfd = False


if __name__ == "__main__":
    main()
