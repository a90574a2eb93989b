#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""shila (1) against a control socket whose answers the test chooses, good and bad."""

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SHILA = os.environ.get("SHILA", "build/shila/cli/shila")


def hop(isd_as, interface):
    return {"isd_as": isd_as, "interface": interface}


def flow(number, **changes):
    result = {
        "id": f"0.{number}", "peer": "1-64513,10.13.0.2", "protocol": "tcp", "role": "sub", "side": "client",
        "token": "00c0ffee", "local": f"10.7.1.{number}:40000", "remote": "10.70.1.1:80",
        "state": "open", "worker": 0,
        "path": {"fingerprint": "ab" * 32, "mtu_bytes": 1472,
                 "hops": [hop("1-64512", number), hop("1-64513", number)]},
        "srtt_us": 20345, "tx_bytes": 1234567, "rx_bytes": 999, "tx_wire_bytes": 1400000,
        "rx_wire_bytes": 2000, "tx_segments": 1000, "rx_segments": 500, "path_changes": 0, "age_ms": 5000,
    }
    result.update(changes)
    return result


STATUS = {
    "version": "0.1.0", "pid": 1, "uptime_ms": 3723000, "boot_id": "0123456789abcdef", "state": "running",
    "isd_as": "1-64512", "address": "10.0.0.1", "contact_port": 31654, "worker_ports": [31000, 31001],
    "workers": 2, "steering": "program",
    "scion_daemon": {"address": "127.0.0.1:30255", "state": "up", "error": None},
    "egress": [{"namespace": "shila-egress",
                "interfaces": [{"name": "shila-e0", "addresses": ["10.7.1.1", "fd00::1"]}]}],
    "ingress": {"namespace": "shila-ingress", "interface": "shila-i0", "addresses": ["10.70.0.9"],
                "pool_used": 3, "pool_size": 65534},
    "flows": 4, "routes": [{"to": "10.70.1.0/24", "via": ["[1-64513,10.13.0.2]:31654"]}],
    "limits": [{"name": "flows", "limit": 65536, "used": 4, "worst": 9, "refused": 0}],
    "counters": {"tun_trains_in": 7, "tun_trains_out": 0}, "drops": {"drop.no_route": 1},
}


class Daemon:
    """Answers each request with what @answer(request) gives: a result, or bytes as they are."""

    def __init__(self, answer):
        self.folder = tempfile.mkdtemp(prefix="shila-test-cli-")
        self.path = os.path.join(self.folder, "control.sock")
        self.answer = answer
        self.requests = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(8)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                line = client.makefile("rb").readline()
                if not line:
                    continue
                request = json.loads(line)
                self.requests.append(request)
                answer = self.answer(request)
                if not isinstance(answer, bytes):
                    answer = {"jsonrpc": "2.0", "id": request["id"], "result": answer}
                    answer = json.dumps(answer).encode() + b"\n"
                try:
                    client.sendall(answer)
                except OSError:
                    pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
        shutil.rmtree(self.folder)


