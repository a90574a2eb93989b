#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a worker does for a train: at most one TUN call, batched UDP calls, no allocation, no lock."""

import os
import re
import signal
import subprocess
import sys
import time

from harness import *  # noqa: F403

sys.path.insert(0, TOOLS)
import count_calls  # noqa: E402

NEEDS_PLAIN_BUILD = True
PRELOAD = os.path.join(BUILD, "tests", "libcount_calls.so")
COUNTERS = ["tun_trains_out", "tun_trains_in", "tun_read_calls", "tun_write_calls", "underlay_send_calls",
            "underlay_receive_calls", "underlay_segments_in"]


def counting(file):
    return {"LD_PRELOAD": PRELOAD, "SHILA_COUNT_CALLS": file}


def calls(host):
    """All calls of each worker since it was started."""
    return {name: counts for name, counts in count_calls.read(host.calls, host.process.pid).items()
            if name.startswith("worker ")}


def difference(before, after):
    return {k: after[k] - before[k] for k in after}


def worker_threads(host):
    found = {}
    task = f"/proc/{host.process.pid}/task"
    for tid in os.listdir(task):
        with open(f"{task}/{tid}/comm", encoding="utf-8") as f:
            name = f.read().strip()
        if name.startswith("worker "):
            found[tid] = name
    return found


class Strace:
    """strace -c on the workers of a daemon: {call: how often}."""

    def __init__(self, host):
        self.file = os.path.join(temporary(), "strace")
        argv = ["strace", "-c", "-o", self.file]
        for tid in worker_threads(host):
            argv += ["-p", tid]
        self.process = spawn(argv)
        wait_for(lambda: self.process.output().count("attached") == len(worker_threads(host)), 20, "strace attached")

    def finish(self):
        self.process.send_signal(signal.SIGINT)
        self.process.finish(10, code=None)
        with open(self.file, encoding="utf-8") as f:
            rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", f.read(), re.M)
        return {name: int(n) for n, name in rows if name != "total"}


class HotPath(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.keep(Lab(topology="parallel", links=3, rate="40mbit"))
        cls.hosts = []
        for name in ("h2", "h1"):
            calls_file = os.path.join(temporary(), "calls")
            host = cls.keep(Shilad(cls.lab, name, log_level="info", env=counting(calls_file)))
            host.calls = calls_file
            cls.hosts.append(host)
        cls.h2, cls.h1 = cls.hosts
        cls.h1.wait_paths(3)

    def transfer(self, family, seconds, *options):
        """Starts one, and returns when it is in full flow on three paths."""
        self.h2.spawn(["iperf3", "-s", "-1"], ingress=True)
        self.h2.wait_listening(5201)
        client = self.h1.spawn(["iperf3", "-c", self.h2.address(family), "-t", seconds, *options])
        wait_for(lambda: len([f for f in self.h1.flows(state="open") if f["tx_bytes"] + f["rx_bytes"] > 500000]) >= 3, 10,
                 "three busy flows")
        return client

    def counters(self, host):
        c = host.rpc("status")["counters"]
        sums = {k: c[k] for k in COUNTERS}
        flows = host.flows()
        sums["bytes"] = sum(f["tx_bytes"] + f["rx_bytes"] for f in flows)
        sums["segments"] = sum(f["tx_segments"] + f["rx_segments"] for f in flows)
        return sums

    def test_the_counters_count(self):
        file = os.path.join(temporary(), "calls")
        p = subprocess.Popen([os.path.join(BUILD, "tests", "counted")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             env=clean_environment(**counting(file)))
        self.assertEqual(p.stdout.readline(), b"ready\n")
        threads = count_calls.read(file, p.pid)
        p.communicate()
        self.assertEqual(threads["worker 9"], {"malloc": 3, "calloc": 1, "realloc": 1, "free": 4, "aligned": 1, "mmap": 1,
                                               "mutex": 2, "rwlock": 3})
        self.assertEqual(set(threads["worker 8"].values()), {0})

    def test_no_allocation_and_no_lock(self):
        for family, options in [(4, ["--bidir"]), (6, [])]:
            client = self.transfer(family, 6, *options)
            before = [(calls(h), self.counters(h)) for h in self.hosts]
            time.sleep(3)
            self.assertIsNone(client.poll(), "the transfer ended too early")
            for host, (calls_before, counters_before) in zip(self.hosts, before):
                after = calls(host)
                moved = difference(counters_before, self.counters(host))
                self.assertGreater(moved["bytes"], 5e6)
                self.assertTrue(after)
                for worker, counts in after.items():
                    self.assertEqual(set(difference(calls_before[worker], counts).values()), {0},
                                     f"{worker} of {host.host}: {difference(calls_before[worker], counts)}")
                # The control thread allocates, so what counts is there.
                main = count_calls.read(host.calls, host.process.pid)["shilad"]
                self.assertGreater(main["malloc"] + main["calloc"], 0)
            client.finish()

    def test_system_calls(self):
        client = self.transfer(4, 12)
        rows = []
        for host, what in [(self.h1, "sender"), (self.h2, "receiver")]:
            before = self.counters(host)
            trace = Strace(host)
            time.sleep(3)
            seen = trace.finish()
            moved = difference(before, self.counters(host))
            rows.append((what, seen, moved))
            trains = moved["tun_trains_out"] + moved["tun_trains_in"]
            self.assertGreater(moved["bytes"], 5e6)
            # The counters of a batch are not read at one instant: give or take one batch of 16.
            self.assertLessEqual(moved["tun_read_calls"], moved["tun_trains_out"] + 16, "TUN reads: one a train")
            self.assertLessEqual(moved["tun_write_calls"], moved["tun_trains_in"] + 16, "TUN writes: one a train")
            # strace counts what the daemon says, and nothing else: UDP calls are the batched ones.
            self.assertLessEqual(seen.get("writev", 0), moved["tun_trains_in"] * 1.05)
            self.assertLess(sum(seen.values()), 3 * trains, seen)
            self.assertFalse({"sendto", "sendmsg", "recvfrom", "recvmsg", "futex", "brk", "mmap"} & set(seen), seen)
            self.assertLess(seen["sendmmsg"] + seen["recvmmsg"], moved["segments"] * 0.8, "UDP calls are batched")
        client.finish()
        print()
        for what, seen, moved in rows:
            mb = moved["bytes"] / 1e6
            print(f"    measured: {what}: {mb:.0f} MB, {moved['segments'] / mb:.0f} segments/MB, "
                  f"{(moved['tun_trains_out'] + moved['tun_trains_in']) / mb:.0f} trains/MB; system calls/MB: " +
                  ", ".join(f"{k} {v / mb:.0f}" for k, v in sorted(seen.items(), key=lambda r: -r[1])))


if __name__ == "__main__":
    main()
