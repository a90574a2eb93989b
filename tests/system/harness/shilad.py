# SPDX-License-Identifier: Apache-2.0
"""A daemon on a host of a lab: its life, what it is asked, what runs in its namespaces, its log."""

import copy
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

from .cleanup import closed, is_open, opened, temporary
from .netns import nstat
from .lab import Lab
from .places import BUILD, TRAFFIC
from .processes import Process, clean_environment, in_netns, run, traffic_answer
from .waiting import Failed, asked_again, wait_for

SANITIZERS = re.compile(r"(ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|"
                        r"AddressSanitizer:DEADLYSIGNAL).*")
_numbers = itertools.count(1)
daemons = []  # also those that have ended, for their logs


def merge(into, more):
    for key, value in (more or {}).items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
    return into


class Shilad:
    """A daemon on a host of a lab. Host hN has these addresses, whatever the lab:

        egress   10.7.N.1, .2 ... and fd00:7:N::1, ::2 ...      ingress  10.70.N.1 and fd00:70:N::1
        routes   10.70.M.0/24 and fd00:70:M::/64 to every other host M    pool  10.64.0.0/16, fd00:64::/64

    config: changes to the configuration, merged in; None removes a key. apps: the address families of
    the programs, (4, 6). interfaces: TUNs of the egress. peers: hosts that have routes (default: all
    others; hosts of one AS too). It is started and waited for unless start=False.
    """

    def __init__(self, lab, host, config=None, apps=(4, 6), interfaces=3, peers=None, start=True,
                 log_level="debug", build=None, env=None):
        self.lab, self.host = lab, host
        self.build = build or BUILD
        self.program = "shilad"
        self.log_level = log_level
        self.env = env or {}
        self.number = int(host[1:])
        self.dir = temporary()
        self.control = os.path.join(self.dir, "control.sock")
        self.state_dir = os.path.join(self.dir, "state")
        self.config_file = os.path.join(self.dir, "shila.yaml")
        self.log_file = os.path.join(self.dir, "log")
        unique = f"{lab.name}-{host}-{next(_numbers)}"
        self.ns_egress, self.ns_ingress = f"{unique}-e", f"{unique}-i"
        self.process = None
        self.log_seen = 0  # the part of the log before this test
        self.log_checked = 0
        self.kept_log = ""
        n = self.number
        self.addresses = {4: f"10.70.{n}.1", 6: f"fd00:70:{n}::1"}
        self.client_addresses = {4: [f"10.7.{n}.{i + 1}" for i in range(interfaces)],
                                 6: [f"fd00:7:{n}::{i + 1:x}" for i in range(interfaces)]}
        info = lab.hosts[host]
        routes = []
        for peer in peers if peers is not None else [h for h in lab.hosts if h != host]:
            via = [lab.scion_address(peer)]
            m = int(peer[1:])
            routes += [{"to": to, "via": via} for family, to in
                       [(4, f"10.70.{m}.0/24"), (6, f"fd00:70:{m}::/64")] if family in apps]
        self.config = merge({
            "version": 1,
            "scion": {"daemon": info["daemon"]},
            "egress": {"namespace": self.ns_egress, "interfaces": interfaces,
                       "addresses": [p for f, p in [(4, f"10.7.{n}.0/24"), (6, f"fd00:7:{n}::/64")] if f in apps]},
            "ingress": {"namespace": self.ns_ingress, "address": [self.addresses[f] for f in apps],
                        "pool": [p for f, p in [(4, "10.64.0.0/16"), (6, "fd00:64::/64")] if f in apps]},
            "routes": routes,
            "state": self.state_dir,
            "control": self.control,
        }, config)
        self.write_config()
        daemons.append(self)
        opened(self)
        if start:
            try:
                self.start()
            except BaseException:
                self.close()
                raise

    def write_config(self):
        """After changes in self.config; JSON is YAML."""
        with open(self.config_file, "w", encoding="utf-8") as f:
            json.dump(self.config, f, indent=1)

    def argv(self, *more):
        return self.lab.inside(self.host, [os.path.join(self.build, "shila", self.program), "--config",
                                           self.config_file, "--log-level", self.log_level, *more])

    def start(self, wait=True):
        """Starts it; with wait until it is running."""
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, env=clean_environment(**self.env))
        if wait:
            self.wait_running()

    def wait_running(self, seconds=20):
        def running():
            if self.process.poll() is not None:
                raise Failed(f"shilad on {self.host} ended with {self.process.returncode}:\n{self.log()[-3000:]}")
            try:
                return self.rpc("status")["state"] == "running"
            except OSError:
                return False
        wait_for(running, seconds, f"shilad on {self.host} is running")

    def wait_paths(self, count, state="up", seconds=20):
        """Until it knows so many paths in that state (None: any)."""
        def there():
            return len([p for p in self.rpc("paths") if state is None or p["state"] == state]) >= count
        wait_for(there, seconds, f"{count} paths {state or ''} on {self.host}")

    def address(self, family=4):
        """Where its servers are reached."""
        return self.addresses[family]

    # -- asking and running --

    def rpc(self, method, **params):
        """The result of one call over the control socket."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method}
        if params:
            request["params"] = params
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.control)
            s.sendall(json.dumps(request).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                part = s.recv(1 << 16)
                if not part:
                    raise ConnectionError(f"{method}: the daemon closed the connection")
                answer += part
        answer = json.loads(answer)
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def counter(self, name):
        """A counter of `shila status`, also a drop.*."""
        status = self.rpc("status")
        return status["drops"].get(name, 0) if name.startswith("drop.") else status["counters"][name]

    def flows(self, **want):
        """The flows with these values: flows(role="sub", state="open")."""
        return [f for f in self.rpc("flows") if all(f[k] == v for k, v in want.items())]

    def cli(self, *args):
        """The command line of the `shila` program for this daemon."""
        return [os.path.join(self.build, "shila", "cli", "shila"), "--control", self.control, *args]

    def shila(self, *args, **options):
        return run(self.cli(*args), **options)

    def command(self, argv, ingress=False, mptcp=True):
        """The command line that runs argv in a namespace of this daemon, through `shila run`."""
        return self.cli("run", *(["--ingress"] if ingress else []), *([] if mptcp else ["--no-mptcp"]), "--",
                        *map(str, argv))

    def run(self, argv, ingress=False, seconds=30, check=True, mptcp=True, **options):
        """To its end: a subprocess.CompletedProcess with text."""
        return run(self.command(argv, ingress, mptcp), seconds, check, **options)

    def spawn(self, argv, ingress=False, mptcp=True, **options):
        """In the background: a Process."""
        return Process(self.command(argv, ingress, mptcp), **options)

    def traffic(self, *args, ingress=False, seconds=90, mptcp=True):
        """A client of tests/tools/traffic.py to its end: its answer, a dict."""
        return traffic_answer(self.run([sys.executable, "-B", TRAFFIC, *args], ingress, seconds, mptcp=mptcp).stdout)

    def spawn_traffic(self, *args, ingress=False, mptcp=True):
        """The same in the background: a Process; traffic_answer(p.finish()) is its answer."""
        return self.spawn([sys.executable, "-B", TRAFFIC, *args], ingress, mptcp)

    def ping(self, address, *options, count=1):
        """Echoes that all come back."""
        def echoes():
            p = self.run(["ping", "-c", count, "-i", "0.2", "-W", 5, *options, address], check=False)
            if " 0% packet loss" not in p.stdout:
                raise Failed(f"not {count} echoes from {address}:\n{p.stdout}{p.stderr}")
        asked_again(echoes)

    def serve(self, port=8000, udp=False):
        """Starts the server of tests/tools/traffic.py in the ingress namespace: a Process."""
        p = self.spawn_traffic("udp-server" if udp else "server", port, ingress=True)
        self.wait_listening(port, "udp" if udp else "tcp")
        return p

    def wait_listening(self, port, protocol="tcp", ingress=True, seconds=10):
        """Until a program in the ingress (or egress) namespace has the port."""
        where = self.ns_ingress if ingress else self.ns_egress
        option = "-Hltn" if protocol == "tcp" else "-Hlun"
        wait_for(lambda: run(in_netns(where, ["ss", option, f"sport = {port}"])).stdout.strip(), seconds,
                 f"{protocol} port {port} in {where}")

    def nstat(self, ingress=False):
        return nstat(self.ns_ingress if ingress else self.ns_egress)

    # -- the log --

    def log(self, all_of_it=False):
        """What it logged in this test."""
        try:
            with open(self.log_file, encoding="utf-8", errors="replace") as f:
                self.kept_log = f.read()
        except OSError:
            pass
        return self.kept_log if all_of_it else self.kept_log[self.log_seen:]

    def log_mark(self):
        self.log_seen = 0
        self.log_seen = len(self.log())

    def check_log(self):
        """Fails for the first new report of a sanitizer."""
        found = SANITIZERS.search(self.log(True), self.log_checked)
        self.log_checked = len(self.kept_log)
        if found:
            start = max(0, found.start() - 100)
            raise Failed(f"shilad on {self.host}:\n{self.kept_log[start:start + 2000]}")

    # -- the end --

    def send_signal(self, number):
        self.process.send_signal(number)

    def _wait_end(self, seconds):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"shilad on {self.host} did not end within {seconds} s:\n{self.log()[-3000:]}") from None
        self.process = None
        self.check_log()
        if code != 0:
            raise Failed(f"shilad on {self.host} ended with {code}:\n{self.log()[-3000:]}")

    def stop(self, how=signal.SIGINT, seconds=15):
        """Ends it on purpose (a signal, or "stop" for `shila stop`) and checks that it was a clean end."""
        if self.process is None:
            return
        if how == "stop":
            self.shila("stop")
        elif self.process.poll() is None:
            self.process.send_signal(how)
        self._wait_end(seconds)
        self.check_nothing_left()

    def detach(self, seconds=15):
        """SIGTERM: namespaces, devices and connections wait for the next start()."""
        self.process.send_signal(signal.SIGTERM)
        self._wait_end(seconds)

    def kill(self):
        """SIGKILL: everything that it made stays."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)
        self.process = None

    def clean(self, check=True):
        """shilad --clean"""
        return run(self.argv("--clean"), check=check)

    def left(self):
        """What is there of this daemon although it does not run: names."""
        names = [f"/run/netns/{n}" for n in (self.ns_egress, self.ns_ingress)] + [self.control, self.state_dir]
        names = [n for n in names if os.path.lexists(n)]
        devices = run(self.lab.inside(self.host, ["ip", "-o", "link"])).stdout
        names += re.findall(r"shila-\w+", devices)
        sockets = run(self.lab.inside(self.host, ["ss", "-Hlnup"])).stdout
        return names + [line for line in sockets.splitlines() if '"shilad"' in line]

    def check_nothing_left(self):
        left = self.left()
        if left:
            raise Failed(f"shilad on {self.host} left behind: {left}")

    def close(self):
        """As stop(), but whatever happened before; never leaves anything."""
        if not is_open(self):
            return
        closed(self)
        try:
            if self.process and self.process.poll() is None:
                self.stop()
            elif self.process:
                self.check_log()
                raise Failed(f"shilad on {self.host} had ended with {self.process.returncode}:\n"
                             f"{self.log()[-3000:]}")
        finally:
            self.kill()
            self.log(True)
            if os.path.isdir(self.state_dir):
                self.clean(check=False)
            for name in (self.ns_egress, self.ns_ingress):
                if os.path.exists(f"/run/netns/{name}"):
                    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            shutil.rmtree(self.dir, ignore_errors=True)


