#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a user may do wrong: one message that says what to do, the right exit code, nothing left."""

import glob
import os
import re
import shutil
import signal
import time

from harness import *  # noqa: F403

BAD = sorted(glob.glob(os.path.join(ROOT, "tests", "vectors", "config", "bad", "*.yaml")))
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


class Configuration(SystemTest):
    """Each of tests/vectors/config/bad: what it must say stands in its comments `# expect: ...`."""

    def setUp(self):
        # Nobody may not be able to look into the source tree.
        self.dir = temporary()
        self.shilad = shutil.copy(os.path.join(BUILD, "shila", "shilad"), self.dir)

    def expected(self, path):
        with open(path, encoding="utf-8", errors="replace") as f:
            return re.findall(r"^# expect: (.*)$", f.read(), re.M)

    def check(self, options, prefix):
        self.assertGreaterEqual(len(BAD), 40)
        messages = 0
        for path in BAD:
            name = os.path.basename(path)
            copy = shutil.copy(path, os.path.join(self.dir, name))
            os.chmod(copy, 0o644)
            with self.subTest(name):
                with open(path, encoding="utf-8", errors="replace") as f:
                    env = re.findall(r"^# env: (.*)$", f.read(), re.M)
                p = run([*prefix, self.shilad, "--config", copy, *options], check=False,
                        env=clean_environment(**({"SCION_DAEMON": env[0]} if env else {})))
                self.assertEqual(p.returncode, 2, p.stderr)
                lines = p.stderr.splitlines()
                for want in self.expected(path):
                    self.assertIn(f"{copy}:{want}", lines)
                    messages += 1
                for line in lines:
                    self.assertRegex(line, rf"^{re.escape(copy)}:\d+:\d+: (warning: )?\S")
        self.assertGreater(messages, len(BAD) // 2)

    def test_check_as_nobody(self):
        self.check(["--check"], NOBODY)

    def test_start_changes_nothing(self):
        """As root, without --check."""
        def present():
            names = {"/run/shila", "/run/netns/shila-egress", "/run/netns/shila-ingress"}
            for path in BAD:
                with open(path, encoding="utf-8", errors="replace") as f:
                    names |= {f"/run/netns/{n}" for n in re.findall(r"namespace: *([\w.-]+)", f.read())}
            return {n for n in names if os.path.lexists(n)}
        before = present()
        self.check([], [])
        self.assertEqual(present(), before)

    def test_good_files(self):
        for path in sorted(glob.glob(os.path.join(ROOT, "tests", "vectors", "config", "good", "*.yaml"))) + \
                [os.path.join(ROOT, "config", "shila.yaml")]:
            copy = shutil.copy(path, os.path.join(self.dir, "good.yaml"))
            os.chmod(copy, 0o644)
            with self.subTest(os.path.basename(path)):
                p = run([*NOBODY, self.shilad, "--config", copy, "--check"], check=False)
                self.assertEqual(p.returncode, 0, p.stderr)
                self.assertIn("fine", p.stdout)

    def test_options(self):
        for options, words in [([], "--config FILE is needed"), (["--config", "/nonexistent"], "/nonexistent"),
                               (["--config", "/etc"], "/etc"), (["--log-level", "loud"], "loud"),
                               (["--frobnicate"], "frobnicate"), (["--config", "x", "y"], "unexpected argument 'y'")]:
            p = run([self.shilad, *options], check=False)
            self.assertEqual(p.returncode, 2, options)
            self.assertIn(words, p.stderr)


class Start(SystemTest):
    """The configuration is good, the machine is not as it must be."""

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=1))

    def setUp(self):
        self.before = kernel(self.lab.netns("h1"))

    def daemon(self, **options):
        return self.use(Shilad(self.lab, "h1", start=False, **options))

    def fails(self, h, words, argv=None, code=1):
        p = run(argv or h.argv(), check=False)
        self.assertEqual(p.returncode, code, p.stderr)
        errors = [line for line in p.stderr.splitlines() if " error " in line]
        self.assertEqual(len(errors), 1, p.stderr)
        self.assertRegex(errors[0], words)
        self.assertNotRegex(p.stderr, "Sanitizer|runtime error")
        h.check_nothing_left()
        self.assertEqual(kernel(self.lab.netns("h1")), self.before)

    @staticmethod
    def after(h, command):
        """The command line of the daemon in a mount namespace of its own, behind a command there."""
        nsenter, netns, *shilad = h.argv()
        return [nsenter, netns, "unshare", "--mount", "sh", "-c", command + " && exec \"$@\"", "sh", *shilad]

    def test_not_root(self):
        h = self.daemon()
        shilad = shutil.copy(os.path.join(BUILD, "shila", "shilad"), h.dir)
        self.fails(h, "start it as root", [*NOBODY, shilad, "--config", h.config_file])
        p = run([*NOBODY, shutil.copy(os.path.join(BUILD, "shila", "cli", "shila"), h.dir), "--control", h.control,
                 "run", "true"], check=False)
        self.assertEqual(p.returncode, 125)
        self.assertIn("needs root", p.stderr)

    def test_no_tun(self):
        h = self.daemon()
        self.fails(h, "Linux 6.1 or newer|/dev/net/tun", self.after(h, "mount --bind /dev/null /dev/net/tun"))

    def test_no_mptcp_in_the_kernel(self):
        h = self.daemon()
        self.fails(h, "CONFIG_MPTCP", self.after(h, "mount -t tmpfs none /proc/sys/net/mptcp"))

    def test_backup_where_the_kernel_manages_subflows(self):
        """As it does in a namespace that was there before."""
        h = self.daemon()
        h.config["routes"][0]["backup"] = True
        h.write_config()
        run(["ip", "netns", "add", h.ns_egress])
        try:
            h.start()
            self.assertRegex(h.log(), "warn .*routes.backup has no effect.*egress.path_manager: own")
            h.send_signal(signal.SIGINT)
            self.assertEqual(h.process.wait(10), 0)
            h.process = None
        finally:
            run(["ip", "netns", "del", h.ns_egress])

    def test_mptcp_switched_off(self):
        """In a namespace that was there before: it is not ours to change."""
        h = self.daemon()
        run(["ip", "netns", "add", h.ns_egress])
        try:
            run(["ip", "netns", "exec", h.ns_egress, "sysctl", "-qw", "net.mptcp.enabled=0"])
            h.start()
            self.assertRegex(h.log(), "warn .*MPTCP is off.*sysctl -w net.mptcp.enabled=1")
            h.send_signal(signal.SIGINT)
            self.assertEqual(h.process.wait(10), 0)
            h.process = None
            # not ours: it stays, without our devices
            self.assertTrue(os.path.exists(f"/run/netns/{h.ns_egress}"))
            self.assertNotIn("shila-", run(["ip", "netns", "exec", h.ns_egress, "ip", "-o", "link"]).stdout)
        finally:
            run(["ip", "netns", "del", h.ns_egress])

    def taken(self, port):
        """A program that has this port of the host."""
        other = spawn(self.lab.inside("h1", ["python3", "-c", "import socket, time\n"
                                             "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                                             f"s.bind(('10.12.0.2', {port})); print('bound', flush=True)\n"
                                             "time.sleep(60)"]))
        wait_for(lambda: "bound" in other.output(), 10)
        self.before = kernel(self.lab.netns("h1"))
        return other

    def test_contact_port_taken(self):
        h = self.daemon()
        other = self.taken(31654)
        self.fails(h, r"10\.12\.0\.2:31654.*contact\.port")
        other.close()

    def test_traffic_port_taken(self):
        h = self.daemon(config={"contact": {"traffic": [40000]}, "workers": 1})
        other = self.taken(40000)
        self.fails(h, r"10\.12\.0\.2:40000.*contact\.traffic")
        other.close()

    def test_tun_name_taken(self):
        h = self.daemon()
        run(["ip", "netns", "add", h.ns_egress])
        try:
            run(["ip", "-n", h.ns_egress, "tuntap", "add", "mode", "tun", "name", "shila-e1"])
            p = run(h.argv(), check=False)
            self.assertEqual(p.returncode, 1)
            self.assertRegex(p.stderr, r"error +a device shila-e1 is in namespace .* not ours: remove it")
            left = run(["ip", "-n", h.ns_egress, "-o", "link"]).stdout
            self.assertIn("shila-e1", left)  # it is somebody else's
            self.assertNotIn("shila-e0", left)
        finally:
            run(["ip", "netns", "del", h.ns_egress])
        h.check_nothing_left()

    def test_address_is_not_here(self):
        h = self.daemon(config={"scion": {"address": "10.12.0.99"}})
        self.fails(h, r"10\.12\.0\.99.*no interface has this address")

    def test_no_scion_daemon(self):
        """It waits, says so, and Ctrl-C ends that."""
        h = self.daemon(config={"scion": {"daemon": "10.12.0.1:9"}})
        h.start(wait=False)
        wait_for(lambda: "shilad waits for it" in h.log(), 10, "a warning")
        self.assertEqual(len([line for line in h.log().splitlines() if " warn " in line]), 1)
        self.assertIn("10.12.0.1:9", h.log())
        self.assertEqual(h.rpc("status")["state"], "waiting")
        out = h.shila("status").stdout
        self.assertIn("10.12.0.1:9", out)
        began = time.monotonic()
        h.stop(signal.SIGINT)
        self.assertLess(time.monotonic() - began, 3)

    def test_two_daemons_with_one_state(self):
        first = self.daemon()
        first.start()
        first.wait_paths(1, None)
        p = run(first.argv(), check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn("in use by a running shilad", p.stderr)
        # The one that runs is not harmed, nor by --clean.
        p = first.clean(check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn("in use by a running shilad", p.stderr)
        self.assertEqual(first.rpc("status")["state"], "running")

    def test_two_daemons_with_one_control_socket(self):
        first = self.daemon()
        first.start()
        second = self.daemon(config={"control": first.control})
        p = run(second.argv(), check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn(first.control, p.stderr)
        self.assertEqual(first.rpc("status")["state"], "running")
        self.assertFalse(os.path.exists(second.state_dir))

    def test_shila_without_daemon(self):
        h = self.daemon()
        for command in (["status"], ["flows"], ["stop"]):
            p = h.shila(*command, check=False)
            self.assertEqual(p.returncode, 1)
            self.assertIn(h.control, p.stderr)
        self.assertEqual(h.run(["true"], check=False).returncode, 125)

    def test_clean_without_anything(self):
        h = self.daemon()
        self.assertIn("nothing to clean", h.clean().stderr)


if __name__ == "__main__":
    main()
