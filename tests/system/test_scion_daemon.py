#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A SCION daemon that lies, stalls and floods (tests/tools/scion_daemon.py) in front of the real one."""

import json
import os
import re
import sys
import time

from harness import *  # noqa: F403

sys.path.insert(0, TOOLS)
import scion_daemon  # noqa: E402

LINKS = 2
LISTEN = "10.12.0.2:30299"
RSS_GROWTH_KB = 150_000  # ASan's shadow is in it

# mode: the words of the message. What keeps shilad from starting ...
START = {
    ("accept", "silence"): "gave no answer within",
    ("accept", "close"): "broke the connection off|does not answer|does not speak gRPC",
    ("accept", "garbage"): "broke the connection off|does not speak gRPC",
    ("accept", "http1"): "broke the connection off|does not speak gRPC",
    ("AS", "number_0"): "nonsense about the local AS",
    ("AS", "error"): r"error 14 \(unavailable\): no path servers",
    ("AS", "error_text"): r"error 2 \(unknown\): \?\[2J\?",
    ("PortRange", "ports_inverted"): "nonsense about the range of ports",
    ("Interfaces", "compressed"): "not one plain gRPC message",
}
# ... and what is said of paths, each asked for to an AS of its own.
PATHS = {
    "random": "malformed|can be used|0 paths",
    "half_message": "malformed|can be used",
    "length_4_GiB": "malformed",
    "endless_number": "malformed",
    "empty_paths": "can be used|0 paths",
    "empty_path": "empty path to another AS",
    "other_end": "ends in another AS",
    "other_start": "starts in another AS",
    "loop": "enters one AS and leaves another|enters an AS twice",
    "twice_the_same": "ends in another AS|enters an AS twice",
    "not_together": "enters one AS and leaves another",
    "other_ids": "raw path and interfaces differ",
    "odd": "number of interfaces",
    "no_interfaces": "number of interfaces",
    "id_0": "interface id out of range",
    "id_large": "interface id out of range",
    "expired": "expired; do the clocks agree",
    "mtu_0": "MTU out of range",
    "mtu_huge": "MTU out of range",
    "raw_short": "raw path is malformed",
    "raw_long": "raw path is malformed",
    "raw_64k": "raw path is malformed|message is malformed",
    "raw_none": "raw path is malformed",
    "raw_meta": "raw path",
    "raw_segments": "raw path is malformed",
    "hop_unspecified": "address of the border router",
    "hop_multicast": "address of the border router",
    "hop_port_0": "address of the border router",
    "hop_text": "address of the border router|message is malformed",
    "hop_long": "address of the border router|message is malformed",
    "none": "0 paths",
    "many": "512 paths",
    "silence": "gave no answer within",
    "close": "broke the connection off|does not speak gRPC",
    "reset": "broke the connection off|does not speak gRPC",
    "goaway": "broke the connection off|does not speak gRPC",
    "http_404": "HTTP status 404",
    "error": "error 14",
    "no_status": "without status",
    "wrong_length": "not one plain gRPC message",
    "compressed": "not one plain gRPC message",
    "twice": "not one plain gRPC message",
    "endless": "more than the 4096 KiB",
    "endless_headers": "sends more than|broke the connection off|does not speak gRPC",
    "endless_pings": "sends more than|gave no answer within|broke the connection off|does not speak gRPC",
    "endless_settings": "sends more than|gave no answer within|broke the connection off|does not speak gRPC",
    "drip": "gave no answer within",
    "half_answer": "gave no answer within",
}


