# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of a network namespace."""

import json
import re

from .processes import in_netns, run


def nstat(netns):
    """All counters of /proc/net/{snmp,snmp6,netstat} there, MPTcpExt with names like MPTcpExtMPRstRx."""
    p = run(in_netns(netns, ["nstat", "-asz", "--json"]))
    return {k: int(v) for k, v in json.loads(p.stdout)["kernel"].items()}


def kernel(netns):
    """What a network namespace holds that a daemon could leave behind, as lines of text."""
    lines = set()
    for what in (["ip", "-o", "link"], ["ip", "rule"], ["ip", "-6", "rule"],
                 ["ip", "route", "show", "table", "all"], ["ip", "-6", "route", "show", "table", "all"],
                 ["ip", "mptcp", "endpoint"], ["ss", "-Hlntu"], ["ss", "-Hlnx"]):
        for line in run(in_netns(netns, what)).stdout.splitlines():
            line = re.sub(r"\s+", " ", re.sub(r"expires \d+sec|qlen \d+|state \w+|<[^>]*>", "", line))
            # UNIX sockets belong to the machine: only what is a daemon of the tests
            if what[-1] != "-Hlnx" or "shila-test-" in line:
                lines.add(f"{' '.join(what)}: {line.strip()}")
    return lines
