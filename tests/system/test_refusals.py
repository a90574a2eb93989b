#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What cannot be carried: the application hears the right error in time, the log says why, once."""

import os
import re
import signal
import time

from harness import *  # noqa: F403

DEADLINE_S = 3.0  # contact.open_deadline_ms


def lines_about_refusals(host):
    """Lines of the log that tell a person, not those for debugging."""
    return [line for line in host.log().splitlines()
            if re.match(r"\S+ (error|warn|info) ", line) and re.search(r"refuse", line)]


class Refusals(SystemTest):
    """h1 is the client; h3 serves a few ports; h4 lets nobody in; h2 has no shilad; two hosts in each AS."""

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=2, hosts_per_as=2))
        h3, h4 = cls.lab.scion_address("h3"), cls.lab.scion_address("h4")
        nobody = cls.lab.scion_address("h3").rsplit(".", 1)[0] + ".77"
        cls.h3 = cls.keep(Shilad(cls.lab, "h3", {"ingress": {"serve": ["tcp/8000-8999", "udp/9000"]}}))
        cls.h4 = cls.keep(Shilad(cls.lab, "h4", {"ingress": {"allow": ["1-64999"]}}))
        cls.h1 = cls.keep(Shilad(cls.lab, "h1", {"routes": [
            {"to": to, "via": via} for to, via in [
                ("10.70.3.0/24", h3), ("fd00:70:3::/64", h3), ("10.70.4.0/24", h4), ("fd00:70:4::/64", h4),
                ("10.71.0.0/16", "1-64999,10.99.0.1"), ("fd00:71::/64", "1-64999,10.99.0.1"),
                ("10.72.0.0/16", nobody), ("fd00:72::/64", nobody)]]}))
        cls.h1.wait_paths(2)
        # The first connection to a peer asks for its ports: not what is tested here.
        for host in (cls.h3, cls.h4):
            wait_for(lambda n=host.number: any(p["host"].endswith(f".{n - 1}") and p["state"] == "up"
                                               for p in cls.h1.rpc("peers")), 10, "the peers are known")

    def refused(self, address, port, error, at_least, at_most, words, logs=None, mptcp=True):
        """One connection, as MPTCP or plain TCP."""
        answer = self.h1.traffic("connect", address, port, mptcp=mptcp)
        self.assertEqual(answer["errno"], error)
        self.assertGreaterEqual(answer["seconds"], at_least)
        self.assertLessEqual(answer["seconds"], at_most)
        for host in logs or [self.h1]:
            lines = wait_for(lambda h=host: lines_about_refusals(h), 20, "a line in the log")
            self.assertEqual(len(lines), 1, lines)
            self.assertRegex(lines[0], words)

    # Sanitizers and a busy machine need some time; without them it is a few milliseconds.
    CASES = [
        # why, address, port, errno with IPv4, with IPv6, at least, at most, words in the log
        ("no route", "10.99.0.1", "fd00:99::1", 80, "EHOSTUNREACH", "EHOSTUNREACH", 0, 0.3, "no route for it"),
        ("no path", "10.71.0.1", "fd00:71::1", 80, "EHOSTUNREACH", "EHOSTUNREACH", 0, DEADLINE_S + 0.5,
         "no SCION path|1-64999"),
        ("peer not running", "10.72.0.1", "fd00:72::1", 80, "EHOSTUNREACH", "EHOSTUNREACH", DEADLINE_S - 0.1,
         DEADLINE_S + 0.7, "does not answer: is shilad running there"),
        # ICMP 3/13 is EHOSTUNREACH, ICMPv6 1/1 is EACCES
        ("peer does not allow", "10.70.4.1", "fd00:70:4::1", 80, "EHOSTUNREACH", "EACCES", 0, 0.5,
         "does not allow|not allowed"),
        ("port not served", "10.70.3.1", "fd00:70:3::1", 80, "ECONNREFUSED", "ECONNREFUSED", 0, 0.5, "not served|serve"),
        ("port closed", "10.70.3.1", "fd00:70:3::1", 8999, "ECONNREFUSED", "ECONNREFUSED", 0, 0.5, "nobody listens"),
    ]


def _add_cases():
    for why, four, six, port, error4, error6, at_least, at_most, words in Refusals.CASES:
        for family, address, error in ((4, four, error4), (6, six, error6)):
            for mptcp in (True, False):
                def test(self, address=address, port=port, error=error, at_least=at_least, at_most=at_most,
                         words=words, mptcp=mptcp):
                    self.refused(address, port, error, at_least, at_most, words, mptcp=mptcp)
                name = f"test_{why.replace(' ', '_')}_ipv{family}_{'mptcp' if mptcp else 'tcp'}"
                setattr(Refusals, name, test)


_add_cases()


