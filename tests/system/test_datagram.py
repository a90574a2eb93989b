#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is not TCP: UDP services, tracers, path MTU discovery, ICMP errors, fragments."""

import os
import re
import sys

from harness import *  # noqa: F403

TRACED = "udp/33434-33600"  # where tracers send to

# A server that answers from another socket than it was asked on. Its client says what it wants:
# "once": one answer; "stream N SIZE": so many; "beside": to the client's next port, too. It prints what it saw.
ANSWERS_FROM_ELSEWHERE = """
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 9100))
print("ready", flush=True)
while True:
    data, client = s.recvfrom(2048)
    words = data.decode().split()
    other = socket.socket(family, socket.SOCK_DGRAM)
    other.bind((sys.argv[1], 0))
    other.settimeout(5)
    if words[0] == "once":
        other.sendto(b"answer", client)
        data, again = other.recvfrom(2048)
        print("heard", data.decode(), again == client, flush=True)
        other.sendto(b"goodbye", client)
    elif words[0] == "stream":
        for i in range(int(words[1])):
            other.sendto(i.to_bytes(4, "big") * (int(words[2]) // 4), client)
            time.sleep(0.002)
    elif words[0] == "beside":
        beside = (client[0], client[1] + 1) + client[2:]
        other.connect(beside)
        other.setsockopt(41 if family == socket.AF_INET6 else 0, 25 if family == socket.AF_INET6 else 11, 1)  # RECVERR
        try:
            other.send(b"who are you")
            other.recv(100)
            print("beside: no error", flush=True)
        except OSError as e:
            print("beside:", e, flush=True)
        s.sendto(b"done", client)
"""

CLIENT = """
import socket, sys
server = (sys.argv[1], 9100)
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.sendto(" ".join(sys.argv[2:]).encode(), server)
if sys.argv[2] == "once":
    data, other = s.recvfrom(2048)
    assert data == b"answer" and other[0] == sys.argv[1] and other[1] != 9100, (data, other)
    s.sendto(b"thanks", other)
    assert s.recvfrom(2048) == (b"goodbye", other)
    print("port", other[1])
elif sys.argv[2] == "stream":
    n, size, seen = int(sys.argv[3]), int(sys.argv[4]), []
    while len(seen) < n:
        data, other = s.recvfrom(65536)
        assert other[0] == sys.argv[1] and len(data) == size and data == data[:4] * (size // 4), (len(data), other)
        seen.append(int.from_bytes(data[:4], "big"))
    assert sorted(seen) == list(range(n)), seen
    print("port", other[1])
else:
    assert s.recv(100) == b"done"
    print("port 0")
"""

# Connects, says so, and after a line on stdin sends what the other side's firewall answers with ICMP.
ERRORS_TO_TCP = """
import socket, sys
v6 = ":" in sys.argv[2]
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
if sys.argv[1] == "client":
    s.settimeout(10)
    s.connect((sys.argv[2], 8100))
else:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((sys.argv[2], 8100))
    s.listen()
    print("listening", flush=True)
    s = s.accept()[0]
s.settimeout(10)
s.setsockopt(socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, 25 if v6 else 11, 1)  # RECVERR
print("connected", flush=True)
sys.stdin.readline()
try:
    if sys.argv[3] == "speak":
        s.send(b"hello")
    print("got", s.recv(100), flush=True)
except OSError as e:
    print("error", e.errno, flush=True)
"""

PMTU = """
import errno, socket, sys, time
v6 = ":" in sys.argv[1]
level, discover, mtu = (socket.IPPROTO_IPV6, 23, 24) if v6 else (socket.IPPROTO_IP, 10, 14)
headers = 48 if v6 else 28
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(level, discover, 2)  # DO
s.settimeout(1)
s.connect((sys.argv[1], 9000))
size = s.getsockopt(level, mtu) - headers
sizes = [size + headers]
end = time.monotonic() + 10
while time.monotonic() < end:
    data = bytes(i * 7 & 255 for i in range(size))
    try:
        s.send(data)
        answer = s.recv(65536)
        assert answer == data
        break
    except TimeoutError:
        continue
    except OSError as e:
        assert e.errno == errno.EMSGSIZE, e
        size = s.getsockopt(level, mtu) - headers
        sizes.append(size + headers)
print(*sizes)
"""