class Hostile(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=LINKS, rate="20mbit"))
        cls.h2 = cls.keep(Shilad(cls.lab, "h2"))

    def setUp(self):
        self.modes_file = os.path.join(temporary(), "modes.json")
        self.modes({})
        self.proxy = spawn(self.lab.inside("h1", [sys.executable, "-B", os.path.join(TOOLS, "scion_daemon.py"), LISTEN,
                                                  self.lab.hosts["h1"]["daemon"], self.modes_file]))
        wait_for(lambda: "listening" in self.proxy.output(), 10, "the false daemon")
        self.h2.serve()

    def modes(self, modes):
        with open(self.modes_file + ".new", "w", encoding="utf-8") as f:
            json.dump(modes, f)
        os.replace(self.modes_file + ".new", self.modes_file)

    def daemon(self, config=None, **options):
        h = self.use(Shilad(self.lab, "h1", {"scion": {"daemon": LISTEN}, **(config or {})}, start=False,
                            env=SMALL_QUARANTINE, **options))
        h.start(wait=False)
        return h

    def rss_kb(self, h):
        with open(f"/proc/{h.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def slowest_answer(self, h, seconds):
        """Of the control socket: how long the control thread was away."""
        end, slowest = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            began = time.monotonic()
            h.rpc("drops")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.005)
        return slowest

    def test_start(self):
        """It waits, says why, once for each reason, and starts when the daemon comes to its senses."""
        first = next(iter(START))
        self.modes({first[0]: first[1]})
        h = self.daemon()
        wait_for(lambda: os.path.exists(h.control), 10, "the control socket")
        for (what, mode), words in START.items():
            with self.subTest(f"{what} {mode}"):
                self.modes({what: mode})
                h.log_mark()
                seen = []

                def said(w=words, seen=seen):
                    seen[:] = [h.rpc("status").get("error") or ""]
                    return re.search(w, seen[0])
                wait_for(said, 30, f"{words} in {seen}")
                wait_for(lambda w=words: [x for x in h.log().splitlines() if " warn " in x and re.search(w, x)], 10,
                         "a message")
                self.assertNotRegex(h.log(), "[\x00-\x09\x0b-\x1f\x7f-\xff]")
        # Not pretty, but nothing to wait for: no range of ports, and routers that are no addresses.
        self.modes({"PortRange": "ports_0", "Interfaces": "many_routers"})
        h.wait_running()
        h.wait_paths(LINKS)
        answer = h.traffic("get", self.h2.address(4), 8000, 1 << 20)
        self.assertTrue(answer["ok"], answer)

    def test_paths(self):
        """Each of PATHS at once, while a transfer runs on honest ones."""
        ases = {f"1-{64600 + i}": mode for i, mode in enumerate(PATHS)}
        self.modes({**ases, "like": "1-64513"})
        h = self.daemon({"routes": [{"to": "10.70.2.0/24", "via": [self.lab.scion_address("h2")]}] +
                         [{"to": f"10.71.{i}.0/24", "via": [f"{ia},10.99.0.1"]} for i, ia in enumerate(ases)]})
        h.wait_running()
        h.wait_paths(LINKS)
        client = h.spawn_traffic("beat", self.h2.address(4), 8000, 200)
        before = self.rss_kb(h)

        def unsaid():
            log = h.log()
            return [mode for ia, mode in ases.items() if not re.search(
                rf"paths to {ia}: .*({PATHS[mode]})|({PATHS[mode]}) to {ia}", log)]
        try:
            wait_for(lambda: not unsaid(), 40, "a message about each", every=0.2)
        except Failed:
            self.fail("\n".join(f"{mode}: " + "; ".join(line for line in h.log().splitlines() if ia in line)
                                for ia, mode in ases.items() if mode in unsaid()))
        warned = [re.search(r"(1-\d+)", x).group(1) for x in h.log().splitlines()
                  if " warn " in x and "paths to 1-646" in x]
        self.assertLessEqual(max(map(warned.count, warned)), 2)
        self.assertNotRegex(h.log(), "[\x00-\x09\x0b-\x1f\x7f-\xff]")
        self.assertLess(client.end_traffic()["longest"], 2)
        self.assertLess(self.rss_kb(h) - before, RSS_GROWTH_KB)
        answer = h.traffic("get", self.h2.address(4), 8000, 1 << 20)
        self.assertTrue(answer["ok"], answer)
        self.assertLess(self.slowest_answer(h, 2), 1)

    def test_good_before(self):
        """Who has known good paths keeps them, whatever comes after. New connections find them too, unless there
        are hundreds of others that are invented: until probes tell, they are as good as any."""
        self.modes({"AS": "as_mtu_65535", "Paths": "mtu_65535"})
        h = self.daemon()
        h.wait_running()
        h.wait_paths(LINKS)
        self.assertIn("no more than 1472 fits towards its border router", h.log())
        self.assertEqual({p["mtu_bytes"] for p in h.rpc("paths")}, {1472})
        answer = h.traffic("put", self.h2.address(4), 8000, 1 << 20)
        self.assertTrue(answer["ok"], answer)
        client = h.spawn_traffic("beat", self.h2.address(4), 8000, 200)
        wait_for(lambda: h.flows(protocol="tcp", state="open"), 20, "a flow")
        for number, mode in enumerate(("none", "expired", "hop_multicast", "mtu_65535", "other_start", "many")):
            with self.subTest(mode):
                self.modes({"Paths": mode})
                # A link that dies is a reason to ask.
                self.lab.link(1 + number % LINKS, "cut")
                h.log_mark()
                if number:
                    self.lab.link(1 + (number - 1) % LINKS, "restore")
                wait_for(lambda: h.rpc("status")["scion_daemon"]["state"] == "down" or
                         mode in ("none", "mtu_65535", "many"), 25, "noticed")
                if mode == "many":
                    wait_for(lambda: len(h.rpc("paths")) == 512, 60, "512 paths")
                    continue
                answer = h.traffic("echo", self.h2.address(4), 8000, 20)
                self.assertTrue(answer["ok"], answer)
        self.modes({})
        for link in range(1, LINKS + 1):
            self.lab.link(link, "restore")
        h.wait_paths(LINKS, seconds=30)
        client.end_traffic()

    def test_all_modes_are_tested(self):
        self.assertLessEqual(set(PATHS), set(scion_daemon.PATH_MODES) | set(scion_daemon.TRANSPORT))
        self.assertLessEqual({m for _, m in START} - set(scion_daemon.ACCEPT),
                             set(scion_daemon.CONTENT) | set(scion_daemon.TRANSPORT))


if __name__ == "__main__":
    main()
