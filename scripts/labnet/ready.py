# SPDX-License-Identifier: Apache-2.0
"""When is the network usable: all links are up, and all paths are known in both directions."""

import http.client
import json
import os
import socket
import subprocess
import time

from . import LabError, config, emulated, netns
from .topology import DAEMON_PORT

POLL_S = 0.05


def _get_json(api, path):
    host, port = api.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=2)
    try:
        connection.request("GET", path)
        return json.load(connection.getresponse())
    finally:
        connection.close()


def interfaces(asys):
    """{interface id: "up" or "down"} as the border router of the AS says; empty if it says nothing."""
    try:
        answer = netns.run_in(asys.netns, _get_json, config.ROUTER_API, "/api/v1/interfaces")
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    return {i["interface_id"]: i["state"] for i in answer.get("interfaces") or []}


def serves(program, asys):
    """Whether a program of the AS answers: the daemon takes connections, the others have their REST interface."""
    if program == "daemon":
        addr = (asys.address, DAEMON_PORT)
    else:
        host, port = (config.ROUTER_API if program == "router" else config.CONTROL_API).split(":")
        addr = (host, int(port))
    try:
        netns.run_in(asys.netns, lambda a: socket.create_connection(a, 1).close(), addr)
    except OSError:
        return False
    return True


def wait_serving(programs, check, deadline):
    """Returns when all of [(program, AS)] answer; check() raises when one has ended."""
    for program, asys in programs:
        while not serves(program, asys):
            check()
            if time.monotonic() > deadline:
                raise LabError(f"{program}@{asys.asn} does not serve in time")
            time.sleep(POLL_S)


def wait_link(link, state, deadline, emulated_lab=None):
    """Returns when the routers at both ends say that the link is "up" or "down".

    emulated_lab: the name of a lab whose routers are emulated
    """
    while True:
        seen = [(emulated.interfaces(emulated_lab, end.asys) if emulated_lab else interfaces(end.asys))
                .get(end.interface) for end in link.ends]
        if seen == [state, state]:
            return
        if time.monotonic() > deadline:
            raise LabError(f"link {link.id} is not {state} in time: its routers say "
                           + " and ".join(map(str, seen)))
        time.sleep(POLL_S / 2)


def count_paths(topo, tools, src, dst):
    """Number of paths that the daemon of src knows to dst."""
    argv = [os.path.join(tools, "scion"), "showpaths", dst.isd_as, "--no-probe", "-m", "10000",
            "--sciond", topo.endpoint(src.address, DAEMON_PORT), "--timeout", "3s", "--format", "json"]
    p = subprocess.run(netns.command(src.hosts[0].netns, argv), capture_output=True, text=True, check=False)
    try:
        answer = json.loads(p.stdout)
    except ValueError:
        return 0
    if src is dst:
        # The daemon has one, empty path to its own AS; showpaths leaves it out.
        return int(answer.get("local_isd_as") == src.isd_as)
    return len(answer.get("paths") or [])


class Waiter:
    """Waits for steps of `up`, all before one deadline.

    check_processes() raises when a program has ended; progress(what, done, total) is called after
    every look.
    """

    def __init__(self, topo, tools, deadline, check_processes, progress, emulated_routers=False):
        self.topo = topo
        self.tools = tools
        self.deadline = deadline
        self.check_processes = check_processes
        self.progress = progress
        self.emulated_routers = emulated_routers

    def _poll(self, what, wanted, count, describe):
        """Asks for each key of wanted until it has its number; what is complete is not asked again."""
        total, have = sum(wanted.values()), dict.fromkeys(wanted, 0)
        while True:
            self.check_processes()
            for key in wanted:
                if have[key] < wanted[key]:
                    have[key] = min(wanted[key], count(key))
            if total:
                self.progress(what, sum(have.values()), total)
            missing = [key for key in wanted if have[key] < wanted[key]]
            if not missing:
                return
            if time.monotonic() > self.deadline:
                raise LabError("not ready in time: " + ", ".join(
                    f"{describe(key)} {have[key]} of {wanted[key]}" for key in missing))
            time.sleep(POLL_S)

    def for_interfaces(self):
        ases = {a.asn: a for a in self.topo.ases}

        def states(asys):
            return emulated.interfaces(self.topo.name, asys) if self.emulated_routers else interfaces(asys)

        self._poll("interfaces up", {asn: len(a.interfaces) for asn, a in ases.items()},
                   lambda asn: list(states(ases[asn]).values()).count("up"),
                   lambda asn: f"interfaces of {ases[asn].isd_as} up:")

    def for_paths(self):
        ases = {a.asn: a for a in self.topo.ases}
        self._poll("paths", {(a.asn, b.asn): self.topo.paths_expected() for a, b in self.topo.pairs()},
                   lambda pair: count_paths(self.topo, self.tools, ases[pair[0]], ases[pair[1]]),
                   lambda pair: f"paths {ases[pair[0]].isd_as} > {ases[pair[1]].isd_as}:")