class Pair:
    """A lab and a daemon on each of its first two hosts, as .h1 and .h2.

    Options: those of Lab; apps, interfaces, log_level and build of Shilad; config for both daemons, config1
    and config2 for one. expect: paths to wait for (default: as many as the lab has). When it returns, h1
    (the usual client) has all paths up with a measured RTT, h2 knows all; both_up=True waits for h2 too,
    which takes 5 s more.
    """

    def __init__(self, config=None, config1=None, config2=None, apps=(4, 6), interfaces=3, log_level="debug",
                 build=None, expect=None, both_up=False, **lab):
        self.lab = Lab(**lab)
        opened(self)
        try:
            options = {"apps": apps, "interfaces": interfaces, "log_level": log_level, "build": build}
            # The server first: the first probes of the client find it.
            self.h2 = Shilad(self.lab, "h2", merge(copy.deepcopy(config or {}), config2), **options)
            self.h1 = Shilad(self.lab, "h1", merge(copy.deepcopy(config or {}), config1), **options)
            count = self.lab.info["paths_expected"] if expect is None else expect
            self.h1.wait_paths(count)
            self.h2.wait_paths(count, "up" if both_up else None)
        except BaseException:
            self.close()
            raise

    def close(self):
        closed(self)
        try:
            for h in (getattr(self, "h1", None), getattr(self, "h2", None)):
                if h:
                    h.close()
        finally:
            self.lab.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
