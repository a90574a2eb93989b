#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""However a daemon ends: nothing is left, the peer's programs hear of it, and the next start works."""

import os
import re
import signal

from harness import *  # noqa: F403


class Clean(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=2))
        cls.h2 = cls.keep(Shilad(cls.lab, "h2"))

    def setUp(self):
        self.h2.serve()
        self.before = self.seen()
        self.h1 = self.use(Shilad(self.lab, "h1"))
        self.h1.wait_paths(2)

    def seen(self):
        """Everything that could be left: in the host's network namespace, as files, as namespaces."""
        names = {n for n in os.listdir("/run/netns") if n.startswith(f"{self.lab.name}-h1")}
        return kernel(self.lab.netns("h1")) | {f"namespace {n}" for n in names}

    def busy(self):
        """A connection with three flows, one of plain TCP and one of UDP."""
        programs = [self.h1.spawn_traffic("hold", self.h2.address(4), 8000),
                    self.h1.spawn_traffic("hold", self.h2.address(6), 8000, mptcp=False)]
        for p in programs:
            wait_for(lambda p=p: "connected" in p.output(), 10, "the connection")
        self.h1.ping(self.h2.address(4))
        wait_for(lambda: len(self.h1.flows(state="open")) >= 4, 20, "flows")
        self.assertGreater(len(self.seen()), len(self.before))
        return programs

    def gone(self):
        self.h1.check_nothing_left()
        self.assertEqual(self.seen(), self.before)

    def next_start_works(self):
        self.h1.start()
        self.h1.wait_paths(2, None)
        answer = self.h1.traffic("get", self.h2.address(4), 8000, 1 << 20)
        self.assertTrue(answer["ok"], answer)
        self.h1.stop()
        self.gone()

    def end(self, how):
        programs = self.busy()
        self.h1.stop(how)
        self.gone()
        for p in programs:
            p.close()
        self.next_start_works()

    def test_interrupt(self):
        self.end(signal.SIGINT)

    def test_terminate(self):
        """SIGTERM leaves all for the next daemon; --clean removes it then, and tells the peers."""
        programs = self.busy()
        busy = self.seen()
        self.h1.detach()
        self.assertIn("namespaces, devices and connections stay", self.h1.log())
        self.assertTrue(os.path.exists(f"/run/netns/{self.h1.ns_egress}"))
        self.h1.start()
        sockets = "ss -Hlnx"  # a new socket of the same name
        self.assertEqual({n for n in self.seen() if sockets not in n}, {n for n in busy if sockets not in n})
        self.assertEqual(self.h1.counter("flows_not_resumed"), 0)
        self.assertGreaterEqual(len(self.h1.flows(state="open")), 4)
        self.h1.detach()
        for p in programs:
            p.close()
        out = self.h1.clean().stderr
        self.assertRegex(out, r"told the peers of \d+ connections")
        self.gone()
        wait_for(lambda: not self.h2.flows(state="open"), 20, "the peer heard of it")
        self.next_start_works()

    def test_shila_stop(self):
        self.end("stop")

    def test_interrupted_twice(self):
        self.busy()
        self.h1.send_signal(signal.SIGINT)
        self.h1.send_signal(signal.SIGINT)
        self.h1.stop(signal.SIGTERM)
        self.gone()

    def test_killed_then_clean(self):
        programs = self.busy()
        self.h1.kill()
        self.assertTrue(os.path.exists(f"/run/netns/{self.h1.ns_egress}"))
        for p in programs:
            p.close()
        out = self.h1.clean().stderr
        self.assertRegex(out, r"removed 2 namespaces and 4 devices")
        self.gone()
        self.assertIn("nothing to clean", self.h1.clean().stderr)
        self.next_start_works()

    def test_killed_then_restarted(self):
        """What is there is used again: a server in the namespace does not notice."""
        self.h1.serve(8001)
        inodes = [os.stat(f"/run/netns/{n}").st_ino for n in (self.h1.ns_egress, self.h1.ns_ingress)]
        self.busy()
        self.h1.kill()
        self.h1.start()
        self.h1.wait_paths(2, None)
        self.assertEqual([os.stat(f"/run/netns/{n}").st_ino for n in (self.h1.ns_egress, self.h1.ns_ingress)], inodes)
        for client, server, port in ((self.h1, self.h2, 8000), (self.h2, self.h1, 8001)):
            for family in (4, 6):
                answer = client.traffic("get", server.address(family), port, 1 << 20)
                self.assertTrue(answer["ok"], answer)
        self.h1.stop()
        self.gone()

    def test_killed_while_starting(self):
        """At any moment of the start: --clean, or the next start, takes over what is there."""
        self.h1.stop()
        for i in range(6):
            self.h1.start(wait=False)
            # some are killed before anything was made, some when it was all there
            try:
                self.h1.process.wait(0.05 * i)
            except Exception:  # the daemon runs: as it should
                pass
            self.h1.kill()
            if i % 2:
                self.h1.clean()
                self.gone()
        self.next_start_works()

    def tcp_sockets(self, netns, port):
        return run(["ip", "netns", "exec", netns, "ss", "-Htn", "state", "established",
                    f"( sport = {port} or dport = {port} )"]).stdout.strip()

    def test_clients_of_the_peer_are_reset(self):
        """The daemon of the server is stopped on purpose and says so: the clients need not wait."""
        # Without a subflow the kernel keeps an MPTCP connection for so long, in case a new one comes.
        run(["ip", "netns", "exec", self.h2.ns_egress, "sysctl", "-qw", "net.mptcp.close_timeout=2"])
        self.h1.serve(8002)
        clients = {}
        for mptcp in (False, True):
            clients[mptcp] = self.h2.spawn_traffic("hold", self.h1.address(4), 8002, mptcp=mptcp)
            wait_for(lambda p=clients[mptcp]: "connected" in p.output(), 10, "the connection")
        wait_for(lambda: len(self.h2.flows(protocol="tcp", state="open", side="client")) >= 3, 20, "subflows")
        self.h1.stop()
        self.assertEqual(traffic_answer(clients[False].finish(10))["errno"], "ECONNRESET")
        wait_for(lambda: not self.tcp_sockets(self.h2.ns_egress, 8002), 10, "the end of all subflows")
        self.assertIsNotNone(traffic_answer(clients[True].finish(10))["errno"])

    def test_servers_of_the_peer_are_reset(self):
        """The same for the other side."""
        def sockets():
            return {line.split()[-1] for line in self.tcp_sockets(self.h2.ns_ingress, 8000).splitlines()}
        # A test before killed the daemon: that peer's kernel still tries to say goodbye.
        others = sockets()
        self.busy()
        wait_for(lambda: len(sockets() - others) >= 3, 20, "sockets")
        ours = sockets() - others
        self.h1.stop()
        wait_for(lambda: not sockets() & ours, 10, "the end of all sockets")


if __name__ == "__main__":
    main()