class Server(SystemTest):
    """What the server says about the same, and what goes on besides."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=2, interfaces=4, config={"egress": {"path_manager": "kernel"}},
                                 config2={"ingress": {"serve": ["tcp/8000-8999", "udp/9000"]}}))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2

    def test_server_logs_a_port_that_is_not_served(self):
        self.assertEqual(self.h1.traffic("connect", self.h2.address(4), 80)["errno"], "ECONNREFUSED")
        lines = wait_for(lambda: lines_about_refusals(self.h2), 20, "a line in the server's log")
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("port 80: not in ingress.serve", lines[0])
        self.assertGreaterEqual(self.h2.counter("drop.not_served"), 1)

    def test_udp_and_ping_not_served(self):
        answer = self.h1.traffic("udp", self.h2.address(4), 9001, 10)
        self.assertEqual(answer["errno"], "ECONNREFUSED")  # ICMP port unreachable
        out = self.h1.run(["ping", "-c", 1, "-W", 1, self.h2.address(4)], check=False)
        self.assertNotEqual(out.returncode, 0)

    def test_surplus_subflows(self):
        """Four interfaces on two links, and the kernel's path manager: two subflows, and the joins without a path get RST with MP_TCPRST."""
        before = self.h1.nstat()
        self.h2.serve()
        capture = os.path.join(temporary(), "capture")
        tcpdump = spawn(["ip", "netns", "exec", self.h1.ns_egress, "tcpdump", "-i", "any", "-n", "-U", "--immediate-mode", "-Z", "root",
                         "-w", capture, "tcp port 8000 and tcp[tcpflags] & (tcp-syn|tcp-rst) != 0"])
        wait_for(lambda: "listening on" in tcpdump.output(), 10, "tcpdump")
        answer = self.h1.traffic("get", self.h2.address(4), 8000, 4 << 20)
        self.assertTrue(answer["ok"], answer)
        after = self.h1.nstat()
        tcpdump.close()
        # The kernel does not count an MP_TCPRST in answer to a SYN: it is seen on the wire.
        # Our own kernel may reset, too, what still comes for a socket that is closed.
        joins = f"tcp.flags.reset == 1 && ip.src == {self.h2.address(4)}"
        resets = run(["tshark", "-r", capture, "-Y", joins, "-T", "fields", "-E", "separator=,",
                      "-e", "ip.src", "-e", "tcp.option_kind", "-e", "tcp.options.mptcp.subtype"]).stdout.split()
        self.assertEqual(resets, [f"{self.h2.address(4)},30,8"] * 2)
        counts = {k: after[f"MPTcpExt{k}"] - before[f"MPTcpExt{k}"] for k in
                  ("MPJoinSynTx", "MPJoinSynAckRx", "MPCapableSYNACKRX")}
        self.assertEqual(counts["MPCapableSYNACKRX"], 1)
        self.assertEqual(counts["MPJoinSynAckRx"], 1)
        self.assertEqual(counts["MPJoinSynTx"], 3)  # none of them was repeated
        lines = [line for line in self.h1.log().splitlines() if "surplus join" in line]
        self.assertEqual(len(lines), 2, lines)

    def test_connection_to_the_client_role(self):
        """From the ingress namespace nothing is carried: it is for servers."""
        answer = self.h1.traffic("connect", self.h2.address(4), 8000, ingress=True)
        self.assertEqual(answer["errno"], "EHOSTUNREACH")
        self.assertIn("servers only", "\n".join(lines_about_refusals(self.h1)))


class ScionDaemonDown(SystemTest):
    """The SCION daemon of h1's AS does not answer, then it does again."""

    def setUp(self):
        self.pair = self.use(Pair(topology="parallel", links=2, config1={"routes": None}, expect=0))
        self.lab, self.h2 = self.pair.lab, self.pair.h2

    def test_frozen(self):
        self.pair.h1.close()
        h1 = self.use(Shilad(self.lab, "h1", {"routes": [
            {"to": "10.70.2.0/24", "via": self.lab.scion_address("h2")},
            {"to": "10.71.0.0/16", "via": "1-64999,10.99.0.1"}]}))
        h1.wait_paths(2)
        self.h2.serve()
        self.assertTrue(h1.traffic("get", self.h2.address(4), 8000, 1 << 20)["ok"])
        daemon = self.lab.processes("h1")["daemon"]
        os.kill(daemon, signal.SIGSTOP)
        try:
            # An answer "no path" is believed for a second, and it may have given one just now.
            time.sleep(1.1)
            # What is known works on.
            answer = h1.traffic("get", self.h2.address(4), 8000, 4 << 20)
            self.assertTrue(answer["ok"], answer)
            self.assertLess(answer["seconds"], 10)
            # An AS without known paths: refused at the deadline, not before and not much later.
            answer = h1.traffic("connect", "10.71.0.1", 80)
            self.assertEqual(answer["errno"], "EHOSTUNREACH")
            self.assertLess(abs(answer["seconds"] - DEADLINE_S), 0.7)
            lines = lines_about_refusals(h1)
            self.assertEqual(len(lines), 1, lines)
            self.assertRegex(lines[0], "SCION daemon|10.12.0.1:30255")
            wait_for(lambda: h1.rpc("status")["scion_daemon"]["state"] == "down", 10, "status says that it is down")
            self.assertTrue(h1.rpc("status")["scion_daemon"]["error"])
        finally:
            os.kill(daemon, signal.SIGCONT)
        self.assertTrue(h1.traffic("get", self.h2.address(4), 8000, 1 << 20)["ok"])

    def test_not_there_at_the_start(self):
        self.pair.h1.close()
        daemon = self.lab.processes("h1")["daemon"]
        os.kill(daemon, signal.SIGSTOP)
        try:
            h1 = self.use(Shilad(self.lab, "h1", start=False))
            h1.start(wait=False)
            wait_for(lambda: "shilad waits for it" in h1.log(), 15, "a warning that it waits")
            status = h1.rpc("status")
            self.assertEqual(status["state"], "waiting")
            self.assertTrue(status["error"])
            out = h1.run(["true"], check=False)
            self.assertEqual(out.returncode, 125)
            self.assertIn("not ready", out.stderr)
        finally:
            os.kill(daemon, signal.SIGCONT)
        h1.wait_running(20)
        h1.wait_paths(2, None)


if __name__ == "__main__":
    main()
