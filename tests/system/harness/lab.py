# SPDX-License-Identifier: Apache-2.0
"""The SCION network that tests run in: scripts/lab."""

import itertools
import json
import os
import subprocess

from .cleanup import closed, opened
from .places import LAB
from .processes import in_netns, run
from .waiting import Failed

_numbers = itertools.count(1)


class Lab:
    """scripts/lab with a name of its own: `with Lab(topology="leaf", links=3) as lab:`, or lab.close().

    Arguments are the options of `scripts/lab up` (docs/lab.md): topology, links, rate, mtu, underlay
    ("ipv4", "ipv6"), bfd (bool), hosts_per_as, path_lifetime, link_rate and link_mtu ({link: value}), routers
    ("real", "emulated") and path_age; more is a list of further ones, like ["--emulated-links", "--delay", "10ms"].
    """

    def __init__(self, topology="parallel", links=None, rate=None, mtu=None, underlay="ipv4", bfd=True,
                 hosts_per_as=None, path_lifetime=None, link_rate=None, link_mtu=None, routers="real",
                 path_age=None, more=()):
        self.name = f"t{os.getpid()}x{next(_numbers)}"
        args = ["--json", "--timeout", "60", "--topology", topology, "--underlay", underlay,
                "--bfd", "on" if bfd else "off", "--routers", routers]
        for option, value in [("--links", links), ("--rate", rate), ("--mtu", mtu),
                              ("--hosts-per-as", hosts_per_as), ("--path-lifetime", path_lifetime),
                              ("--path-age", path_age)]:
            if value is not None:
                args += [option, str(value)]
        for option, values in [("--link-rate", link_rate), ("--link-mtu", link_mtu)]:
            for link, value in (values or {}).items():
                args += [option, f"{link}={value}"]
        args += more
        self.underlay = underlay
        opened(self)
        try:
            self.info = json.loads(self._call("up", *args, seconds=90).stdout)
        except BaseException:
            self.close()
            raise
        self.hosts = {h["name"]: h for h in self.info["hosts"]}

    def _call(self, command, *args, seconds=60):
        return run([LAB, command, "--name", self.name, *args], seconds)

    def status(self):
        return json.loads(self._call("status", "--json").stdout)

    def netns(self, host):
        return self.hosts[host]["netns"]

    def scion_address(self, host):
        return f"{self.hosts[host]['isd_as']},{self.hosts[host]['address']}"

    def link(self, number, action, *args):
        """cut, blackhole, restore, rate, or properties of an emulated link ("--delay", "10ms"); further arguments as
        on the command line (--wait)."""
        self._call("link", str(number), action, *args)

    def counters(self):
        """[{"id", "ab": {"packets", "bytes"}, "ba": ...}]: whole IP packets that went into each link."""
        return json.loads(self._call("counters", "--json").stdout)

    def processes(self, host):
        """{"router": pid, "control": pid, "daemon": pid} of the AS that the host is in."""
        ia = self.hosts[host]["isd_as"]
        for a in self.status()["ases"]:
            if a["isd_as"] == ia:
                return {name: p["pid"] for name, p in a["processes"].items()}
        raise Failed(f"no AS {ia}")

    def stop(self, *programs, kill=False):
        """Stops programs of ASes, like "router@64512"."""
        self._call("stop", *(["--kill"] if kill else []), *programs)

    def start(self, *programs, wait=True):
        """Starts them again; with wait until they serve."""
        self._call("start", *(["--wait"] if wait else []), *programs)

    def inside(self, host, argv):
        """The command line that runs argv in the network namespace of the host itself."""
        return in_netns(self.netns(host), argv)

    def close(self):
        closed(self)
        subprocess.run([LAB, "down", "--name", self.name], capture_output=True, check=False, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
