#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Machines on which things go wrong: the clock is set, the daemon is stopped for a while, memory, descriptors,
buffers and the disk are short. One line of log each, no crash, established connections go on as far as they can, and
all is well when it is over. The real daemons under tests/tools/faults.c; the build as it is shipped, because
sanitizers want to be the allocator themselves."""

import os
import re
import signal
import socket
import sys
import time

from harness import *  # noqa: F403
import harness

sys.path.insert(0, TOOLS)
from faults import Faults  # noqa: E402

PLAIN = os.path.join(ROOT, "build")  # also when the others run with sanitizers
NOISE = re.compile(r" (warn|error) ")


class Faulty(harness.Shilad):
    """A daemon under libfaults.so."""

    def __init__(self, lab, host, **options):
        self.faults = Faults(os.path.join(temporary(), "faults"))
        super().__init__(lab, host, build=PLAIN, env=self.faults.environment(os.path.join(PLAIN, "tests")), **options)

    def start(self, wait=True):
        super().start(wait)
        if wait and not self.faults.loaded():
            raise Failed("libfaults.so is not there")

    def complaints(self, about=""):
        return [line for line in self.log().splitlines() if NOISE.search(line) and about in line]


class OnePair(SystemTest):
    lab_options = {"topology": "parallel", "links": 2, "rate": "40mbit"}

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(**cls.lab_options))
        cls.h2 = cls.keep(Faulty(cls.lab, "h2", interfaces=2, start=False))
        cls.h1 = cls.keep(Faulty(cls.lab, "h1", interfaces=2, start=False))
        for h in (cls.h2, cls.h1):
            h.start()
        cls.h1.wait_paths(2)
        cls.h2.wait_paths(2, None)

    def setUp(self):
        self.h2.serve()

    def tearDown(self):
        for h in (self.h1, self.h2):
            h.faults.off()
            self.assertIsNone(h.process.poll(), f"shilad on {h.host} has ended")
        super().tearDown()

    def beat(self):
        """A connection that is asked something all the time, until end_traffic()."""
        client = self.h1.spawn_traffic("beat", self.h2.address(4), 8000, 200)
        wait_for(lambda: len(self.h1.flows(state="open", remote=f"{self.h2.address(4)}:8000")) >= 2, 10, "subflows")
        return client

    def spawn_get(self, size):
        """Without `shila run`, which asks the daemon: that has no memory for an answer, perhaps."""
        return self.use(spawn(["ip", "netns", "exec", self.h1.ns_egress, sys.executable, "-B", TRAFFIC, "get",
                               self.h2.address(4), 8000, size]))

    def works(self, size=100_000):
        self.spawn_get(size).good_answer(90)

    def said(self, h, text, times=1, seconds=20):
        wait_for(lambda: h.log().count(text) >= times, seconds, f"'{text}' in the log of {h.host}")
        self.assertEqual(h.log().count(text), times, h.complaints())


class Clock(OnePair):
    lab_options = {**OnePair.lab_options, "path_lifetime": "short"}

    def test_an_hour_forward_and_back(self):
        """On both sides at once; paths live for 337 s: all are over at once, and then seem to have just begun."""
        client = self.beat()
        moves = self.h1.counter("moves")
        jumps = 0
        for seconds, words in (3600, "3600 s forward"), (-3600, None), (0, None):
            for h in (self.h1, self.h2):
                h.faults.set(clock_s=seconds)
            jumps += 1
            for h in (self.h1, self.h2):
                wait_for(lambda h=h: h.counter("clock_jumps") == jumps, 20, f"{seconds} s are noticed on {h.host}")
                if words:
                    self.said(h, f"the clock was set {words}")
            self.works()  # a new connection
            time.sleep(1)
            paths = self.h1.rpc("paths")
            self.assertEqual([p["state"] for p in paths], ["up", "up"], paths)
            self.works()
        answer = client.end_traffic()
        self.assertLess(answer["longest"], 1)
        self.assertEqual(self.h1.counter("moves"), moves)
        for h in (self.h1, self.h2):  # one a minute at most
            self.assertEqual(len(h.complaints()), 1, h.complaints())

    def test_suspended(self):
        """The machine slept for an hour: CLOCK_MONOTONIC, and with it every timer, did not."""
        jumps = self.h1.counter("clock_jumps")
        client = self.beat()
        self.h1.faults.set(boot_s=3600)
        self.said(self.h1, "the machine was suspended for 3600 s")
        self.assertEqual(self.h1.counter("clock_jumps"), jumps)
        time.sleep(2)
        client.end_traffic()


class Short(OnePair):
    """Memory, descriptors, buffers."""

    def one_fault(self, h, begins, **settings):
        """Something is short for a second or two on @h while a connection runs: said once; over, and said once."""
        client = self.beat()
        h.faults.set(**settings)
        self.said(h, begins)
        time.sleep(1)
        self.assertEqual(h.log().count(begins), 1)
        h.faults.off()
        self.works()
        return client.end_traffic()

    def test_now_and_then_no_memory(self):
        """A connection takes some two allocations on each side, asking for paths more than ten: until six failed on both."""
        both = self.h1, self.h2
        for h in both:
            h.faults.set(memory_every=13)
        for _ in range(40):
            for get in [self.spawn_get(100_000) for _ in range(4)]:
                get.good_answer(90)
            if all(h.faults.count("memory_failed") > 5 for h in both):
                break
        for h in both:
            self.assertGreater(h.faults.count("memory_failed"), 5)
            h.faults.off()
        self.works(2_000_000)

    def test_no_descriptor(self):
        client = self.beat()
        self.h1.faults.set(fd_errno=24)  # EMFILE
        told = "no file descriptor is left ("  # the SCION daemon may be asked just then, which has a line of its own
        self.said(self.h1, told)
        # `shila run` would ask the daemon: straight into the namespace, without MPTCP
        answer = traffic_answer(run(["nsenter", f"--net=/run/netns/{self.h1.ns_egress}", sys.executable, "-B", TRAFFIC,
                                     "get", self.h2.address(4), 8000, 100_000]).stdout)
        self.assertTrue(answer["ok"], answer)
        time.sleep(1)
        self.h1.faults.off()
        self.said(self.h1, "there are file descriptors again")
        self.assertEqual(len(self.h1.complaints(told)), 1)
        wait_for(lambda: self.h1.rpc("status")["scion_daemon"]["state"] == "up", 20, "the SCION daemon is asked")
        self.works()
        client.end_traffic()

    def test_no_buffers(self):
        answer = self.one_fault(self.h1, "the kernel had no buffer to send", send_errno=105)  # ENOBUFS
        self.assertLess(answer["longest"], 6)
        self.said(self.h1, "drop.send_no_buffers: over")

    def test_some_buffers(self):
        """Every fourth send of either end fails, every ninth of both: TCP repairs it.

        Every fourth of both ends at once is no test of anything: now and then the two patterns fall into step with TCP's
        repetitions, whose pauses double, and then the same transfer takes 90 s instead of 0.3.
        """
        for every in ((4, 0), (0, 4), (9, 9)):
            for h, n in zip((self.h1, self.h2), every):
                if n:
                    h.faults.set(send_errno=105, send_every=n)
            self.works(1_000_000)
            for h in (self.h1, self.h2):
                h.faults.off()

    def test_firewall(self):
        self.one_fault(self.h2, "this host forbids to send", send_errno=1)  # EPERM
        self.said(self.h2, "drop.send_refused: over")

    def test_tun_without_room(self):
        self.one_fault(self.h1, "the TUN did not take a packet", write_errno=12)  # ENOMEM
        self.said(self.h1, "drop.tun_write: over")

    def test_interrupted_and_short(self):
        for h in (self.h1, self.h2):
            h.faults.set(interrupt_every=7, short_every=3)
        self.works(3_000_000)
        for h in (self.h1, self.h2):
            h.rpc("flows")
            self.assertGreater(h.faults.count("interrupted"), 100)
            self.assertGreater(h.faults.count("shortened"), 0)
            h.faults.off()


class NoMemory(OnePair):
    """Daemons of its own: what was said once is not said again within a minute."""

    def test_no_memory_at_all(self):
        client = self.beat()
        count = self.h1.counter("drop.no_memory")
        self.h1.faults.set(memory_every=1)
        late = self.spawn_get(100_000)
        self.said(self.h1, "there was no memory for something new")
        time.sleep(1)
        self.h1.faults.off()
        late.good_answer(60)  # as soon as its SYN is repeated
        self.said(self.h1, "drop.no_memory: over")
        self.assertGreater(self.h1.counter("drop.no_memory"), count)
        self.assertLess(client.end_traffic()["longest"], 1)


class Libraries(OnePair):
    def test_libraries_without_memory(self):
        """Also curl, jansson and libuv, once they run: questions and answers fail, nothing else."""
        client = self.beat()
        self.h1.faults.set(memory_every=1, libraries=1)
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(0.3)  # there may be no answer at all
                try:
                    s.connect(self.h1.control)
                    s.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "status"}\n')
                    s.recv(1 << 16)
                except OSError:
                    pass
        self.h1.faults.off()
        self.works()
        self.assertEqual(self.h1.rpc("status")["state"], "running")
        client.end_traffic()


class Stopped(OnePair):
    """SIGSTOP for ten seconds under load, as when a debugger looks in or a virtual machine is moved.

    What waited meanwhile is delivered at once. How soon each kernel is back at full speed is its own decision: its
    TCP has seen a round trip of ten seconds, and may wait for a multiple of that if something is lost in the burst.
    """

    NEEDS_PLAIN_BUILD = True  # a rate is compared with the one before

    def test_stopped_under_load(self):
        def rate():
            def received():
                return sum(f["rx_bytes"] for h in (self.h1, self.h2) for f in h.flows())
            a, began = received(), time.monotonic()
            time.sleep(0.3)
            return (received() - a) / (time.monotonic() - began)

        for h in (self.h1, self.h2):
            transfers = [self.h1.spawn_traffic(what, self.h2.address(f), 8000, 30_000_000)
                         for what, f in (("get", 4), ("put", 6))]
            wait_for(lambda: rate() > 4e6, 20, "load")
            before = max(rate() for _ in range(3))
            h.send_signal(signal.SIGSTOP)
            time.sleep(10)
            h.send_signal(signal.SIGCONT)
            began = time.monotonic()
            get = self.spawn_get(100_000)
            wait_for(lambda: rate() > before / 4, 20, "traffic goes on")
            took = time.monotonic() - began
            print(f"{h.host} was stopped: {before / 1e6:.1f} MB/s before, a quarter of it after {took:.1f} s",
                  file=sys.stderr)
            self.assertLess(get.good_answer(90)["seconds"], 2.5)  # shila is back at once
            # A TCP that saw a round trip of 10 s has a time-out of 10 s / 8 + 4 * 10 s / 4 for what is lost next (RFC 6298).
            self.assertLess(took, 12.5)
            self.said(h, "shilad stood still for")
            self.assertEqual(len(h.complaints("stood still")), 1)
            for t in transfers:
                t.good_answer(120)
        self.assertEqual(self.h1.counter("unknowns_rx") + self.h2.counter("unknowns_rx"), 0)
        self.works()


class Tmpfs:
    """A disk of a few pages."""

    def __init__(self, kilobytes):
        self.path = os.path.join(temporary(), "disk")
        os.mkdir(self.path)
        run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=755", "shila-test", self.path])
        harness.opened(self)  # also after Ctrl-C

    def fill(self, leave_kilobytes=0):
        with open(os.path.join(self.path, "ballast"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(1024))
            except OSError:
                pass
            f.truncate(f.tell() - 1024 * leave_kilobytes)

    def empty(self):
        os.unlink(os.path.join(self.path, "ballast"))

    def close(self):
        harness.closed(self)
        run(["umount", "--lazy", self.path], check=False)


class Disk(SystemTest):
    """The state directory is on a disk of its own."""

    def test_full_at_the_start_and_later(self):
        lab = self.use(Lab(topology="parallel", links=2))
        h2 = self.use(harness.Shilad(lab, "h2", interfaces=2, build=PLAIN))
        disk = self.use(Tmpfs(1024))
        h1 = self.use(harness.Shilad(lab, "h1", interfaces=2, build=PLAIN, start=False,
                                     config={"state": os.path.join(disk.path, "state")}))
        h1.state_dir = os.path.join(disk.path, "state")
        h2.serve()

        disk.fill()
        h1.start(wait=False)
        self.assertNotEqual(h1.process.wait(20), 0)
        h1.process = None
        lines = [line for line in h1.log().splitlines() if NOISE.search(line)]
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("No space left on device: make room there, or set another `state`", lines[0])
        self.assertFalse(os.path.exists(os.path.join(h1.state_dir, "owned.json.new")))

        disk.empty()
        disk.fill(leave_kilobytes=112)  # for the start, but not for the first record of a flow
        h1.start()
        h1.wait_paths(2)
        client = h1.spawn_traffic("beat", h2.address(4), 8000, 200)
        wait_for(lambda: "would not survive a restart" in h1.log(), 10, "it says so")
        time.sleep(2.5)
        self.assertEqual(len([line for line in h1.log().splitlines() if NOISE.search(line)]), 2)
        disk.empty()
        wait_for(lambda: "there is room again" in h1.log(), 20, "it goes on when there is room")
        self.assertLess(client.end_traffic()["longest"], 1)


if __name__ == "__main__":
    main()
