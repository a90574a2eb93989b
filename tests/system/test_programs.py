#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs as they come from Debian, started by `shila run`, over three paths."""

import hashlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time

from harness import *  # noqa: F403

PATHS = 3
# What the kernel counts when a connection is, or becomes, plain TCP.
FALLBACK = ("Fallback", "MPFail", "InfiniteMap", "MPCapableSYNTXDrop", "DataCsumErr", "DSSCorruption", "Blackhole")


class Programs(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=PATHS))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2

    def setUp(self):
        self.before = [self.h1.nstat(), self.h2.nstat(ingress=True)]

    def counted(self, host):
        now = self.h1.nstat() if host == 0 else self.h2.nstat(ingress=True)
        return {k.removeprefix("MPTcpExt"): v - self.before[host].get(k, 0) for k, v in now.items()
                if k.startswith("MPTcpExt")}

    def check_mptcp(self, connections=1):
        """The kernels at both ends had so many connections with PATHS subflows each, and no fallback."""
        wait_for(lambda: self.counted(1)["MPJoinAckRx"] >= connections * (PATHS - 1), 10, "joins at the server")
        client, server = self.counted(0), self.counted(1)
        self.assertEqual(client["MPCapableSYNACKRX"], connections)
        self.assertEqual(server["MPCapableACKRX"], connections)
        self.assertEqual(client["MPJoinSynAckRx"], connections * (PATHS - 1))
        self.assertEqual(server["MPJoinAckRx"], connections * (PATHS - 1))
        for counts in (client, server):
            self.assertEqual({k: v for k, v in counts.items() if v and any(f in k for f in FALLBACK)}, {})

    def check_live(self, family=4, port=None):
        """While it runs: PATHS flows of one connection on disjoint paths, and `ss -M` says so at both ends."""
        def there():
            flows = [f for f in self.h1.flows(protocol="tcp", state="open")
                     if port is None or f["remote"].endswith(f":{port}")]
            return flows if len(flows) == PATHS else None
        flows = wait_for(there, 20, f"{PATHS} open flows of the client")
        self.assertEqual(sorted(f["role"] for f in flows), ["main"] + ["sub"] * (PATHS - 1))
        self.assertEqual(len({f["token"] for f in flows}), 1)
        links = [tuple((h["isd_as"], h["interface"]) for h in f["path"]["hops"]) for f in flows]
        self.assertEqual(len(set(links)), PATHS, links)
        for netns, peer in ((self.h1.ns_egress, "dport"), (self.h2.ns_ingress, "sport")):
            def subflows(netns=netns, peer=peer):
                out = run(["ip", "netns", "exec", netns, "ss", f"-{family}HnMit", "state", "established",
                            f"{peer} = {port}"]).stdout
                return f"subflows:{PATHS - 1}" in out and out
            wait_for(subflows, 10, f"ss -M shows {PATHS - 1} more subflows in {netns}")

    # -- TCP --

    def iperf3(self, family, *options):
        server = self.h2.spawn(["iperf3", "-s", "-1", "-p", 5201], ingress=True)
        self.h2.wait_listening(5201)
        client = self.h1.spawn(["iperf3", "-c", self.h2.address(family), "-p", 5201, "-t", 3, "--json", *options])
        # the control connection of iperf3 and the one with the data; not what another family's run still closes
        remote = f"[{self.h2.address(6)}]:5201" if family == 6 else f"{self.h2.address(4)}:5201"

        def there():
            flows = self.h1.flows(protocol="tcp", state="open", remote=remote)
            return flows if len(flows) >= 2 * PATHS else None
        flows = wait_for(there, 10, "flows of iperf3")
        self.assertEqual(len({f["token"] for f in flows}), 2)
        report = json.loads(client.finish(20))
        server.finish(10)
        self.assertNotIn("error", report)
        # every path carries its part of the data
        used = [f for f in self.h1.flows(protocol="tcp") + self.h2.flows(protocol="tcp")
                if f["tx_bytes"] > 100_000 or f["rx_bytes"] > 100_000]
        self.assertGreaterEqual(len(used), PATHS)
        self.assertGreater(report["end"]["sum_received"]["bytes"], 10_000_000)
        self.check_mptcp(2)

    def test_iperf3(self):
        self.iperf3(4)

    def test_iperf3_reverse_ipv6(self):
        self.iperf3(6, "-R")

    def nginx(self, size, families, rate="0"):
        """rate: of the server, so that there is time to look at a transfer; 0: all it can."""
        where = temporary()
        with open(os.path.join(where, "file"), "wb") as f:
            digest = hashlib.sha256()
            for i in range(size >> 20):
                part = hashlib.shake_128(i.to_bytes(8, "big")).digest(1 << 20)
                digest.update(part)
                f.write(part)
        with open(os.path.join(where, "nginx.conf"), "w", encoding="utf-8") as f:
            temp = "\n".join(f"  {kind}_temp_path {where}/{kind};" for kind in
                             ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            f.write(f"daemon off; pid {where}/pid; error_log stderr; worker_processes 1; user root;\n"
                    f"events {{}}\nhttp {{\n{temp}\n  access_log off; sendfile on; limit_rate {rate};\n"
                    f"  server {{ listen 8080; listen [::]:8080; root {where}; }}\n}}\n")
        server = self.h2.spawn(["nginx", "-p", where, "-c", f"{where}/nginx.conf", "-e", "stderr"], ingress=True)
        self.h2.wait_listening(8080)
        for family in families:
            host = self.h2.address(family) if family == 4 else f"[{self.h2.address(family)}]"
            client = self.h1.spawn(["sh", "-c", f"curl -sSf http://{host}:8080/file | sha256sum"])
            self.check_live(family, 8080)
            self.assertEqual(client.finish(120).split()[0], digest.hexdigest())
        server.send_signal(signal.SIGQUIT)
        server.finish(10)
        shutil.rmtree(where)
        self.check_mptcp(len(families))

    def test_curl_and_nginx_300_mb(self):
        self.nginx(300 << 20, [4])

    def test_curl_and_nginx_ipv6(self):
        self.nginx(30 << 20, [6], "6m")

    def test_upload(self):
        self.h2.serve()
        for family in (4, 6):
            self.assertTrue(self.h1.traffic("put", self.h2.address(family), 8000, 20 << 20)["ok"])
        self.check_mptcp(2)

    def test_plain_tcp(self):
        """A program without MPTCP is carried over one path."""
        self.h2.serve()
        for family in (4, 6):
            answer = self.h1.traffic("get", self.h2.address(family), 8000, 5 << 20, mptcp=False)
            self.assertTrue(answer["ok"], answer)
        self.assertEqual(self.counted(0)["MPCapableSYNTX"], 0)
        self.assertEqual({f["role"] for f in self.h1.flows(protocol="tcp")
                          if f["remote"].endswith(":8000") and f["age_ms"] < 2000 and f["token"] is None}, {"plain"})

    def test_many_small_exchanges(self):
        self.h2.serve()
        for family in (4, 6):
            answer = self.h1.traffic("echo", self.h2.address(family), 8000, 500)
            self.assertTrue(answer["ok"], answer)
            self.assertLess(answer["longest"], 1.0)

    def test_go(self):
        """A static Go program: MPTCP through GODEBUG."""
        where = temporary()
        go = run([os.path.join(ROOT, "scripts", "lab-tools", "build"), "--go"], 200).stdout.strip()
        env = clean_environment(CGO_ENABLED="0", GOTOOLCHAIN="local", GOPROXY="off", GOFLAGS="-buildvcs=false")
        run([go, "build", "-o", os.path.join(where, "goecho"), "."], 200, env=env,
             cwd=os.path.join(TOOLS, "goecho"))
        program = os.path.join(where, "goecho")
        server = self.h2.spawn([program, "listen", ":7000"], ingress=True)
        self.h2.wait_listening(7000)
        for family in (4, 6):
            host = self.h2.address(family) if family == 4 else f"[{self.h2.address(family)}]"
            out = self.h1.run([program, "dial", f"{host}:7000", 20]).stdout
            self.assertEqual(out.strip(), f"got {20 << 20} bytes back, MPTCP true")
        wait_for(lambda: server.output().count(f"served {20 << 20} bytes, MPTCP true") == 2, 20, "the server's words")
        self.check_mptcp(2)

    def test_ssh(self):
        """An interactive session on a terminal: log in, type, see, log out."""
        for family in (4, 6):
            with self.subTest(family=family):
                self.ssh(family)
        self.check_mptcp(2)

    def ssh(self, family):
        where = temporary()
        for key in ("host", "user"):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{where}/{key}"])
        shutil.copy(f"{where}/user.pub", f"{where}/authorized_keys")
        with open(f"{where}/sshd_config", "w", encoding="utf-8") as f:
            f.write(f"Port 2222\nHostKey {where}/host\nAuthorizedKeysFile {where}/authorized_keys\nStrictModes no\n"
                    f"PidFile {where}/pid\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
                    f"KbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nPrintMotd no\nPrintLastLog no\n")
        made = not os.path.isdir("/run/sshd")
        os.makedirs("/run/sshd", exist_ok=True)  # sshd wants it, and only its service makes it
        try:
            server = self.h2.spawn([shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-e", "-f",
                                    f"{where}/sshd_config"], ingress=True)
            self.h2.wait_listening(2222)
            with Terminal(self.h1.command(["ssh", "-tt", "-p", 2222, "-i", f"{where}/user", "-o", "BatchMode=yes",
                                           "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                                           "-o", "IdentitiesOnly=yes", "-F", "/dev/null",
                                           f"root@{self.h2.address(family)}", "PS1='ready> ' sh"])) as t:
                t.expect("ready> ", 30, server)
                self.check_live(family, 2222)
                for i in range(20):
                    t.type(f"echo $((6 * {i}))=six-times\r")
                    t.expect(f"{6 * i}=six-times", 20, server)
                t.type("tty; seq 1 20000 | tail -n 1\r")
                t.expect("/dev/pts/", 20, server)
                t.expect("20000", 20, server)
                t.type("exit 7\r")
                self.assertEqual(t.wait(), 7)
            server.close()
        finally:
            if made:
                os.rmdir("/run/sshd")

    # -- what is not TCP --

    def test_ping(self):
        for family in (4, 6):
            for size in (0, 56, 1300, 2000):
                self.h1.ping(self.h2.address(family), "-s", size, count=4)

    def test_udp(self):
        self.h2.serve(9000, udp=True)
        for family in (4, 6):
            sizes = [0, 1, 100, 1200, 1280, 1331, 1372, 1400, 1452, 1472, 1500, 2000, 2600]
            answer = self.h1.traffic("udp", self.h2.address(family), 9000, *sizes)
            self.assertEqual(answer["answered"], sizes)


class Terminal:
    """A program on a terminal of its own, and somebody who types."""

    def __init__(self, argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(argv[0], argv, clean_environment(TERM="dumb"))
            finally:
                os._exit(126)
        self.seen = ""
        self.status = None

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text, seconds, server):
        end = time.monotonic() + seconds
        while text not in self.seen:
            if time.monotonic() > end or not self.read(end - time.monotonic()):
                raise Failed(f"no {text!r} within {seconds} s, but {self.seen[-2000:]!r}; server:\n"
                             f"{server.output()[-2000:]}")
        self.seen = self.seen.split(text, 1)[1]

    def read(self, seconds):
        if not select.select([self.fd], [], [], max(0, seconds))[0]:
            return False
        try:
            part = os.read(self.fd, 1 << 16)
        except OSError:  # EIO: the other side of the terminal is closed
            return False
        self.seen += part.decode(errors="replace")
        return bool(part)

    def wait(self, seconds=30):
        end = time.monotonic() + seconds
        while self.status is None:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise Failed(f"still running: {self.seen[-2000:]!r}")
        return self.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        os.close(self.fd)


if __name__ == "__main__":
    main()
