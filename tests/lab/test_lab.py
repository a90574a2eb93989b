#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of scripts/lab, through its command line, on real routers. Needs root; about a minute.

    tests/lab/test_lab.py [-v] [Class.test]
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
SCRIPTS = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "scripts")
sys.path.insert(0, SCRIPTS)

from labnet import LabError, cli, config, emulator, links, processes, state, topology  # noqa: E402

LAB = os.path.join(SCRIPTS, "lab")
NAME = f"test{os.getpid()}"
PROBE_ROUNDS = 10
WAIT_S = 30  # for what takes a moment, on a machine that may be busy


def lab(command, *args, name=NAME, check=True):
    p = subprocess.run([LAB, command, "--name", name, *map(str, args)], capture_output=True, text=True,
                       check=False)
    if check and p.returncode != 0:
        raise AssertionError(f"lab {command} {args}: exit code {p.returncode}\n{p.stdout}{p.stderr}")
    return p


def up(*args, name=NAME):
    # The machine may be busy with other tests: what is tested here is not the speed.
    return json.loads(lab("up", "--json", "--timeout", 60, *args, name=name).stdout)


def showpaths(host, destination, *args, name=NAME):
    p = lab("exec", host, "scion", "showpaths", destination, "-m", 1000, "--timeout", "2s", "--format", "json",
            *args, name=name, check=False)
    return json.loads(p.stdout).get("paths", [])


def interfaces_of(path):
    return [(hop["isd_as"], hop["interface"]) for hop in path["hops"]]


def answering(host, destination, wanted, name=NAME):
    """The first interfaces of the paths whose routers answer, asked until all wanted ones have answered.

    showpaths sends one probe for each path, all at once, and a router whose queue for such packets is full drops
    the rest of them: who did not answer is asked again.
    """
    seen = set()
    for _ in range(PROBE_ROUNDS):
        seen |= {interfaces_of(p)[0][1] for p in showpaths(host, destination, name=name) if p["status"] == "alive"}
        if seen >= set(wanted):
            break
    return sorted(seen)


def traces(name):
    """Everything that a lab of this name could leave on the machine."""
    found = [f"namespace {n}" for n in os.listdir("/run/netns") if n.startswith(f"lab-{name}-")]
    if os.path.lexists(state.lab_dir(name)):
        found.append(state.lab_dir(name))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                cmdline = f.read().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if f"/{name}/" in cmdline or f"lab-{name}-" in cmdline:
            found.append(f"process {pid}: {cmdline}")
    return found


