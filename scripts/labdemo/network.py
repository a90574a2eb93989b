# SPDX-License-Identifier: Apache-2.0
"""Lab, daemons and programs: started, remembered, removed.

What runs is written to BASE/NAME/demo.json before anything else can happen, so that --remove finds
it too. The directory is there before anything else is made and goes last.
"""

import json
import os
import shutil
import signal
import subprocess
import time

from labnet import LabError, lab, links, netns, processes

from . import DemoError, control
from .stopping import shielded

BASE = "/run/shila-demo"  # only root writes here: what is in it is believed
CLIENT, SERVER = "h1", "h2"
MANY, ONE = "10.70.1.1", "10.70.2.1"  # the same server; connections to the second get one path

CLIENT_CONFIG = """\
version: 1
scion:
  daemon: "{daemon}"
egress:
  namespace: {name}-client
  interfaces: {paths}
  addresses: [10.7.1.0/24]
routes:
  - to: 10.70.1.0/24
    via: ["{peer}"]
  - to: 10.70.2.0/24
    via: ["{peer}"]
    subflows: 1
state: {directory}/h1
control: {directory}/h1.sock
"""

SERVER_CONFIG = """\
version: 1
scion:
  daemon: "{daemon}"
ingress:
  namespace: {name}-server
  address: [10.70.0.9]
  pool: [10.64.0.0/16]
  allow: ["{peer}"]
  serve: ["tcp/*", icmp]
state: {directory}/h2
control: {directory}/h2.sock
"""


def names():
    try:
        return sorted(os.listdir(BASE))
    except FileNotFoundError:
        return []


def tail(path, lines=12):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return "\n".join(line[:300] for line in f.read().splitlines()[-lines:])
    except OSError:
        return ""


