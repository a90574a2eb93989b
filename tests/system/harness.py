# SPDX-License-Identifier: Apache-2.0
"""The real lab, real daemons and real programs for the tests of this folder. Needs root.

    from harness import *

    class Transfer(SystemTest):
        @classmethod
        def setUpClass(cls):
            cls.pair = cls.keep(Pair(topology="parallel", links=3))

        def test_something(self):
            p = self.pair
            p.h2.spawn(["iperf3", "-s", "-1"], ingress=True)
            p.h2.wait_listening(5201)
            p.h1.run(["iperf3", "-c", p.h2.address(4)])

A module or class with NEEDS_PLAIN_BUILD = True measures rates or times: scripts/test runs it last,
with nothing else running, on the build without sanitizers. With COUNTS = True as well it only counts
what a busy machine does not change, and runs beside others. Everything else runs on the build with
ASan and UBSan, beside others: wait for what is to happen (wait_for), do not sleep, and ask again
where a packet may be lost. The build is the folder in $SHILA_BUILD (default: build).

What a test starts is removed at the end of its test, class or module, and at the end of the program,
also after Ctrl-C. The logs of the daemons are shown when a test fails. To run one file by hand:

    SHILA_BUILD=build-asan tests/system/test_cut.py -v [Class.test]
"""

import atexit
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
import tempfile
import time
import unittest

sys.dont_write_bytecode = True

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOOLS = os.path.join(ROOT, "tests", "tools")
TRAFFIC = os.path.join(TOOLS, "traffic.py")
LAB = os.path.join(ROOT, "scripts", "lab")
BUILD = os.path.join(ROOT, os.environ.get("SHILA_BUILD", "build"))
LOG_LINES = 60

__all__ = ["BUILD", "LAB", "ROOT", "TOOLS", "TRAFFIC", "Failed", "Lab", "Pair", "Process", "SMALL_QUARANTINE", "Shilad", "SystemTest",
           "asked_again", "clean_environment", "kernel", "main", "nstat", "run", "show_logs", "spawn", "temporary",
           "traffic_answer", "wait_for"]

SANITIZERS = re.compile(r"(ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|"
                        r"AddressSanitizer:DEADLYSIGNAL).*")
_numbers = itertools.count(1)
_open = []  # what is to be closed, in order of its opening
_daemons = []  # also those that have ended, for their logs


class Failed(AssertionError):
    """Something is not as it must be; an AssertionError, so that unittest counts a failure."""


# For tests that look at memory: what ASan keeps of freed memory would hide what the daemon itself takes.
SMALL_QUARANTINE = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:handle_abort=1:quarantine_size_mb=8:"
                                    "thread_local_quarantine_size_kb=64"}


def clean_environment(**more):
    """The environment without what would make `shila run` give up root, or another daemon be asked."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("SUDO_") and k not in ("SCION_DAEMON", "NOTIFY_SOCKET", "LD_PRELOAD", "GODEBUG")}
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:exitcode=99:handle_abort=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.setdefault("TSAN_OPTIONS", "exitcode=99:suppressions=" + os.path.join(ROOT, "tests", "tsan.supp"))
    env.update(more)
    return env


def wait_for(condition, seconds=10, what=None, every=0.02):
    """Calls it until it returns something true, and returns that. No sleep is ever a guess."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what or condition}; last seen: {value!r}")
        time.sleep(every)


def asked_again(question, times=3):
    """For what routers may lose a packet of: the first good answer. The last attempt's failure is the result."""
    for last in [False] * (times - 1) + [True]:
        try:
            return question()
        except AssertionError:
            if last:
                raise


def temporary():
    """A directory that goes with the program."""
    path = tempfile.mkdtemp(prefix="shila-test-")
    os.chmod(path, 0o755)  # sshd and nginx give up root
    _open.append(_Directory(path))
    return path


class _Directory:
    def __init__(self, path):
        self.path = path

    def close(self):
        _forget(self)
        shutil.rmtree(self.path, ignore_errors=True)


def _forget(thing):
    if thing in _open:
        _open.remove(thing)


def _close_all():
    # A second Ctrl-C must not stop the cleaning up.
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_IGN)
    while _open:
        thing = _open[-1]  # still on the list: who is not takes itself for closed
        try:
            thing.close()
        except Exception as e:  # the rest is to be removed all the same
            print(f"while cleaning up: {e}", file=sys.stderr)
        _forget(thing)


def _interrupt(_number, _frame):
    # unittest would take SystemExit for the failure of one test, and go on
    raise KeyboardInterrupt


atexit.register(_close_all)
for _signal in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, _interrupt)


class Process(subprocess.Popen):
    """A program in the background: output in a file, killed with its children at the end."""

    def __init__(self, argv, **options):
        self.file = tempfile.TemporaryFile()  # a pipe could fill up
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("env", clean_environment())
        super().__init__(list(map(str, argv)), stdout=self.file, stderr=subprocess.STDOUT,
                         start_new_session=True, **options)
        self.text = None  # once it has ended
        _open.append(self)

    def output(self):
        if self.text is not None:
            return self.text
        return os.pread(self.file.fileno(), 1 << 24, 0).decode(errors="replace")

    def _ended(self):
        _forget(self)
        if self.text is None:
            self.text = self.output()
            self.file.close()

    def end_traffic(self, seconds=60):
        """A client of traffic.py that runs until SIGTERM: its answer, which must be good."""
        if self.poll() is not None:
            raise Failed(f"{self.args} has ended already:\n{self.output()[-3000:]}")
        self.send_signal(signal.SIGTERM)
        answer = traffic_answer(self.finish(seconds))
        if not answer["ok"]:
            raise Failed(f"{self.args}: {answer}")
        return answer

    def finish(self, seconds=30, code=0):
        """Waits for its end, checks the exit code (None: any), returns the output."""
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.close()
            raise Failed(f"{self.args}: still running after {seconds} s\n{self.output()[-3000:]}") from None
        self._ended()
        if code is not None and self.returncode != code:
            raise Failed(f"{self.args}: exit code {self.returncode}\n{self.output()[-3000:]}")
        return self.output()

    def close(self):
        if self.poll() is None:
            for sig, seconds in ((signal.SIGTERM, 2), (signal.SIGKILL, 5)):
                try:
                    os.killpg(self.pid, sig)
                    self.wait(seconds)
                    break
                except subprocess.TimeoutExpired:
                    continue
                except ProcessLookupError:
                    self.wait(5)
                    break
        self._ended()