class Pure(unittest.TestCase):
    """What needs no network."""

    def test_addresses_and_interfaces_are_unique(self):
        for underlay in topology.OVERHEAD:
            for kind, n in [("parallel", 99), ("leaf", 49), ("diamond", 24), ("local", 1)]:
                t = topology.build("x", kind, links=n, underlay=underlay, hosts_per_as=3)
                everything = [e.address for link in t.links for e in link.ends]
                everything += [a.address for a in t.ases] + [h.address for h in t.hosts]
                everything += [e.mac for link in t.links for e in link.ends] + [h.mac for h in t.hosts]
                everything += t.netns_names
                self.assertEqual(len(everything), len(set(everything)), (kind, underlay))
                for a in t.ases:
                    ids = [e.interface for _, e in a.interfaces]
                    self.assertEqual(len(ids), len(set(ids)))

    def test_link_types_mirror(self):
        for link in topology.build("x", "diamond").links:
            kinds = {e.link_to for e in link.ends}
            self.assertIn(kinds, ({"core"}, {"parent", "child"}))
            for e in link.ends:
                if e.link_to == "child":
                    self.assertTrue(e.asys.core)

    def test_rates(self):
        for text, bits in [("20mbit", 20_000_000), ("500kbit", 500_000), ("1.5gbit", 1_500_000_000),
                           ("9600bit", 9600), ("none", None)]:
            self.assertEqual(topology.rate_bits(text), bits)
        for text in ("", "20", "20mb", "0mbit", "-1mbit", "mbit", "20 mbit"):
            with self.assertRaises(LabError, msg=text):
                topology.rate_bits(text)

    def test_burst_takes_every_packet(self):
        for rate in ("100kbit", "1mbit", "5mbit", "20mbit", "1gbit"):
            for mtu in (600, 1500, 8500):
                args = links.tbf_arguments(rate, mtu)
                self.assertGreater(int(args[args.index("burst") + 1]), mtu + 14)

    def test_path_lifetime(self):
        for seconds, exp_time in [(None, 63), ("short", 0), (1, 0), (337.5, 0), (338, 1), (3600, 10),
                                  (86400, 255), (10**9, 255)]:
            self.assertEqual(config.max_exp_time(seconds), exp_time, seconds)

    def test_refused(self):
        for why, args in [
                ("name", {"name": "a/b", "kind": "leaf"}),
                ("name", {"name": "-a", "kind": "leaf"}),
                ("topology", {"name": "a", "kind": "ring"}),
                ("links", {"name": "a", "kind": "leaf", "links": 0}),
                ("links", {"name": "a", "kind": "leaf", "links": 50}),
                ("MTU", {"name": "a", "kind": "leaf", "mtu": 9000}),
                ("MTU", {"name": "a", "kind": "leaf", "mtu": 1231, "underlay": "ipv6"}),
                ("hosts", {"name": "a", "kind": "leaf", "hosts_per_as": 0}),
                ("link 4", {"name": "a", "kind": "parallel", "link_mtu": {4: 1300}}),
                ("rate", {"name": "a", "kind": "parallel", "link_rate": {1: "fast"}})]:
            with self.assertRaisesRegex(LabError, why):
                topology.build(**args)

    def test_namespaces_of_another_lab_are_not_ours(self):
        ours = topology.netns_pattern("a")
        for name in topology.build("a", "diamond").netns_names:
            self.assertTrue(ours.fullmatch(name))
        for other in ("b", "aa", "a-h1", "a-as1"):
            for name in topology.build(other, "diamond").netns_names:
                self.assertFalse(ours.fullmatch(name), name)

    def test_properties_of_emulated_links(self):
        def parsed(*args):
            return emulator.properties(cli.parser().parse_args(["link", "1", *args]))

        for args, props in [
                (["--delay", "10ms"], {"delay_ms": 10}),
                (["--delay", "none", "--jitter", "250us"], {"delay_ms": 0, "jitter_ms": 0.25}),
                (["--loss", "1.5%", "--duplicate", "0.25"], {"loss": 0.015, "duplicate": 0.25}),
                (["--bursts", "1000:20"], {"burst_start": 0.001, "burst_end": 0.05, "burst_loss": 1}),
                (["--bursts", "100:5:30%"], {"burst_start": 0.01, "burst_end": 0.2, "burst_loss": 0.3}),
                (["--bursts", "none"], {"burst_start": 0, "burst_end": 0, "burst_loss": 0}),
                (["--reorder", "1%:2ms"], {"reorder": 0.01, "reorder_ms": 2}),
                (["--reorder", "0"], {"reorder": 0, "reorder_ms": 0}),
                (["--queue", "64kB"], {"queue_bytes": 64000, "queue_ms": 0}),
                (["--queue", "1.5s"], {"queue_bytes": 0, "queue_ms": 1500}),
                (["--rate", "5mbit"], {"rate_bit_s": 5_000_000}), (["--rate", "none"], {"rate_bit_s": 0})]:
            got = parsed(*args)
            self.assertEqual(got.keys(), props.keys())
            for key, value in props.items():
                self.assertAlmostEqual(got[key], value, msg=args)
        for bad in (["--delay", "10"], ["--delay", "-1ms"], ["--loss", "101%"], ["--loss", "x"], ["--bursts", "0:1"],
                    ["--bursts", "5"], ["--rate", "fast"], ["--queue", "5"], ["--reorder", "1%:5"]):
            with self.assertRaises(SystemExit, msg=bad), contextlib.redirect_stderr(io.StringIO()):
                parsed(*bad)
        for bad in ([], ["cut", "--delay", "1ms"], ["cut", "--spare-bfd"], ["restore", "--direction", "ab"],
                    ["--loss", "1%", "--wait"], ["rate"]):
            with self.assertRaises(LabError, msg=bad):
                args = cli.parser().parse_args(["link", "1", *bad])
                cli.check_link(args, emulator.properties(args))
        for text, bits in [("none", 0), ("9.6kbit", 9600), ("20mbit", 20_000_000), ("1.5gbit", 1_500_000_000)]:
            self.assertEqual(emulator.rate_text(bits), text)

    def test_every_command_has_help(self):
        for command in ("up", "down", "status", "exec", "link", "counters", "restart", "pause", "resume", "reseed"):
            p = subprocess.run([LAB, command, "--help"], capture_output=True, text=True, check=True)
            self.assertIn("--name", p.stdout)
        self.assertIn("examples", cli.parser().format_help())

    def test_a_process_id_that_was_reused_is_not_ours(self):
        me = processes.identify(os.getpid())
        self.assertTrue(processes.alive(me))
        self.assertFalse(processes.alive({"pid": me["pid"], "start": me["start"] - 1}))
        # stopping it would end this test
        processes.stop([{"pid": me["pid"], "start": me["start"] - 1}], 0)


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Lab(unittest.TestCase):
    def tearDown(self):
        for name in (NAME, NAME + "b"):
            lab("down", name=name)
            self.assertEqual(traces(name), [])

    def check_paths(self, status, mtu=None):
        """As many paths as promised, both ways, all different, all alive."""
        hosts = status["hosts"]
        first, last = hosts[0], hosts[-1]
        for src, dst in ((first, last), (last, first)):
            answered = set()  # see answering()
            for _ in range(PROBE_ROUNDS):
                paths = showpaths(src["name"], dst["isd_as"])
                self.assertEqual(len(paths), status["paths_expected"])
                self.assertEqual(len({tuple(interfaces_of(p)) for p in paths}), len(paths))
                answered |= {tuple(interfaces_of(p)) for p in paths if p["status"] == "alive"}
                if len(answered) == len(paths):
                    break
            self.assertEqual(answered, {tuple(interfaces_of(p)) for p in paths})
            self.assertEqual({p["mtu"] for p in paths}, {mtu or status["mtu"]})
            known = {(e["isd_as"], e["interface"]) for link in status["links"] for e in link["ends"]}
            for p in paths:
                self.assertLessEqual(set(interfaces_of(p)), known)

    def check_alive(self, host, destination, wanted):
        self.assertEqual(answering(host, destination, wanted), wanted)

    def test_parallel(self):
        status = up("--links", 4, "--hosts-per-as", 2)
        self.assertEqual([h["isd_as"] for h in status["hosts"]], ["1-64512"] * 2 + ["1-64513"] * 2)
        self.check_paths(status)
        self.assertEqual(json.loads(lab("status", "--json").stdout), status)
        # hosts of an AS reach each other and the daemon, and nobody else
        lab("exec", "h1", "ping", "-c3", "-i0.2", "-W2", "10.12.0.3")
        self.assertNotEqual(lab("exec", "h1", "ping", "-c1", "-W1", "10.13.0.2", check=False).returncode, 0)
        for p in [p for a in status["ases"] for p in a["processes"].values()]:
            self.assertTrue(p["running"])

    def test_parallel_ipv6(self):
        status = up("--links", 2, "--underlay", "ipv6")
        self.assertEqual(status["mtu"], 1452)
        self.assertEqual(status["hosts"][0]["daemon"], "[fd00:12::1]:30255")
        self.check_paths(status)
        # addresses and neighbours are lost with the device, and must be back
        lab("link", 1, "cut", "--wait")
        lab("link", 1, "restore", "--wait")
        self.check_paths(status)

    def test_leaf(self):
        status = up("--topology", "leaf", "--links", 3, "--link-mtu", "1=1300", "--path-lifetime", "short")
        paths = showpaths("h1", "1-64514", "--no-probe")
        self.assertEqual(len(paths), 9)
        self.assertEqual(sorted(p["mtu"] for p in paths), [1300] * 3 + [1472] * 6)
        now = time.time()
        for p in paths:
            expiry = time.mktime(time.strptime(p["expiry"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
            self.assertTrue(250 < expiry - now < 340, p["expiry"])

    def test_leaf_8_ipv6(self):
        self.check_paths(up("--topology", "leaf", "--links", 8, "--underlay", "ipv6"))

    def test_diamond(self):
        status = up("--topology", "diamond", "--mtu", 1400)
        self.check_paths(status)
        lengths = sorted(len(p["hops"]) for p in showpaths("h1", "1-64515", "--no-probe"))
        self.assertEqual(lengths, [4, 4, 6, 6])

    def test_local(self):
        for underlay, other in (("ipv4", "10.12.0.3"), ("ipv6", "fd00:12::3")):
            status = up("--topology", "local", "--underlay", underlay)
            self.assertEqual([h["address"] for h in status["hosts"]][1], other)
            lab("exec", "h1", "ping", "-c3", "-i0.2", "-W2", other)
            self.assertIn("1-64512", lab("exec", "h2", "scion", "address").stdout)
            lab("down")

    def test_two_at_once(self):
        first = up("--links", 2)
        second = up("--topology", "local", name=NAME + "b")
        self.assertFalse({h["netns"] for h in first["hosts"]} & {h["netns"] for h in second["hosts"]})
        everything = json.loads(lab("status", "--all", "--json").stdout)
        self.assertLessEqual({NAME, NAME + "b"}, {s["name"] for s in everything})
        self.assertEqual(traces(NAME + "c"), [])
        lab("down", name=NAME + "b")
        self.check_paths(first)
        # a second `up` of the same name is refused and harms nothing
        p = lab("up", check=False)
        self.assertEqual((p.returncode, p.stderr.count("is up already")), (1, 1))
        self.check_paths(first)

    def test_cut_and_restore(self):
        up("--links", 3)
        self.check_alive("h1", "1-64513", [1, 2, 3])
        lab("link", 2, "cut", "--wait")
        self.assertEqual(json.loads(lab("status", "--json").stdout)["links"][1]["state"], "cut")
        self.check_alive("h1", "1-64513", [1, 3])
        self.check_alive("h2", "1-64512", [101, 103])
        lab("link", 2, "restore", "--wait")
        self.check_alive("h1", "1-64513", [1, 2, 3])
        for direction in ("ab", "ba"):
            lab("link", 3, "blackhole", "--direction", direction, "--wait")
            self.assertEqual(json.loads(lab("status", "--json").stdout)["links"][2]["state"],
                             f"blackhole-{direction}")
            self.check_alive("h1", "1-64513", [1, 2])
            lab("link", 3, "restore", "--wait")
        self.check_alive("h1", "1-64513", [1, 2, 3])

    def test_blackhole_that_nobody_notices(self):
        status = up("--links", 2, "--bfd", "off")
        lab("link", 1, "blackhole")
        before = json.loads(lab("counters", "--json").stdout)
        self.check_alive("h1", "1-64513", [2])
        after = json.loads(lab("counters", "--json").stdout)
        # The router still sends into the link: it knows nothing.
        self.assertGreater(after[0]["ab"]["packets"], before[0]["ab"]["packets"])
        for a in status["ases"]:
            shown = subprocess.run(["ip", "-n", a["netns"], "-j", "link", "show", "l1"], check=True,
                                   capture_output=True, text=True)
            self.assertEqual(json.loads(shown.stdout)[0]["operstate"], "UP")
            answer = lab("exec", f"as{a['isd_as'][2:]}", "curl", "-s",
                         f"http://{config.ROUTER_API}/api/v1/interfaces").stdout
            self.assertEqual({i["state"] for i in json.loads(answer)["interfaces"]}, {"up"})
        # one direction is enough to lose every probe
        lab("link", 1, "restore")
        lab("link", 1, "blackhole", "--direction", "ba")
        self.check_alive("h1", "1-64513", [2])
        lab("link", 1, "restore")
        self.check_alive("h1", "1-64513", [1, 2])

    def flood(self, size, seconds):
        """IP bytes per second that get into link 1, in a lab without other traffic to speak of."""
        code = ("import socket, time\n"
                "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                "def sent():\n"
                "    with open('/proc/net/dev') as f:\n"
                "        words = next(line for line in f if ' l1:' in line).split(':')[1].split()\n"
                "    return time.monotonic(), int(words[8]) - 14 * int(words[9])\n"
                "def flood(seconds):\n"
                "    end = time.monotonic() + seconds\n"
                "    while time.monotonic() < end:\n"
                "        for _ in range(20):\n"
                f"            s.sendto(bytes({size}), ('10.20.1.2', 9))\n"
                "        time.sleep(0.002)\n"
                "flood(0.3)\n"  # the burst that a shaper lets through at once
                "began, before = sent()\n"
                f"flood({seconds})\n"
                "ended, after = sent()\n"
                "print((after - before) / (ended - began))\n")
        before = json.loads(lab("counters", "--json").stdout)[0]["ab"]
        rate = float(lab("exec", "as64512", "python3", "-c", code).stdout)
        after = json.loads(lab("counters", "--json").stdout)[0]["ab"]
        self.assertGreater(after["packets"], before["packets"])
        # What the counters say: no less, as more time went by outside.
        self.assertGreaterEqual(after["bytes"] - before["bytes"], rate * seconds)
        return rate

    def test_rate(self):
        status = up("--links", 2, "--rate", "20mbit", "--link-rate", "2=none")
        self.assertEqual([link["rate_bit_s"] for link in status["links"]], [20_000_000, None])
        for rate, bits in (("20mbit", 20e6), ("5mbit", 5e6)):
            lab("link", 1, "rate", rate)
            got = self.flood(1400, 1.5) * 8 * (1428 + 14) / 1428
            self.assertTrue(0.75 * bits < got < 1.15 * bits, f"{rate}: {got / 1e6:.2f} Mbit/s")
        lab("link", 1, "rate", "none")
        self.assertGreater(self.flood(1400, 0.5) * 8, 25e6)
        self.assertEqual(json.loads(lab("status", "--json").stdout)["links"][0]["rate"], "none")

    def test_counters_are_ip_bytes(self):
        up("--links", 1, "--bfd", "off")
        # large numbers, so that what the routers say to each other does not matter
        before = json.loads(lab("counters", "--json").stdout)[0]["ab"]
        lab("exec", "as64512", "ping", "-q", "-c", 500, "-i", "0.001", "-s", 1000, "10.20.1.2")
        after = json.loads(lab("counters", "--json").stdout)[0]["ab"]
        sent = 500 * (20 + 8 + 1000)
        self.assertTrue(sent <= after["bytes"] - before["bytes"] < sent * 1.1)

    def test_down_stops_what_runs_inside(self):
        status = up("--topology", "local")
        p = subprocess.Popen([LAB, "exec", "--name", NAME, "h1", "sleep", "1000"])
        try:
            deadline = time.monotonic() + WAIT_S
            while p.pid not in processes.in_namespaces([status["hosts"][0]["netns"]]):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            self.assertIn("stopped 1 other program in it", lab("down").stderr)
            self.assertEqual(p.wait(WAIT_S), -signal.SIGTERM)
        finally:
            p.kill()
            p.wait()
        self.assertIn("was not up", lab("down").stderr)  # twice is no error
        self.assertEqual(lab("status", check=False).returncode, 1)

    def test_programs_stopped_and_started(self):
        up("--links", 1)
        before = json.loads(lab("status", "--json").stdout)["ases"][0]["processes"]
        lab("stop", "router@64512", "daemon@1-64512")
        now = json.loads(lab("status", "--json").stdout)["ases"][0]["processes"]
        self.assertEqual({k: p["running"] for k, p in now.items()},
                         {"router": False, "control": True, "daemon": False})
        lab("stop", "daemon@64512")  # twice is no error
        self.assertIn("no 'daemon@7'", lab("stop", "daemon@7", check=False).stderr)
        lab("start", "--wait", "daemon@64512", "router@64512", "control@64512")
        now = json.loads(lab("status", "--json").stdout)["ases"][0]["processes"]
        self.assertEqual([p["running"] for p in now.values()], [True] * 3)
        self.assertEqual(now["control"], before["control"])  # it ran
        self.assertNotEqual(now["router"], before["router"])
        lab("link", 1, "restore", "--wait")
        self.check_alive("h1", "1-64513", [1])
        lab("stop", "--kill", "control@64513")

    def interrupt(self, sig, delay_s):
        p = subprocess.Popen([LAB, "up", "--name", NAME, "--topology", "leaf"], stderr=subprocess.PIPE,
                             text=True)
        deadline = time.monotonic() + WAIT_S
        while not traces(NAME):
            self.assertLess(time.monotonic(), deadline)
        time.sleep(delay_s)
        p.send_signal(sig)
        p.communicate(timeout=2 * WAIT_S)
        return p.returncode

    def test_interrupted(self):
        for sig, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            for delay_s in (0, 0.05, 0.5):
                self.assertEqual(self.interrupt(sig, delay_s), code)
                self.assertEqual(traces(NAME), [])

    def test_killed(self):
        for delay_s in (0, 0.05, 0.5):
            self.assertEqual(self.interrupt(signal.SIGKILL, delay_s), -signal.SIGKILL)
            self.assertNotEqual(traces(NAME), [])
            lab("down")
            self.assertEqual(traces(NAME), [])
        # and without `down` the next `up` cleans up
        self.interrupt(signal.SIGKILL, 0.5)
        self.check_paths(up("--links", 1))

    def test_down_while_up_is_at_work(self):
        p = subprocess.Popen([LAB, "up", "--name", NAME, "--topology", "leaf"], stderr=subprocess.PIPE)
        deadline = time.monotonic() + WAIT_S
        while not traces(NAME):
            self.assertLess(time.monotonic(), deadline)
        lab("down")
        p.communicate(timeout=2 * WAIT_S)
        self.assertNotEqual(p.returncode, 0)
        self.assertEqual(traces(NAME), [])

    def test_failure_shows_logs_and_cleans_up(self):
        p = lab("up", "--timeout", 0.3, check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn("not ready in time", p.stderr)
        self.assertIn("--- router-64512.log", p.stderr)
        self.assertEqual(traces(NAME), [])


if __name__ == "__main__":
    unittest.main()