class Datagrams(SystemTest):
    @classmethod
    def setUpClass(cls):
        serve = ["tcp/8000-8999", "tcp/53", "udp/53", "udp/69", "udp/9000-9099", "udp/9100", TRACED, "icmp"]
        cls.pair = cls.keep(Pair(topology="parallel", links=2, interfaces=2, config2={"ingress": {"serve": serve}}))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2
        # Else the kernel answers only some of the tracers' probes.
        run(["nsenter", f"--net=/run/netns/{cls.h2.ns_ingress}", "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0",
             "net.ipv6.icmp.ratelimit=0"])

    def python(self, script, *args, ingress=False, check=True):
        host = self.h2 if ingress else self.h1
        return host.run([sys.executable, "-B", "-c", script, *args], ingress=ingress, check=check, mptcp=False)

    def drops(self):
        return dict(self.h1.rpc("status")["drops"]), dict(self.h2.rpc("status")["drops"])

    def flows_to(self, port, **want):
        return [f for f in self.h1.flows(**want) if f["remote"].rsplit(":", 1)[1] == str(port)]

    # -- services --

    def dnsmasq(self, *options):
        records = [f"--txt-record=big.test,{i:02}" + "x" * 60 for i in range(60)]
        self.h2.spawn(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--no-resolv",
                       "--no-hosts", "--log-facility=-", "--pid-file=", "--edns-packet-max=8192",
                       "--address=/small.test/10.1.2.3", *records, *options], ingress=True)
        self.h2.wait_listening(53, "udp")

    def test_dns(self):
        self.dnsmasq()
        for family in (4, 6):
            at = self.h2.address(family)
            self.assertEqual(self.h1.run(["dig", "+short", "+tries=1", "@" + at, "small.test"]).stdout, "10.1.2.3\n")
            # An answer of 4.5 kB in one datagram: fragments, in a flow that nobody opened yet.
            out = self.h1.run(["dig", "+tries=1", "+ignore", "+bufsize=8192", "@" + at, "big.test", "TXT"]).stdout
            self.assertEqual(sorted(re.findall(r'TXT\s+"(\d\d)x{60}"', out)), [f"{i:02}" for i in range(60)])
            self.assertRegex(out, r"\(UDP\)")
            size = int(re.search(r"MSG SIZE  rcvd: (\d+)", out).group(1))
            self.assertGreater(size, 4000)
            # Without EDNS the answer is cut off, and asked for again over TCP.
            # (Its library gives up when a TCP socket is an MPTCP one.)
            out = self.h1.run(["host", "-t", "TXT", "big.test", at], mptcp=False).stdout
            self.assertEqual(len(re.findall(r'"\d\dx{60}"', out)), 60)

    def test_tftp(self):
        """The server answers from a port that it does not serve."""
        directory = temporary()
        content = os.urandom(200_001)
        with open(os.path.join(directory, "file"), "wb") as f:
            f.write(content)
        self.dnsmasq("--enable-tftp", f"--tftp-root={directory}")
        before = self.drops()
        for family in (4, 6):
            at = f"[{self.h2.address(6)}]" if family == 6 else self.h2.address(4)
            for block in (512, 1428, 4096):  # the last one in fragments
                got = os.path.join(directory, "got")
                self.h1.run(["curl", "-sS", "-m", 30, "--tftp-blksize", block, "-o", got, f"tftp://{at}/file"], seconds=40)
                with open(got, "rb") as f:
                    self.assertEqual(f.read(), content)
        after = self.drops()
        for counts in ("drop.not_served", "drop.no_route", "drop.limit_related"):
            self.assertEqual([d.get(counts, 0) for d in after], [d.get(counts, 0) for d in before])

    def test_server_speaks_from_another_port(self):
        for family in (4, 6):
            at = self.h2.address(family)
            server = self.h2.spawn([sys.executable, "-B", "-c", ANSWERS_FROM_ELSEWHERE, at], ingress=True, mptcp=False)
            wait_for(lambda s=server: "ready" in s.output(), 20, "the server")
            port = int(self.python(CLIENT, at, "once").stdout.split()[1])
            self.assertIn("heard thanks True", server.output())
            self.assertEqual([f["state"] for f in self.flows_to(port)], ["open"])
            # Nobody answers, and yet it gets a flow of its own: at both ends, beside the one that was asked.
            before = self.h1.counter("drop.frame_malformed")
            port = int(self.python(CLIENT, at, "stream", 300, 1000).stdout.split()[1])
            mine = wait_for(lambda p=port: self.flows_to(p, state="open"), 20, "a flow for the stream")
            self.assertEqual(len(mine), 1)
            self.assertEqual(self.h1.counter("drop.frame_malformed"), before)
            # In fragments, which have no ports; fewer than a router's queue takes at once
            self.python(CLIENT, at, "stream", 3, 8000)
            # Only to a port that has asked.
            self.python(CLIENT, at, "beside")
            self.assertRegex(server.output(), r"beside: .*No route to host")
            server.close()

    def test_only_the_port_that_spoke(self):
        """A client reaches the port that spoke to it, from the port that it spoke to, and nothing else."""
        at = self.h2.address(4)
        server = self.h2.spawn([sys.executable, "-B", "-c", ANSWERS_FROM_ELSEWHERE, at], ingress=True, mptcp=False)
        wait_for(lambda: "ready" in server.output(), 20, "the server")
        port = int(self.python(CLIENT, at, "once").stdout.split()[1])
        before = self.h2.counter("drop.not_served")
        answer = self.h1.traffic("udp", at, port, 10)  # from another port
        self.assertEqual(answer["errno"], "ECONNREFUSED")
        self.assertGreater(self.h2.counter("drop.not_served"), before)

    # -- fragments of the local kernel --

    def test_fragments(self):
        """Larger than the TUN: the kernel cuts them, and only the first piece has ports."""
        self.h2.serve(9000, udp=True)
        sizes = [1452, 1472, 1473, 2600, 2960, 5000, 9000, 20000]
        for family in (4, 6):
            def all_at_once(family=family):
                before = self.drops()
                answer = self.h1.traffic("udp", self.h2.address(family), 9000, *sizes)
                self.assertEqual(answer["answered"], sizes)
                self.assertLess(answer["seconds"], 3)  # so none was sent twice
                out = self.h1.run(["ping", "-c", 2, "-i", "0.2", "-s", 8000, self.h2.address(family)]).stdout
                self.assertIn(" 0% packet loss", out)
                self.assertEqual(self.drops(), before)
            asked_again(all_at_once)

    def test_fragments_to_a_port_that_is_not_served(self):
        before = self.h2.counter("drop.not_served")
        self.assertEqual(self.h1.traffic("udp", self.h2.address(4), 7777, 5000)["errno"], "ECONNREFUSED")
        self.assertEqual(self.h2.counter("drop.not_served"), before + 1)

    def test_payload_is_counted(self):
        ports = iter((9001, 9002, 9003))

        def once():
            port = next(ports)
            self.h2.serve(port, udp=True)
            self.assertTrue(self.h1.traffic("udp", self.h2.address(4), port, 1000)["ok"])
            for host in (self.h1, self.h2):
                flow, = [f for f in host.flows() if f":{port}" in f["remote"] + f["local"]]
                self.assertEqual([flow["tx_bytes"], flow["rx_bytes"]], [1000, 1000])  # also what went in the OPEN
                self.assertEqual([flow["tx_segments"], flow["rx_segments"]], [1, 1])
        asked_again(once)

    # -- tracers --

    def test_tracers(self):
        """The peer is one hop away, whatever lies between: a hop limit of 1 reaches it."""
        for family in (4, 6):
            at = self.h2.address(family)
            self.h1.ping(at, "-t", 1)

            def traceroute(options, at=at):
                out = self.h1.run(["traceroute", "-n", "-w", 2, *options, at]).stdout.splitlines()[1:]
                self.assertEqual(len(out), 1, out)
                self.assertRegex(out[0], rf"^ 1  {re.escape(at)}(  [\d.]+ ms){{3}} *$")

            def tracepath(at=at):
                out = self.h1.run(["tracepath", "-n", at]).stdout
                self.assertRegex(out, rf"\n +1: +{re.escape(at)} .*reached\n +Resume: pmtu 1500 hops 1 back 1")

            def mtr(options, at=at):
                out = self.h1.run(["mtr", "-n", "-r", "-c", 2, "-i", "0.3", "-G", 1, *options, at]).stdout.splitlines()
                self.assertEqual(len(out), 3, out)
                self.assertRegex(out[2], rf"^ +1\.\|-- {re.escape(at)} +0\.0%")
            for options in ([], ["-I"], ["-T", "-p", "8888"]):
                asked_again(lambda o=options: traceroute(o))
            asked_again(tracepath)
            for options in ([], ["--udp"]):
                asked_again(lambda o=options: mtr(o))

    def test_hop_limit_and_class_arrive_as_sent(self):
        script = ("import socket, sys\n"
                  "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 9050))\n"
                  "s.setsockopt(0, 12, 1); s.setsockopt(0, 13, 1); s.settimeout(5)\n"
                  "print('ready', flush=True)\n"
                  "print(sorted((k, v[0]) for _, k, v in s.recvmsg(100, 100)[1]))\n")
        server = self.h2.spawn([sys.executable, "-c", script, self.h2.address(4)], ingress=True, mptcp=False)
        wait_for(lambda: "ready" in server.output(), 20)
        self.python("import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                    "s.setsockopt(0, 2, 1); s.setsockopt(0, 1, 0xb8); s.sendto(b'x', (sys.argv[1], 9050))",
                    self.h2.address(4))
        self.assertIn("[(1, 184), (2, 1)]", server.finish(10))

    # -- ICMP errors --

    def test_port_unreachable(self):
        """Of the server's kernel, to the client: a port that is served and closed."""
        for family in (4, 6):
            before = self.h2.nstat(ingress=True)
            self.assertEqual(self.h1.traffic("udp", self.h2.address(family), 9077, 1000)["errno"], "ECONNREFUSED")
            after = self.h2.nstat(ingress=True)
            name = "IcmpOutDestUnreachs" if family == 4 else "Icmp6OutDestUnreachs"
            self.assertEqual(after[name] - before[name], 1)

    def test_port_unreachable_to_the_server(self):
        """Of the client's kernel, to the server: its socket is closed when the answer comes."""
        script = ("import socket, sys\n"
                  "s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)\n"
                  "s.bind((sys.argv[1], 9060)); s.settimeout(5); print('ready', flush=True)\n"
                  "s.connect(s.recvfrom(100)[1]); print('asked', flush=True); sys.stdin.readline()\n"
                  "try:\n    s.send(b'y' * 1000); print('no error', s.recv(100))\n"
                  "except OSError as e:\n    print(e)\n")
        for family in (4, 6):
            at = self.h2.address(family)
            read, write = os.pipe()
            server = self.h2.spawn([sys.executable, "-c", script, at], ingress=True, mptcp=False, stdin=read)
            os.close(read)
            wait_for(lambda s=server: "ready" in s.output(), 20)
            self.python("import socket, sys\nsocket.socket(socket.AF_INET6 if ':' in sys.argv[1] else "
                        "socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', (sys.argv[1], 9060))", at)
            wait_for(lambda s=server: "asked" in s.output(), 20)
            wait_for(lambda: self.flows_to(9060, state="open"), 20)  # the ACCEPT has come back
            os.write(write, b"\n")
            os.close(write)
            self.assertIn("Connection refused", server.finish(10))

    def nft(self, netns, family, match):
        """What matches is answered with ICMP as a firewall does it, in that namespace, to the end of the test."""
        inside = ["nsenter", f"--net=/run/netns/{netns}", "nft"]
        run([*inside, "add table inet t; add chain inet t c { type filter hook input priority 0; }; "
             f"add rule inet t c {match} reject with icmpx type admin-prohibited"])
        self.addCleanup(run, [*inside, "delete table inet t"])

    def tcp_with_errors(self, family, speaker):
        """A plain TCP connection; the side that speaks gets an ICMP error from the other side's firewall."""
        at = self.h2.address(family)
        pipes = {}
        processes = {}
        for who, host in (("server", self.h2), ("client", self.h1)):
            read, pipes[who] = os.pipe()
            processes[who] = host.spawn([sys.executable, "-c", ERRORS_TO_TCP, who, at,
                                         "speak" if who == speaker else "wait"],
                                        ingress=who == "server", mptcp=False, stdin=read)
            os.close(read)
            wait_for(lambda p=processes[who], w=("listening" if who == "server" else "connected"): w in p.output(), 20)
        wait_for(lambda: "connected" in processes["server"].output(), 20)
        if speaker == "client":
            self.nft(self.h2.ns_ingress, family, "tcp dport 8100")
        else:
            self.nft(self.h1.ns_egress, family, "tcp sport 8100")
        os.write(pipes[speaker], b"\n")
        output = wait_for(lambda: re.search(r"(error \d+|got .*)", processes[speaker].output()), 10, "an ICMP error")
        for p in processes.values():
            p.close()
        for fd in pipes.values():
            os.close(fd)
        self.doCleanups()
        # EHOSTUNREACH for IPv4, EACCES for IPv6
        self.assertEqual(output.group(), "error 113" if family == 4 else "error 13")

    def test_errors_about_tcp_to_the_client(self):
        for family in (4, 6):
            self.tcp_with_errors(family, "client")

    def test_errors_about_tcp_to_the_server(self):
        for family in (4, 6):
            self.tcp_with_errors(family, "server")

    def test_firewall_refuses_a_syn(self):
        """The server's firewall answers the SYN itself with ICMP: the client hears of it at once."""
        self.nft(self.h2.ns_ingress, 4, "tcp dport 8200")
        for mptcp in (True, False):
            for family, error in ((4, "EHOSTUNREACH"), (6, "EACCES")):
                answer = self.h1.traffic("connect", self.h2.address(family), 8200, mptcp=mptcp)
                self.assertEqual(answer["errno"], error)
                self.assertLess(answer["seconds"], 1)

    # -- what is not carried --

    def test_multicast_and_broadcast(self):
        """As on a link where nobody listens: sending works, nothing comes back, nothing is opened."""
        script = ("import socket\n"
                  "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                  "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n"
                  "for to in '224.0.0.251', '239.1.2.3', '255.255.255.255':\n    s.sendto(b'x', (to, 5353))\n"
                  "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
                  "s.sendto(b'x', ('ff02::fb%shila-e0', 5353))\n")
        before, flows = self.h1.counter("drop.tun_multicast"), len(self.h1.flows())
        opens = self.h1.counter("opens_tx")
        self.python(script)
        wait_for(lambda: self.h1.counter("drop.tun_multicast") >= before + 4, 20, "4 packets are counted")
        self.assertEqual([len(self.h1.flows()), self.h1.counter("opens_tx")], [flows, opens])

    def test_other_icmp(self):
        """Time stamps, address masks and the like: refused by ICMP, counted, nothing is opened."""
        script = ("import socket, sys\n"
                  "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); s.settimeout(3)\n"
                  "s.sendto(bytes([13, 0, 0xf2, 0xff, 0, 0, 0, 0]) + bytes(12), (sys.argv[1], 0))\n"
                  "p = s.recv(2000); print(p[20], p[21])\n")
        before, opens = self.h1.counter("drop.tun_icmp"), self.h1.counter("opens_tx")
        self.assertEqual(self.python(script, self.h2.address(4)).stdout.split(), ["3", "13"])
        self.assertEqual([self.h1.counter("drop.tun_icmp"), self.h1.counter("opens_tx")], [before + 1, opens])


