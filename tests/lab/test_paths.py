#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The path source against the real SCION daemon: what path_dump says is what `scion showpaths` says.

    tests/lab/test_paths.py [-v] [Class.test]        needs root and a build (BUILD, default: build)
"""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

ROOT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
LAB = os.path.join(ROOT, "scripts", "lab")
DUMP = os.path.join(ROOT, os.environ.get("BUILD", "build"), "tests", "path_dump")
NAME = f"paths{os.getpid()}"


def lab(command, *args):
    p = subprocess.run([LAB, command, "--name", NAME, *map(str, args)], capture_output=True, text=True, check=False)
    if p.returncode != 0:
        raise AssertionError(f"lab {command} {args}: exit code {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


def path_dump(daemon, destination):
    """Exit code, what it prints without the fingerprint's tail, error text."""
    p = subprocess.run([LAB, "exec", "--name", NAME, "h1", DUMP, daemon, destination], capture_output=True,
                       text=True, check=False)
    return p.returncode, p.stdout.splitlines(), p.stderr


def showpaths(destination):
    out = lab("exec", "h1", "scion", "showpaths", destination, "--no-probe", "-m", 1000, "--format", "json")
    return json.loads(out)["paths"]


def daemon_address():
    return lab("exec", "h1", "printenv", "SCION_DAEMON").strip()


def daemon_pid(address):
    """The SCION daemon that listens on this address in the namespace of the first AS."""
    host, port = address.rsplit(":", 1)
    for namespace in sorted(os.listdir("/run/netns")):
        if not namespace.startswith(f"lab-{NAME}-as"):
            continue
        out = subprocess.run(["nsenter", f"--net=/run/netns/{namespace}", "ss", "-Hltnp"], capture_output=True,
                             text=True, check=True).stdout
        for line in out.splitlines():
            if f"{host}:{port} " in line and "pid=" in line:
                return int(line.split("pid=")[1].split(",")[0])
    raise AssertionError(f"nobody listens on {address}")


class Paths(unittest.TestCase):
    def tearDown(self):
        lab("down")

    def compare(self, destination, want, *args):
        lab("up", "--timeout", 60, *args)
        code, lines, err = path_dump(daemon_address(), destination)
        self.assertEqual(code, 0, err)
        self.assertTrue(lines[0].startswith("# local AS 1-"), lines[0])
        told = {p["fingerprint"]: p for p in showpaths(destination)}
        # The tool shows the first 8 bytes.
        mine = {line.split()[0][:16]: line for line in lines[1:]}
        self.assertEqual(sorted(mine), sorted(told))
        self.assertEqual(len(mine), want)
        for fingerprint, p in told.items():
            self.assertIn(f" mtu {p['mtu']} via {p['next_hop']} ", mine[fingerprint])
            hops = " ".join(f"{h['isd_as']}#{h['interface']}" for h in p["hops"])
            self.assertIn(f" {hops} raw ", mine[fingerprint])

    def test_parallel_ipv6(self):
        self.compare("1-64513", 3, "--topology", "parallel", "--links", 3, "--underlay", "ipv6")

    def test_leaf_64_paths(self):
        self.compare("1-64514", 64, "--topology", "leaf", "--links", 8)

    def test_diamond(self):
        self.compare("1-64515", 4, "--topology", "diamond")

    def test_inside_one_as(self):
        lab("up", "--timeout", 60, "--topology", "local")
        code, lines, err = path_dump(daemon_address(), "1-64512")
        self.assertEqual(code, 0, err)
        self.assertEqual(len(lines), 2)
        self.assertIn(" raw 0 mtu 1472", lines[1])

    def test_daemon_frozen_and_gone(self):
        lab("up", "--timeout", 60, "--topology", "parallel", "--links", 1)
        address = daemon_address()
        code, lines, err = path_dump(address, "1-64999")
        self.assertTrue(code == 1 or len(lines) == 1, "an AS that does not exist has no paths")
        pid = daemon_pid(address)
        os.kill(pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            code, _, err = path_dump(address, "1-64513")
        finally:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(code, 1)
        self.assertLess(time.monotonic() - start, 7)
        self.assertIn(f"SCION daemon {address} gave no answer within 5000 ms; is it running", err)
        self.assertEqual(path_dump(address, "1-64513")[0], 0)
        os.kill(pid, signal.SIGKILL)
        for _ in range(100):  # until the kernel has closed its socket
            code, _, err = path_dump(address, "1-64513")
            if code:
                break
            time.sleep(0.05)
        self.assertEqual(code, 1)
        self.assertIn(f"SCION daemon {address} does not answer: connection refused; is it running", err)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    unittest.main()
