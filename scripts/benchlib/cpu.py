# SPDX-License-Identifier: Apache-2.0
"""CPU time: of the whole machine, and of single processes with all their threads."""

import os
import time

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def machine_busy_s():
    """Seconds that all CPUs together have worked: not idle, not waiting for a disk, not stolen."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _idle, _iowait, irq, softirq = map(int, f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) * TICK_S


def process_s(pid):
    """(user, system) seconds of a process so far."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) * TICK_S, int(fields[12]) * TICK_S


def switches(pid):
    """How often its threads have stopped to run so far: once more each is one wake-up."""
    count = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8", errors="replace") as f:
            count += sum(int(line.split()[1]) for line in f if "_ctxt_switches" in line)
    return count


def memory(pid):
    """{"rss", "pss"} in bytes."""
    found = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f:
            name, _, value = line.partition(":")
            if name in ("Rss", "Pss"):
                found[name.lower()] = int(value.split()[0]) * 1024
    return found


class Meter:
    """Counts from its making: machine, processes, time. Without what the machine does anyway."""

    def __init__(self, pids=(), background=0.0):
        self.pids = list(pids)
        self.background = background  # busy seconds per second while nothing is measured
        self.processes = {pid: process_s(pid) for pid in self.pids}
        self.machine = machine_busy_s()
        self.since = time.monotonic()

    def read(self):
        """{"seconds", "machine_s", "user_s", "system_s", "own_s"}: own: the processes."""
        seconds = time.monotonic() - self.since
        machine = machine_busy_s() - self.machine - self.background * seconds
        user = system = 0.0
        for pid, (u, s) in self.processes.items():
            now = process_s(pid)
            user, system = user + now[0] - u, system + now[1] - s
        return {"seconds": seconds, "machine_s": max(machine, 0.0), "user_s": user, "system_s": system,
                "own_s": user + system}

    def used_s(self, pid):
        """Of one of the processes."""
        return sum(process_s(pid)) - sum(self.processes[pid])


def background(seconds=1.0):
    """Busy seconds per second of a machine that is left alone."""
    start, busy = time.monotonic(), machine_busy_s()
    time.sleep(seconds)
    return (machine_busy_s() - busy) / (time.monotonic() - start)