class PathMtu(SystemTest):
    """The AS carries 6000 bytes, so TUN devices do; the only path carries 1472, two parts of it 2752."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=1, mtu=6000, link_mtu={1: 1472}, interfaces=2))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2

    def discover(self, family):
        """One that sets IP_MTU_DISCOVER: it is told the path's MTU and gets through with that."""
        out = self.h1.run([sys.executable, "-c", PMTU, self.h2.address(family)], mptcp=False).stdout
        self.assertEqual(out.split(), ["6000", "2752"])

    def test_path_mtu(self):
        self.h2.serve(9000, udp=True)
        for family in (4, 6):
            at = self.h2.address(family)
            before = self.h1.counter("drop.too_big")
            self.discover(family)
            self.assertEqual(self.h1.counter("drop.too_big"), before + 1)
            # The kernel remembers it for everybody.
            p = self.h1.run(["ping", "-c", 1, "-W", 2, "-M", "do", "-s", 4000, at], check=False)
            self.assertRegex(p.stdout + p.stderr, r"message too long, mtu(=|: )2752")
            size = 2752 - (48 if family == 6 else 28)
            self.h1.ping(at, "-M", "do", "-s", size)
            self.assertRegex(self.h1.run(["tracepath", "-n", at]).stdout, "pmtu 2752 hops 1 back 1")
            # Others that do not care are cut to pieces of that size, both ways.
            self.h1.traffic("udp", at, 9000, 5000)  # the server's kernel learns it from the answer
            answer = self.h1.traffic("udp", at, 9000, 5000, 9000)
            self.assertEqual(answer["answered"], [5000, 9000])
            self.assertLess(answer["seconds"], 3)
            self.assertEqual(self.h1.counter("drop.too_big"), before + 1)

    def test_ping_is_told(self):
        p = self.h1.run(["ping", "-c", 1, "-W", 2, "-M", "do", "-s", 5000, "-I", "shila-e1", self.h2.address(4)],
                        check=False)
        self.assertRegex(p.stdout, r"From 10\.70\.2\.1 .*Frag needed and DF set \(mtu = 2752\)")


class SmallPath(SystemTest):
    """IPv6 needs 1280 bytes, and so much is all that the path carries with its headers."""

    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=1, mtu=1280, interfaces=1))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2

    def test_1280(self):
        self.h2.serve(9000, udp=True)
        at = self.h2.address(6)
        out = self.h1.run(["ping", "-c", 3, "-i", "0.2", "-M", "do", "-s", 1232, at]).stdout
        self.assertIn(" 0% packet loss", out)
        flow, = self.h1.flows(protocol="icmpv6")
        self.assertEqual([flow["tx_segments"], flow["rx_segments"]], [6, 6])  # in two parts each
        self.assertEqual([flow["tx_bytes"], flow["rx_bytes"]], [3 * 1232, 3 * 1232])
        answer = self.h1.traffic("udp", at, 9000, 1232, 1233, 2000, 6000)
        self.assertEqual(answer["answered"], [1232, 1233, 2000, 6000])
        for host in (self.h1, self.h2):
            self.assertEqual(host.counter("drop.fragment_lost"), 0)


if __name__ == "__main__":
    main()