spawn = Process


def run(argv, seconds=30, check=True, **options):
    options.setdefault("env", clean_environment())
    options.setdefault("stdin", subprocess.DEVNULL)
    try:
        p = subprocess.run(list(map(str, argv)), capture_output=True, text=True, errors="replace", check=False,
                           timeout=seconds, **options)
    except subprocess.TimeoutExpired as e:
        raise Failed(f"{argv}: still running after {seconds} s\n{e.stdout}\n{e.stderr}") from None
    if check and p.returncode != 0:
        raise Failed(f"{argv}: exit code {p.returncode}\n{p.stdout[-3000:]}{p.stderr[-3000:]}")
    return p


def _inside(netns, argv):
    return ["nsenter", f"--net=/run/netns/{netns}", *argv]


def traffic_answer(output):
    """What a client of traffic.py found out: the last line that it printed."""
    return json.loads(output.strip().splitlines()[-1])


def nstat(netns):
    """All counters of /proc/net/{snmp,snmp6,netstat} there, MPTcpExt with names like MPTcpExtMPRstRx."""
    p = run(_inside(netns, ["nstat", "-asz", "--json"]))
    return {k: int(v) for k, v in json.loads(p.stdout)["kernel"].items()}


def kernel(netns):
    """What a network namespace holds that a daemon could leave behind, as lines of text."""
    lines = set()
    for what in (["ip", "-o", "link"], ["ip", "rule"], ["ip", "-6", "rule"],
                 ["ip", "route", "show", "table", "all"], ["ip", "-6", "route", "show", "table", "all"],
                 ["ip", "mptcp", "endpoint"], ["ss", "-Hlntu"], ["ss", "-Hlnx"]):
        for line in run(_inside(netns, what)).stdout.splitlines():
            line = re.sub(r"\s+", " ", re.sub(r"expires \d+sec|qlen \d+|state \w+|<[^>]*>", "", line))
            # UNIX sockets belong to the machine: only what is a daemon of the tests
            if what[-1] != "-Hlnx" or "shila-test-" in line:
                lines.add(f"{' '.join(what)}: {line.strip()}")
    return lines


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
        _open.append(self)
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
        return _inside(self.netns(host), argv)

    def close(self):
        _forget(self)
        subprocess.run([LAB, "down", "--name", self.name], capture_output=True, check=False, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _merge(into, more):
    for key, value in (more or {}).items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
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
        self.config = _merge({
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
        _daemons.append(self)
        _open.append(self)
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
        wait_for(lambda: run(_inside(where, ["ss", option, f"sport = {port}"])).stdout.strip(), seconds,
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
        if self not in _open:
            return
        _forget(self)
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
        _open.append(self)
        try:
            options = {"apps": apps, "interfaces": interfaces, "log_level": log_level, "build": build}
            # The server first: the first probes of the client find it.
            self.h2 = Shilad(self.lab, "h2", _merge(copy.deepcopy(config or {}), config2), **options)
            self.h1 = Shilad(self.lab, "h1", _merge(copy.deepcopy(config or {}), config1), **options)
            count = self.lab.info["paths_expected"] if expect is None else expect
            self.h1.wait_paths(count)
            self.h2.wait_paths(count, "up" if both_up else None)
        except BaseException:
            self.close()
            raise

    def close(self):
        _forget(self)
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


def show_logs(lines=LOG_LINES):
    """The ends of the logs of all daemons of the running test, to stderr."""
    for d in _daemons:
        log = [line for line in d.log().splitlines() if not line.startswith("    #")]
        if log:
            print(f"--- shilad on {d.host}, last {min(lines, len(log))} of {len(log)} lines", file=sys.stderr)
            print("\n".join(log[-lines:]), file=sys.stderr)


class SystemTest(unittest.TestCase):
    """Shows the logs when a test fails, and removes what a test started."""

    maxDiff = None

    @classmethod
    def keep(cls, thing):
        """For setUpClass: closed after the last test of the class."""
        cls.addClassCleanup(thing.close)
        return thing

    def use(self, thing):
        """For a test: closed at its end."""
        self.addCleanup(thing.close)
        return thing

    def run(self, result=None):
        started = list(_open)
        for d in _daemons:
            d.log_mark()
        before = len(result.failures) + len(result.errors) if result else 0
        try:
            super().run(result)
        finally:
            if result and len(result.failures) + len(result.errors) > before:
                show_logs()
            for p in [p for p in _open if isinstance(p, Process) and p not in started]:
                p.close()

    def tearDown(self):
        for d in _daemons:
            if d in _open:
                d.check_log()


def main():
    """For `if __name__ == "__main__":` of a test file."""
    if os.geteuid() != 0:
        sys.exit("these tests need root: sudo " + " ".join(sys.argv))
    unittest.main(verbosity=2)