class Network:
    """One demo: a lab with two hosts."""

    def __init__(self, name, build):
        self.name = name
        self.build = build  # the build directory
        self.directory = os.path.join(BASE, name)
        self.shilad = os.path.join(build, "shila", "shilad")
        self.shila = os.path.join(build, "shila", "cli", "shila")
        self.daemons = {}  # host: {"ident", "netns", "shilad"}
        self.programs = []  # idents
        self.runner = processes.identify(os.getpid())  # who removes it; None once it is kept
        self.children = {}  # host: Popen of its daemon
        self.described = None

    @classmethod
    def load(cls, name):
        """A demo that --keep left, or one that was killed; DemoError if there is none."""
        if name not in names():
            raise DemoError(f"no demo {name} here" + (f", but {', '.join(names())}" if names() else ""))
        network = cls(name, "")
        try:
            with open(os.path.join(network.directory, "demo.json"), encoding="utf-8") as f:
                content = json.load(f)
            network.daemons, network.programs = content["daemons"], content["programs"]
            network.runner = content["runner"]
        except (FileNotFoundError, ValueError):
            pass  # killed before the first program
        return network

    def _save(self):
        path = os.path.join(self.directory, "demo.json")
        with open(path + ".new", "w", encoding="utf-8") as f:
            json.dump({"daemons": self.daemons, "programs": self.programs, "runner": self.runner}, f,
                      indent=1)
        os.replace(path + ".new", path)

    def keep(self):
        """Nobody looks after it from now on but --remove."""
        self.runner = None
        self._save()

    @property
    def busy(self):
        """Is the demo that made it still at work, and not this one?"""
        return self.runner is not None and self.runner["pid"] != os.getpid() and processes.alive(self.runner)

    def log_path(self, host):
        return os.path.join(self.directory, f"{host}.log")

    def socket_path(self, host):
        return os.path.join(self.directory, f"{host}.sock")

    def up(self, paths, rate, routers, say, progress):
        """The lab, with "real" or "emulated" routers, and a daemon on either host."""
        os.makedirs(BASE, mode=0o700, exist_ok=True)
        os.mkdir(self.directory, mode=0o700)
        self._save()
        build = {"kind": "leaf", "links": paths, "rate": rate, "mtu": None, "underlay": "ipv4",
                 "hosts_per_as": None, "link_mtu": {}, "link_rate": {}}
        options = {"bfd": True, "path_lifetime": None, "log_level": "info", "timeout_s": 30, "routers": routers,
                   "path_age_s": 0}
        os.environ["SHILA_BUILD"] = self.build  # where the emulated ones are
        lab.up(self.name, build, options, lab.find_tools() if routers == "real" else None, say, progress)
        self.described = lab.describe(*lab.load(self.name))

        hosts = {h["name"]: h for h in self.described["hosts"]}
        for host, peer, template in ((SERVER, CLIENT, SERVER_CONFIG), (CLIENT, SERVER, CLIENT_CONFIG)):
            peer = f"{hosts[peer]['isd_as']},{hosts[peer]['address']}"
            with open(os.path.join(self.directory, f"{host}.yaml"), "w", encoding="utf-8") as f:
                f.write(template.format(name=self.name, directory=self.directory, paths=paths, peer=peer,
                                        daemon=hosts[host]["daemon"]))
            self._start_daemon(host, hosts[host]["netns"])
        self._wait_for_daemons()

    def _start_daemon(self, host, where):
        argv = netns.command(where, [self.shilad, "--config", os.path.join(self.directory, f"{host}.yaml")])
        with shielded(), open(self.log_path(host), "ab") as log:
            p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                 start_new_session=True)
            self.children[host] = p
            self.daemons[host] = {"ident": processes.identify(p.pid), "netns": where, "shilad": self.shilad}
            self._save()

    def _wait_for_daemons(self):
        deadline = time.monotonic() + 10
        for host in (SERVER, CLIENT):
            while True:
                self.check()
                try:
                    if control.call(self.socket_path(host), "status")["state"] == "running":
                        break
                except OSError:
                    pass  # not there yet
                if time.monotonic() > deadline:
                    raise DemoError(f"the shilad of {host} is not ready after 10 s; its log ends with\n"
                                    + tail(self.log_path(host)))
                time.sleep(0.02)

    def check(self):
        """DemoError if a daemon has ended."""
        for host, p in self.children.items():
            if p.poll() is None:
                continue
            how = f"exit code {p.returncode}" if p.returncode >= 0 else f"signal {-p.returncode}"
            raise DemoError(f"the shilad of {host} has ended ({how}); its log ends with\n"
                            + tail(self.log_path(host)))

    def flows(self):
        try:
            return control.call(self.socket_path(CLIENT), "flows")
        except OSError as e:
            time.sleep(0.1)  # a daemon that has just died is a zombie a moment later
            self.check()
            raise DemoError(f"the shilad of {CLIENT} does not answer ({e}); its log ends with\n"
                            + tail(self.log_path(CLIENT))) from None

    def start(self, host, argv, **files):
        """Runs a program on a host, as a user does: shila run. Its files are those of Popen."""
        run = [self.shila, "--control", self.socket_path(host), "run"]
        if host == SERVER:
            run.append("--ingress")
        with shielded():
            p = subprocess.Popen([*run, "--", *argv], cwd="/", start_new_session=True, **files)
            self.programs.append(processes.identify(p.pid))
            self._save()
        return p

    def wait_listening(self, p, port, what):
        """Returns when the program, or what it became, listens on the port."""
        deadline = time.monotonic() + 5
        while True:
            for table in ("tcp", "tcp6"):
                try:
                    with open(f"/proc/{p.pid}/net/{table}", encoding="ascii") as f:
                        rows = [line.split() for line in f.readlines()[1:]]
                except OSError:
                    rows = []
                if any(r[3] == "0A" and int(r[1].rpartition(":")[2], 16) == port for r in rows):
                    return
            self.check()
            if p.poll() is not None:
                raise DemoError(f"{what} has ended with exit code {p.returncode}")
            if time.monotonic() > deadline:
                raise DemoError(f"{what} does not listen on port {port}")
            time.sleep(0.02)

    def finish(self, p):
        """Stops a program that was started."""
        ident = next(i for i in self.programs if i["pid"] == p.pid)
        if p.poll() is None:
            processes.stop([ident], 1)
        p.wait()
        self.programs.remove(ident)
        self._save()

    def link(self, link_id, action):
        topo, _ = lab.load(self.name)
        {"cut": links.cut, "restore": links.restore}[action](links.find(topo, link_id))

    def remove(self):
        """Removes all of it, whatever state it is in; DemoError with what could not be removed."""
        processes.stop(self.programs, 1)
        # SIGINT: an end for good. The lab is still there, so that the peers are told.
        processes.stop([d["ident"] for d in self.daemons.values()], 8, signal.SIGINT)
        for host, d in self.daemons.items():
            if self._left_behind():
                subprocess.run(netns.command(d["netns"], [
                    d["shilad"], "--clean", "--config", os.path.join(self.directory, f"{host}.yaml")]),
                    capture_output=True, check=False)
        try:
            lab.down(self.name)
        except LabError as e:
            raise DemoError(str(e)) from None
        left = self._left_behind()
        if left:
            raise DemoError(f"could not remove the namespaces {', '.join(left)}")
        shutil.rmtree(self.directory, ignore_errors=True)
        try:
            os.rmdir(BASE)
        except OSError:
            pass  # other demos

    def _left_behind(self):
        ours = (f"{self.name}-client", f"{self.name}-server")
        return [n for n in netns.names() if n in ours]


def free_name():
    """A name that nobody has."""
    taken = [f"{name}-" for name in names()] + [n.removeprefix("lab-") for n in netns.names()]
    n = os.getpid()
    while any(t.startswith(f"demo{n}-") for t in taken):
        n += 1
    return f"demo{n}"
