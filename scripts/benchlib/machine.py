# SPDX-License-Identifier: Apache-2.0
"""What the figures were seen on."""

import os
import platform
import re

from . import ROOT
from harness import run


def _first(path, pattern):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            found = re.search(pattern, f.read(), re.M)
            return found.group(1).strip() if found else None
    except OSError:
        return None


def machine():
    memory = _first("/proc/meminfo", r"^MemTotal:\s*(\d+)")
    return {
        "cpu": _first("/proc/cpuinfo", r"^model name\s*:\s*(.*)") or platform.machine(),
        "cpus": os.cpu_count(),
        "memory_gib": round(int(memory) / 2**20, 1) if memory else None,
        "virtual": bool(_first("/proc/cpuinfo", r"^flags\s*:.*\b(hypervisor)\b")),
        "kernel": platform.release(),
        "congestion_control": _first("/proc/sys/net/ipv4/tcp_congestion_control", r"(\w+)"),
        "commit": run(["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, "describe", "--always", "--dirty"],
                      check=False).stdout.strip() or None,
        "iperf3": run(["iperf3", "--version"], check=False).stdout.split("\n")[0] or None,
    }
