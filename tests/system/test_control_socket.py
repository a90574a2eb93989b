#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may use the control socket, and what those who may can do at most: floods, half messages, no reading."""

import json
import os
import re
import shutil
import socket
import time
import unittest.mock

from harness import *  # noqa: F403

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
CLIENTS = 32


def call(method, number=1, **params):
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


class ControlSocket(SystemTest):
    @classmethod
    def setUpClass(cls):
        with unittest.mock.patch.dict(os.environ, SMALL_QUARANTINE):
            cls.pair = cls.keep(Pair(topology="parallel", links=2, rate="40mbit"))
        cls.h1, cls.h2 = cls.pair.h1, cls.pair.h2

    def setUp(self):
        self.h2.serve()

    def connect(self, seconds=5):
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.settimeout(seconds)

        def connected():
            try:
                s.connect(self.h1.control)
                return True
            except BlockingIOError:
                return False  # the queue of the kernel is full
        wait_for(connected, 20, "a connection")
        return s

    @staticmethod
    def answer(s):
        """All lines until the end of the connection, or the first one."""
        text = b""
        while not text.endswith(b"\n"):
            part = s.recv(1 << 16)
            if not part:
                return text
            text += part
        return text

    def limit(self, s):
        """limits.control_clients, asked over a connection that is there."""
        s.sendall(call("status"))
        return next(x for x in json.loads(self.answer(s))["result"]["limits"] if x["name"] == "control_clients")

    def rss_kb(self):
        with open(f"/proc/{self.h1.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def test_permissions(self):
        h = self.h1
        st = os.lstat(h.control)
        self.assertEqual((st.st_mode & 0o7777, st.st_uid), (0o600, 0))
        st = os.lstat(h.state_dir)
        self.assertEqual((st.st_mode & 0o022, st.st_uid), (0, 0))
        for name in os.listdir(h.state_dir):
            self.assertEqual(os.lstat(os.path.join(h.state_dir, name)).st_mode & 0o022, 0, name)
        # Another user can ask nothing, stop nothing, run nothing and signal nobody.
        shila = shutil.copy(os.path.join(BUILD, "shila", "cli", "shila"), temporary())
        for command in (["status"], ["stop"], ["flows", "--json"]):
            p = run([*NOBODY, shila, "--control", h.control, *command], check=False)
            self.assertEqual(p.returncode, 1)
            self.assertIn("no permission", p.stderr)
        self.assertEqual(run([*NOBODY, shila, "--control", h.control, "run", "true"], check=False).returncode, 125)
        self.assertNotEqual(run([*NOBODY, "kill", str(h.process.pid)], check=False).returncode, 0)
        self.assertEqual(h.rpc("status")["state"], "running")

    def test_socket_of_another_user(self):
        """What listens there decides what `shila run` does as root."""
        path = os.path.join(temporary(), "sock")
        os.chmod(os.path.dirname(path), 0o777)
        other = spawn([*NOBODY, "python3", "-c", "import socket, sys, time\n"
                       "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n"
                       "print('bound', flush=True); time.sleep(60)", path])
        wait_for(lambda: "bound" in other.output(), 10)
        p = run([os.path.join(BUILD, "shila", "cli", "shila"), "--control", path, "run", "true"], check=False)
        self.assertEqual(p.returncode, 125)
        self.assertIn("served by user 65534", p.stderr)

    def test_state_directory_of_another_user(self):
        h = self.use(Shilad(self.pair.lab, "h1", start=False))
        os.mkdir(h.state_dir)
        os.chown(h.state_dir, 65534, 65534)
        p = run(h.argv(), check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn("belongs to another user", p.stderr)
        os.rmdir(h.state_dir)
        target = os.path.join(h.dir, "target")
        os.mkdir(target)
        os.symlink(target, h.state_dir)
        p = run(h.argv(), check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn("symbolic link", p.stderr)
        self.assertEqual(os.listdir(target), [])
        os.unlink(h.state_dir)
        # In the way of the socket: nothing but a dead socket is replaced.
        os.symlink("/etc/passwd", h.control)
        p = run(h.argv(), check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn("is there and not a socket", p.stderr)
        os.unlink(h.control)

    def test_nonsense(self):
        """Every line that is none is answered with an error, and the daemon goes on."""
        cases = [(b"{", -32700), (b"\xff\xfe\x00", -32700), (b'"' + b"\\ud800" * 10 + b'"', -32700),
                 (b"[" * 60000, -32700), (b'{"a":' * 10000 + b"1" + b"}" * 10000, -32700),
                 (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"status"}', -32700),
                 (b'{"jsonrpc":"2.0","id":' + b"9" * 400 + b',"method":"status"}', -32700),
                 (b'{"jsonrpc":"2.0","id":1e999,"method":"status"}', -32700), (b"[]", -32600), (b"17", -32700),
                 (b'{"jsonrpc":"2.0","id":[1],"method":"status"}', -32600),
                 (b'{"jsonrpc":"2.0","id":1,"method":"no"}', -32601),
                 (b'{"jsonrpc":"2.0","id":1,"method":"status\\u0000stop"}', -32700),
                 (b'{"jsonrpc":"2.0","id":1,"method":"flows","params":[1]}', -32602),
                 (b'{"jsonrpc":"2.0","id":1,"method":"paths","params":{"isd_as":"x"}}', -32000),
                 (b'{"jsonrpc":"2.0","id":1,"method":"paths","params":{"isd_as":17}}', -32000)]
        s = self.connect()
        for line, code in cases:
            s.sendall(line + b"\n")
            self.assertEqual(json.loads(self.answer(s))["error"]["code"], code, line[:80])
        s.sendall(call("status"))
        self.assertIn("result", json.loads(self.answer(s)))
        s = self.connect()
        s.sendall(b"x" * 65536)  # a line without an end
        self.assertIn("too long", json.loads(self.answer(s))["error"]["message"])
        self.assertEqual(s.recv(1), b"")
        s = self.connect()
        s.sendall(call("stop")[:-1])  # half a request is none
        s.close()
        self.assertEqual(self.h1.rpc("status")["state"], "running")

    def test_flood(self):
        """All places taken by programs that ask for all and read nothing; a transfer runs beside them."""
        alone = self.h1.traffic("get", self.h2.address(4), 8000, 4 << 20)
        self.assertTrue(alone["ok"], alone)
        before, fds = self.rss_kb(), len(os.listdir(f"/proc/{self.h1.process.pid}/fd"))
        known = {f["local"] for f in self.h1.flows()}
        client = self.h1.spawn_traffic("get", self.h2.address(4), 8000, 4 << 20)
        # `shila run` asks the daemon too: it must have had its answer.
        wait_for(lambda: {f["local"] for f in self.h1.flows(state="open")} - known, 20, "the connection")
        own = self.connect()
        greedy = [self.connect() for _ in range(CLIENTS - 1)]
        for s in greedy:
            s.setblocking(False)
        refused = self.limit(own)["refused"]
        slowest = 0
        end = time.monotonic() + 4
        more = []
        while time.monotonic() < end:
            for s in greedy:
                try:
                    s.send(b"".join(call(m, why=True) for m in ("flows", "paths", "status", "drops", "peers")) * 20)
                except (BlockingIOError, BrokenPipeError):
                    pass
            began = time.monotonic()
            self.assertEqual(self.limit(own)["limit"], CLIENTS)
            slowest = max(slowest, time.monotonic() - began)
            # and many more at the door than there is room for
            for _ in range(20):
                s = socket.socket(socket.AF_UNIX)
                s.setblocking(False)
                try:
                    s.connect(self.h1.control)
                    more.append(s)
                except BlockingIOError:
                    s.close()  # the queue of the kernel is full
            if len(more) > 300:
                for s in more:
                    s.close()
                more = []
            self.assertLess(len(os.listdir(f"/proc/{self.h1.process.pid}/fd")), fds + CLIENTS + 40)
        for s in more:
            s.close()
        client.good_answer(60)
        self.assertLess(slowest, 2)
        self.assertLess(self.rss_kb() - before, 200_000)
        for s in greedy:
            s.close()
        wait_for(lambda: self.limit(own)["used"] == 1, 20, "all are gone")
        self.assertGreater(self.limit(own)["refused"], refused)
        wait_for(lambda: len(os.listdir(f"/proc/{self.h1.process.pid}/fd")) <= fds + 3, 20, "no descriptor is left")

    def test_slow_reader(self):
        """Reads a byte now and then and leaves in the middle."""
        s = self.connect()
        s.sendall(b"".join(call("drops", n) for n in range(300)))
        for _ in range(20):
            s.recv(1)
            time.sleep(0.01)
        s.close()
        s = self.connect()
        s.sendall(b"".join(call("drops", n) for n in range(300)))
        s.shutdown(socket.SHUT_WR)
        text = b""
        while part := s.recv(1 << 16):
            text += part
        self.assertEqual([json.loads(line)["id"] for line in text.splitlines()], list(range(300)))

    def test_run_misused(self):
        h = self.h1
        for argv, code in [(["run"], 125), (["run", "--", "/nonexistent"], 127), (["run", "--", "/etc/passwd"], 126),
                           (["run", "--egress", "../../etc", "true"], 125), (["run", "--egress", "9", "true"], 125)]:
            p = h.shila(*argv, check=False)
            self.assertEqual(p.returncode, code, (argv, p.stderr))
            self.assertTrue(p.stderr.strip(), argv)
        for env in ({"SUDO_UID": "-1", "SUDO_GID": "0"}, {"SUDO_UID": "1000"}, {"SUDO_UID": "4294967295", "SUDO_GID": "1"},
                    {"SUDO_UID": "1000 ", "SUDO_GID": "1000"}):
            p = h.shila("run", "--", "id", "-u", check=False, env={**clean_environment(), **env})
            self.assertEqual(p.returncode, 125, (env, p.stdout, p.stderr))
        p = h.shila("run", "--", "id", "-u", env={**clean_environment(), "SUDO_UID": "65534", "SUDO_GID": "65534"})
        self.assertEqual(p.stdout.strip(), "65534")


if __name__ == "__main__":
    main()