def shila(*args, env=None, **options):
    return subprocess.run([SHILA, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, env={**os.environ, **(env or {})}, **options)


class CliTest(unittest.TestCase):
    def daemon(self, answer):
        daemon = Daemon(answer if callable(answer) else lambda request: answer)
        self.addCleanup(daemon.close)
        return daemon

    def ask(self, answer, *args, code=0, **options):
        daemon = self.daemon(answer)
        result = shila("--control", daemon.path, *args, **options)
        self.assertEqual(result.returncode, code, result)
        self.requests = daemon.requests
        return result


class Tables(CliTest):
    def test_flows(self):
        flows = [flow(10), flow(2), flow(1, role="main"),
                 flow(4, role="datagram", protocol="udp", token=None, path=None, srtt_us=None, state="parked")]
        out = self.ask(flows, "flows").stdout.splitlines()
        self.assertEqual(self.requests, [{"jsonrpc": "2.0", "id": 1, "method": "flows"}])
        self.assertEqual(len(out), 5)
        self.assertEqual([line.split()[0] for line in out], ["ID", "0.1", "0.2", "0.10", "0.4"], "main first")
        self.assertIn("1-64512#1>1-64513#1", out[1])
        self.assertIn("1.2 MB", out[1])
        self.assertIn("999 B", out[1])
        self.assertIn("20.3 ms", out[1])
        self.assertIn("none", out[4])
        self.assertNotIn("\033", "".join(out), "no colour but on a terminal")
        for title in ("CONNECTION", "STATE", "PATH"):
            at = out[0].index(title)
            for line in out[1:]:
                self.assertEqual(line[at - 1], " ", "aligned")
                self.assertNotEqual(line[at], " ", "aligned")

    def test_path_over_several_links(self):
        hops = [hop("1-64512", 1), hop("1-64514", 7), hop("1-64514", 2), hop("1-64513", 1)]
        flows = [flow(1, path={"fingerprint": "00", "hops": hops, "mtu_bytes": 1400}),
                 flow(2, path={"fingerprint": "00", "hops": [], "mtu_bytes": 1400})]
        out = self.ask(flows, "flows").stdout
        self.assertIn("1-64512#1>1-64514#7,2>1-64513#1\n", out)
        self.assertIn("inside the AS\n", out)

    def test_status(self):
        out = self.ask(STATUS, "status").stdout
        for text in ("0.1.0 running for 1 h 2 min", "1-64512,10.0.0.1", "127.0.0.1:30255 is up",
                     "shila-egress: shila-e0 10.7.1.1, fd00::1", "3 of 65534", "drop.no_route 1",
                     "tun_trains_in 7", "65536"):
            self.assertIn(text, out)
        self.assertNotIn("tun_trains_out", out)
        out = self.ask(dict(STATUS, ingress=None), "status").stdout
        self.assertNotIn("ingress", out)

    def test_status_while_waiting(self):
        waiting = {"version": "0.1.0", "pid": 7, "state": "waiting", "error": "no SCION daemon"}
        self.assertEqual(self.ask(waiting, "status").stdout,
                         "shilad    0.1.0 waiting, pid 7\n          no SCION daemon\n")

    def test_drops(self):
        drops = [{"name": "drop.a", "count": 0, "meaning": "never"},
                 {"name": "drop.b", "count": 12, "meaning": "a sentence"}]
        for command in (["drops"], ["status", "--drops"]):
            out = self.ask(drops, *command).stdout.splitlines()
            self.assertEqual(self.requests[0]["method"], "drops")
            self.assertEqual(out[1:], ["   12  drop.b  a sentence"])
        self.assertEqual(self.ask(drops[:1], "drops").stdout, "Nothing was dropped.\n")

    def test_events(self):
        path = {"number": 3, "time_unix_us": 1700000000123456, "event": "path_down", "peer": "1-64513,10.13.0.2", "path": "0123abcd"}
        flow = {"number": 7, "time_unix_us": 1700000000223456, "event": "flow_moved", "peer": "1-64513,10.13.0.2",
                "path": "0123abce", "flow": "0.5", "protocol": "tcp", "role": "sub", "side": "server", "local": "10.70.2.1:80",
                "remote": "10.64.0.1:4000", "path_changes": 1}
        out = self.ask([path, flow], "events", "--once").stdout.splitlines()
        self.assertEqual(self.requests[0]["method"], "events")
        self.assertRegex(out[0], r"^2023-11-\d\d \d\d:\d\d:\d\d\.123 path 0123abcd to 1-64513,10\.13\.0\.2 is down$")
        self.assertEqual(out[1], "(3 events were not kept)")
        self.assertRegex(out[2], r" flow 0\.5 tcp sub 10\.64\.0\.1:4000 > 10\.70\.2\.1:80 was moved, path 0123abce to 1-64513,10")
        lines = self.ask([path, flow], "events", "--once", "--json").stdout.splitlines()
        self.assertEqual([json.loads(line) for line in lines], [path, flow])

    def test_peers(self):
        peer = {"isd_as": "1-64513", "host": "10.13.0.2", "contact_port": 31654, "state": "up",
                "boot_id": "00", "worker_ports": [1, 2], "flows": 4, "paths": 3, "rtt_us": 900,
                "opens_tx": 4, "opens_rx": 0}
        self.assertRegex(self.ask([peer], "peers").stdout, r"1-64513 +10\.13\.0\.2 +31654 +up +0\.90 ms")

    def test_paths(self):
        path = {"isd_as": "1-64513", "fingerprint": "0123456789abcdef" * 4, "hops": [hop("1-64512", 1),
                hop("1-64513", 2)], "mtu_bytes": 1472, "expiry_unix_s": int(time.time()) + 7205,
                "state": "up", "srtt_us": None, "loss_ratio": 0.015, "flows": 1, "why": "the shortest",
                "since_s": 75}
        out = self.ask([path], "paths", "1-64513", "--why").stdout
        self.assertEqual(self.requests[0]["params"], {"isd_as": "1-64513", "why": True})
        self.assertRegex(out, r"1-64513 +0123456789ab +up +- +1\.5 % +1472 +2 h 0 min +1 +1-64512#1>1-64513#2")
        self.assertIn("\n  the shortest; so for 1 min 15 s\n", out)

    def test_json_is_unchanged(self):
        flows = [flow(1, z=1, a=["\u00e9", 0.5, None])]
        for args in (["flows", "--json"], ["--json", "flows"]):
            out = self.ask(flows, *args).stdout
            self.assertEqual(json.loads(out), flows)
            self.assertEqual(list(json.loads(out)[0]), list(flows[0]), "order of the keys")
            self.assertIn("\n  {\n", out)
        self.assertEqual(self.ask([], "flows", "--json").stdout, "[]\n")

    def test_full_disk(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            daemon = self.daemon(STATUS)
            result = subprocess.run([SHILA, "--control", daemon.path, "status"], stdout=full,
                                    stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(result.returncode, 1)


class Watch(CliTest):
    def changing(self):
        start = time.monotonic()
        def answer(_):
            passed = time.monotonic() - start
            return [flow(1, role="main", tx_bytes=int(passed * 1e6), age_ms=int(passed * 1000)),
                    flow(2, tx_bytes=7, rx_bytes=int(passed * 2.5e6), age_ms=int(passed * 1000), id="0.1")]
        return answer

    def watch(self, *args, lines):
        daemon = self.daemon(self.changing())
        with subprocess.Popen([SHILA, "--control", daemon.path, "flows", *args],
                              stdout=subprocess.PIPE, text=True) as process:
            out = [process.stdout.readline() for _ in range(lines)]
            process.send_signal(signal.SIGINT)
        return out

    def test_rates(self):
        out = self.watch("--watch", "0.3", lines=18)
        rows = [line for line in out if " open " in line]
        self.assertRegex(rows[0], r"open +- +- ", "no rate before the second picture")
        tx, rx = map(float, re.search(r"open +(\S+) +(\S+)", rows[2]).groups())
        self.assertAlmostEqual(tx, 8, delta=2)
        self.assertEqual(rx, 0)
        tx, rx = map(float, re.search(r"open +(\S+) +(\S+)", rows[3]).groups())
        self.assertEqual(tx, 0)
        self.assertAlmostEqual(rx, 20, delta=4)
        self.assertRegex(out[10], r"2 flows, tx .* Mbit/s, rx .* Mbit/s")

    def test_json_lines(self):
        for line in self.watch("--json", "--watch=0.1", lines=3):
            self.assertEqual(len(json.loads(line)), 2)

    def test_terminal(self):
        daemon = self.daemon(self.changing())
        child, terminal = pty.fork()
        if child == 0:
            os.execve(SHILA, [SHILA, "--control", daemon.path, "flows", "--watch", "0.1"],
                      {"TERM": "xterm", "ASAN_OPTIONS": "detect_leaks=0"})
        seen, end = b"", time.monotonic() + 20
        while seen.count(b"\033[H") < 3 and time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 65536)
        os.kill(child, signal.SIGINT)
        os.waitpid(child, 0)
        os.close(terminal)
        self.assertIn(b"\033[32mopen\033[0m", seen)
        self.assertGreaterEqual(seen.count(b"\033[H"), 3, "redrawn in place")

    def test_daemon_ends(self):
        daemon = self.daemon([])
        with subprocess.Popen([SHILA, "--control", daemon.path, "flows", "--watch", "0.1"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            os.unlink(daemon.path)
            _, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 1)
        self.assertIn("no shilad answers", err)


class Errors(CliTest):
    def test_no_daemon(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "none.sock")
            message = (f"shila: no shilad answers on {path}: start it with `shilad --config FILE`, "
                       "or name its socket with --control\n")
            result = shila("--control", path, "status")
            self.assertEqual((result.returncode, result.stderr), (1, message))
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(path)
            result = shila("--control", path, "status")
            self.assertEqual((result.returncode, result.stderr), (1, message))

    def test_no_permission(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to become somebody else")
        daemon = self.daemon(STATUS)
        os.chmod(daemon.folder, 0o755)
        os.chmod(daemon.path, 0o600)
        with tempfile.TemporaryDirectory() as folder: # the build tree may be closed to others
            os.chmod(folder, 0o755)
            program = shutil.copy(SHILA, folder)
            result = subprocess.run([program, "--control", daemon.path, "status"], user=65534,
                                    stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no permission", result.stderr)

    def test_error_answer(self):
        error = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no AS \\u001b[31m1-1"}}\n'
        result = self.ask(error, "paths", "1-1", code=1)
        self.assertEqual(result.stderr, "shila: shilad: no AS ?[31m1-1\n")
        busy = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"too many clients"}}\n'
        self.assertIn("too many clients", self.ask(busy, "flows", code=1).stderr)

    def test_half_answers(self):
        for answer in (b"", b'{"jsonrpc":"2.0","id":1,"res', b'{"jsonrpc":"2.0","id":1,"result":[]}'):
            with self.subTest(answer=answer):
                result = self.ask(answer, "flows", code=1)
                self.assertIn("closed the connection before it answered", result.stderr)

    def test_foreign_answers(self):
        for answer in (b"\n", b"HTTP/1.1 400 Bad Request\n", b"[]\n", b"null\n", b"\xff\n", b"{}\n",
                       b'{"jsonrpc":"1.0","id":1,"result":[]}\n', b'{"jsonrpc":"2.0","id":2,"result":[]}\n',
                       b'{"jsonrpc":"2.0","id":1}\n', b'{"jsonrpc":"2.0","id":1,"result":{}}\n',
                       b'{"jsonrpc":"2.0","id":1,"error":7}\n', b"[" * 100000 + b"\n"):
            with self.subTest(answer=answer[:60]):
                result = self.ask(answer, "flows", code=1)
                self.assertIn("is no shilad, or one of another version", result.stderr)
                self.assertEqual(result.stdout, "")

    def test_hostile_values(self):
        """Nothing of an answer steers the terminal or ends the program."""
        values = [None, True, -1, 1e308, 2**63 - 1, "", "\033]0;x\007", "\u009b31m", "\u00e9\x7f", "x" * 70000,
                  [], {}, [[]], {"a": 1}, [None, "\033"], {"hops": 3}, {"hops": [1, {}, {"isd_as": "\033"}]}]
        columns = {"flows": flow(1), "peers": {"isd_as": 1, "state": 1, "rtt_us": 1, "worker_ports": 1},
                   "paths": {"fingerprint": 1, "state": 1, "hops": 1, "expiry_unix_s": 1, "loss_ratio": 1,
                             "srtt_us": 1, "why": 1},
                   "drops": {"name": 1, "count": 1, "meaning": 1},
                   "events": {"number": 1, "time_unix_us": 1, "event": "flow_x", "peer": 1, "path": "", "flow": 1}}
        for method, keys in columns.items():
            rows = [dict(keys, **{key: value}) for key in keys for value in values] + values
            out = self.ask(rows, method, *(["--once"] if method == "events" else [])).stdout
            self.assertNotRegex(out, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        for value in values:
            out = self.ask({key: value for key in [*STATUS, "error"]}, "status").stdout
            self.assertNotRegex(out, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")

    def test_silence(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
            path = os.path.join(folder, "silent.sock")
            silent.bind(path)
            silent.listen(1)
            result = shila("--control", path, "status")
        self.assertEqual(result.returncode, 1)
        self.assertIn("did not answer for 10 s", result.stderr)

    def test_usage(self):
        for args in ([], ["nothing"], ["status", "x"], ["status", "--why"], ["flows", "3"], ["events", "x"], ["flows", "--once"],
                     ["flows", "--watch", "0"], ["flows", "--watch=nan"], ["paths", "a", "b"], ["--control"],
                     ["--nothing", "status"], ["status", "-x"]):
            with self.subTest(args=args):
                result = shila(*args)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertNotEqual(result.stderr, "")
        self.assertEqual(shila("--control", "x" * 200, "status").returncode, 1)
        self.assertRegex(shila("--version").stdout, r"^shila \d+\.\d+\.\d+\n$")
        for args in (["--help"], ["-h"], ["flows", "--help"], ["run", "--help"]):
            result = shila(*args)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("Usage: shila", result.stdout)


class Stop(CliTest):
    def test_waits_for_the_end(self):
        code = ("import os, socket, sys, time\n"
                "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)\n"
                "print(flush=True); c = s.accept()[0]; c.recv(999)\n"
                "c.send(b'{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\\n'); c.close()\n"
                "time.sleep(0.7)")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "stop.sock")
            with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as daemon:
                daemon.stdout.readline()
                start = time.monotonic()
                result = shila("--control", path, "stop", "--json")
                self.assertGreater(time.monotonic() - start, 0.6)
                daemon.wait(timeout=0.5)
        self.assertEqual((result.returncode, result.stdout), (0, "{}\n"))


@unittest.skipIf(os.geteuid() != 0 or not shutil.which("ip"), "needs root and iproute2")
class Run(CliTest):
    def setUp(self):
        self.name = f"shila-test-cli-{os.getpid()}"
        if subprocess.run(["ip", "netns", "add", self.name], check=False).returncode:
            self.skipTest("cannot make a network namespace")
        self.addCleanup(subprocess.run, ["ip", "netns", "del", self.name], check=True)

    def run_in(self, *args, status=None, code=0, env=None):
        answer = status or {"egress": [{"namespace": "elsewhere"}, {"namespace": self.name}], "ingress": None}
        return self.ask(answer, "run", *args, code=code, env={"SUDO_UID": "", "SUDO_GID": "", **(env or {})})

    def inside(self, *args, **options):
        return self.run_in("--root", "--egress", "1", *args, **options)

    def test_namespace(self):
        inode = os.stat(f"/run/netns/{self.name}").st_ino
        show = ["readlink", "/proc/self/ns/net"]
        self.assertEqual(self.inside(*show).stdout, f"net:[{inode}]\n")
        self.assertEqual(self.run_in("--root", "--egress", self.name, "--", *show).stdout, f"net:[{inode}]\n")
        ingress = {"egress": [], "ingress": {"namespace": self.name}}
        self.assertEqual(self.run_in("--root", "--ingress", *show, status=ingress).stdout, f"net:[{inode}]\n")
        links = subprocess.run(["ip", "netns", "exec", self.name, "ls", "/sys/class/net"],
                               stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertEqual(self.inside("ls", "/sys/class/net").stdout, links, "/sys shows it too")
        for folder in ("/sys/fs/cgroup", os.getcwd()):
            self.assertEqual(sorted(self.inside("ls", "-A", folder).stdout.split()), sorted(os.listdir(folder)))

    def test_host_mode(self):
        status = {"egress": [{"namespace": ""}]}
        self.assertEqual(self.run_in("--root", "readlink", "/proc/self/ns/net", status=status).stdout.strip(),
                         os.readlink("/proc/self/ns/net"))

    def test_etc(self):
        folder = f"/etc/netns/{self.name}"
        os.makedirs(folder)
        def remove():
            shutil.rmtree(folder)
            try:
                os.rmdir("/etc/netns")
            except OSError:
                pass
        self.addCleanup(remove)
        with open(f"{folder}/hosts", "w", encoding="ascii") as hosts:
            hosts.write("10.70.1.1 inside\n")
        with open("/etc/hosts", encoding="utf-8") as hosts:
            before = hosts.read()
        self.assertEqual(self.inside("cat", "/etc/hosts").stdout, "10.70.1.1 inside\n")
        with open("/etc/hosts", encoding="utf-8") as hosts:
            self.assertEqual(hosts.read(), before, "the host's own stays")

    def test_mptcp(self):
        if not os.path.exists("/proc/sys/net/mptcp/enabled"):
            self.skipTest("no MPTCP in this kernel")
        code = ("import os, socket; s = socket.socket(); "
                "print(s.getsockopt(socket.SOL_SOCKET, 38), os.environ.get('GODEBUG'))")
        program = [sys.executable, "-c", code]
        env = {"GODEBUG": "http2client=0", "LD_PRELOAD": ""}
        if subprocess.run("ls /usr/lib*/*/mptcpize/libmptcpwrap.so* /usr/lib*/mptcpize/libmptcpwrap.so*",
                          shell=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout:
            result = self.inside(*program, env=env)
            self.assertEqual(result.stdout, "262 http2client=0,multipathtcp=1\n")
            result = self.inside(*program, env={"GODEBUG": "multipathtcp=0", "LD_PRELOAD": ""})
            self.assertEqual(result.stdout, "262 multipathtcp=0\n", "what the user chose stays")
        else:
            self.assertIn("install mptcpize", self.inside(*program, code=125).stderr)
        self.assertEqual(self.inside("--no-mptcp", *program, env=env).stdout, "6 http2client=0\n")
        subprocess.run(["ip", "netns", "exec", self.name, "sysctl", "-qw", "net.mptcp.enabled=0"], check=True)
        self.assertIn("net.mptcp.enabled=1", self.inside(*program, code=125).stderr)

    def test_user(self):
        code = "import os; print(os.getresuid(), os.getresgid(), os.getgroups(), os.environ['HOME'])"
        program = ["--no-mptcp", "--egress", "1", "/usr/bin/env", "python3", "-c", code]
        self.assertEqual(self.run_in(*program, env={"SUDO_UID": "12345", "SUDO_GID": "54321", "HOME": "/x"}).stdout,
                         "(12345, 12345, 12345) (54321, 54321, 54321) [54321] /x\n")
        out = self.run_in(*program, env={"SUDO_UID": "65534", "SUDO_GID": "65534", "HOME": "/x"}).stdout
        self.assertRegex(out, r"\(65534, .*\[65534\] /nonexistent")
        out = self.run_in("--root", *program, env={"SUDO_UID": "65534", "SUDO_GID": "65534", "HOME": "/x"}).stdout
        self.assertRegex(out, r"^\(0, 0, 0\)")
        for bad in ("-1", "4294967295", "x", "1x"):
            self.run_in(*program, env={"SUDO_UID": bad, "SUDO_GID": "1"}, code=125)
        self.run_in(*program, env={"SUDO_UID": "1", "SUDO_GID": "x"}, code=125)

    def test_exit_codes(self):
        self.inside("--no-mptcp", "sh", "-c", "exit 42", code=42)
        self.inside("--no-mptcp", "sh", "-c", "kill -9 $$", code=-9)
        self.assertIn("No such file", self.inside("--no-mptcp", "/none/such", code=127).stderr)
        self.inside("--no-mptcp", "/etc/passwd", code=126)
        self.assertEqual(self.inside("--no-mptcp", "echo", "--json", "--help").stdout, "--json --help\n")

    def test_refused(self):
        for args, status, message in (
                ([], {"egress": []}, "no egress"), (["--ingress"], {"ingress": None}, "no ingress"),
                ([], {"state": "waiting", "error": "no SCION daemon"}, "not ready: no SCION daemon"),
                (["--egress", "7"], {"egress": [{"namespace": "a"}]}, "no egress 7"),
                ([], {"egress": [{"namespace": "../../etc/passwd"}]}, "cannot be one"),
                ([], {"egress": [{"namespace": ".."}]}, "cannot be one"),
                ([], {"egress": [{"namespace": "n" * 300}]}, "cannot be one"),
                ([], {"egress": [{"namespace": f"{self.name}-none"}]}, "not there")):
            with self.subTest(message=message):
                result = self.run_in(*args, "true", status=status, code=125)
                self.assertIn(message, result.stderr)

    def test_not_root(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            program = shutil.copy(SHILA, folder)
            result = subprocess.run([program, "run", "true"], user=65534, stderr=subprocess.PIPE, text=True,
                                    timeout=60, check=False)
        self.assertEqual(result.returncode, 125)
        self.assertIn("needs root", result.stderr)


class Manuals(unittest.TestCase):
    TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

    @unittest.skipUnless(shutil.which("groff"), "needs groff")
    def test_lint(self):
        for page in ("shila/shilad.8", "shila/cli/shila.1"):
            result = subprocess.run(["groff", "-ww", "-mdoc", "-Tutf8", os.path.join(self.TOP, page)],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
            self.assertEqual(result.stderr, "")

    def test_complete(self):
        """Every command and option of --help is in the manual and in the completion."""
        with open(os.path.join(self.TOP, "shila/cli/shila.1"), encoding="utf-8") as file:
            manual = file.read()
        with open(os.path.join(self.TOP, "shila/cli/shila.bash"), encoding="utf-8") as file:
            completion = file.read()
        usage = shila("--help").stdout
        for option in set(re.findall(r"--[a-z][a-z-]*", usage)):
            self.assertRegex(manual, rf"Fl \\{option[1:]}\b")
            self.assertIn(option, completion)
        commands = re.findall(r"^  ([a-z]+) ", usage, re.M)
        self.assertEqual(len(commands), 8)
        for command in commands:
            self.assertRegex(manual, rf"(?m)^\.Ss {command}$")
            self.assertRegex(completion, rf"'[^']*\b{command}\b")


if __name__ == "__main__":
    unittest.main(verbosity=2)
