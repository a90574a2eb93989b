#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The inside of scripts/test: `runner.py build|run|list [PART or NAME...]`.

`build` makes the builds that the parts need, as the user; `run` runs the tests, as root.

Tests are of two kinds: those that meson knows, and methods of Python modules in tests/lab,
tests/system and tests/long. Each class of those runs in a process of its own.

System tests run on build-asan/, two classes at once, since they mostly wait. Modules and classes with
NEEDS_PLAIN_BUILD = True run on build/, and last and alone, because they measure; those with COUNTS = True
do not (they look at bytes or calls, not at time), and run beside the others.
"""

import concurrent.futures
import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True

TESTS = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(TESTS)
IN_CI = os.environ.get("CI", "") not in ("", "0", "false")
MODULE_TIMEOUT_S = 900
LONG_TIMEOUT_S = 12 * 3600
JOBS = 2  # classes of functional system and lab tests at once: with three, or the fuzzers beside them, time-outs pass on two cores
UNIT_JOBS = 3  # some of them wait, too
# These take longest (15 s or more when last measured): they begin first, so that none is left alone.
LONGEST = ["test_renewal", "test_faults.Short", "test_programs", "test_many.Parking", "test_disjoint",
           "test_restart.Restarts", "test_scion_daemon", "test_packets", "test_cut", "test_lab", "test_hostile_peer",
           "test_many", "test_several", "test_services", "test_refusals", "test_restart", "test_hostile", "test_routers",
           "test_faults", "test_datagram"]
# Classes whose tests have nothing in common: so many processes for them.
SHARES = {"test_lab.Lab": 3}

# name: (options of meson, environment, targets: all of them unless named)
BUILDS = {
    "build": ([], {}, []),
    "build-asan": (["-Db_sanitize=address,undefined", "-Db_lundef=false"], {}, []),
    "build-tsan": (["-Db_sanitize=thread", "-Db_lundef=false"], {}, ["shila/shilad", "shila/cli/shila", "tests/many"]),
    "build-fuzz": (["-Dfuzz=true"], {"CC": "clang"}, ["fuzzers"]),
}
# part: builds that it needs
PARTS = {
    "unit": ["build", "build-asan"],
    "fuzz": ["build-fuzz"],
    "lab": ["build"],
    "system": ["build", "build-asan"],
    "tsan": ["build-tsan"],
    "long": ["build"],
}
DEFAULT = ["unit", "fuzz", "lab", "system", "tsan"]
FOLDERS = {"lab": "lab", "system": "system", "long": "long"}
FUNCTIONAL, COUNTED, MEASURED = "functional", "counted", "measured"
# What runs under the thread sanitizer: a transfer with a link that is cut, and many connections.
TSAN_TESTS = ["test_cut.Cut.test_cut_during_download", "test_several.SeveralHosts.test_many_connections",
              "test_many.Workers.test_rings_of_two"]

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


def color(code, text):
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


_saying = threading.Lock()


def say(text):
    with _saying:
        print(text, flush=True)


@contextlib.contextmanager
def part_of_the_time(what):
    """Says how long it took by the clock on the wall: tests run beside each other."""
    began = time.monotonic()
    yield
    say(f"-- {what}: {time.monotonic() - began:.0f} s")


class Counts(dict):
    def __init__(self):
        super().__init__({PASSED: 0, FAILED: 0, SKIPPED: 0})
        self.bad = []
        self.lock = threading.Lock()

    def add(self, name, result, seconds, detail=""):
        if result == SKIPPED and IN_CI:
            result, detail = FAILED, f"skipped, which CI does not allow: {detail}"
        with self.lock:
            self[result] += 1
            if result == FAILED:
                self.bad.append(name)
        shown = {PASSED: color(32, "ok  "), FAILED: color(31, "FAIL"), SKIPPED: color(33, "skip")}[result]
        say(f"{shown} {seconds:6.1f} s  {name}" + (f"  ({detail})" if detail and result != PASSED else ""))


# ---- what there is ----

def python_files(folder):
    path = os.path.join(TESTS, FOLDERS[folder])
    if not os.path.isdir(path):
        return []
    return sorted(os.path.join(path, f) for f in os.listdir(path) if re.fullmatch(r"test_\w+\.py", f))


def module_name(path):
    return os.path.basename(path)[:-3]


def load(path):
    """The module of a test file."""
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location(module_name(path), path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def flatten(suite):
    for t in suite:
        if isinstance(t, unittest.TestSuite):
            yield from flatten(t)
        else:
            yield t


def tests_of(path):
    return list(flatten(unittest.defaultTestLoader.loadTestsFromModule(load(path))))


def full_name(path, test):
    """test_cut.Cut.test_restore, as names are given on the command line."""
    return ".".join([module_name(path), *test.id().split(".")[-2:]])


def kind_of(test):
    def says(name):
        return bool(getattr(type(test), name, getattr(sys.modules[type(test).__module__], name, False)))
    return FUNCTIONAL if not says("NEEDS_PLAIN_BUILD") else COUNTED if says("COUNTS") else MEASURED


def selects(wanted, name):
    """Whether a name of the command line (module, module.Class, ...) means this test."""
    return not wanted or any(name == w or name.startswith(w + ".") for w in wanted)


def meson_names():
    """Names of the tests in build/, or what is registered if nothing is built yet."""
    p = subprocess.run(["meson", "introspect", "--tests", os.path.join(ROOT, "build")], capture_output=True,
                       text=True, check=False)
    return [t["name"] for t in json.loads(p.stdout)] if p.returncode == 0 else None


class Plan:
    """What the command line asks for."""

    def __init__(self, args):
        self.parts = [p for p in PARTS if p in args]
        self.python = {}  # part: names
        self.meson = []
        names = [a for a in args if a not in PARTS]
        if not args:
            self.parts = list(DEFAULT)
        for name in names:
            module = name.split(".")[0]
            for part in FOLDERS:
                if any(module_name(f) == module for f in python_files(part)):
                    self.python.setdefault(part, []).append(name)
                    break
            else:
                if name.startswith("-"):
                    sys.exit(f"test: no option {name}; scripts/test --help")
                self.meson.append(name)

    def builds(self):
        wanted = {b for part in [*self.parts, *self.python] for b in PARTS[part]}
        if self.meson:
            wanted.add("build")
            wanted.add("build-fuzz" if any(n.startswith("fuzz/") for n in self.meson) else "build-asan")
        return [b for b in BUILDS if b in wanted]


# ---- build ----

def build(plan):
    for name in plan.builds():
        options, env, targets = BUILDS[name]
        directory = os.path.join(ROOT, name)
        began = time.monotonic()
        steps = []
        if not os.path.exists(os.path.join(directory, "build.ninja")):
            steps.append(["meson", "setup", directory, ROOT, *options])
        steps.append(["ninja", "-C", directory, *targets])
        for step in steps:
            p = subprocess.run(step, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
            if p.returncode != 0:
                say(p.stdout[-8000:])
                say(f"{color(31, 'FAIL')} {time.monotonic() - began:6.1f} s  {name}: {' '.join(step[:2])}")
                say("0 passed, 1 failed, 0 skipped")
                return 1
        say(f"{color(32, 'ok  ')} {time.monotonic() - began:6.1f} s  built {name}")
    known = meson_names() or []
    for name in plan.meson:
        if name not in known:
            say(f"test: no part or test {name}; scripts/test --list shows all")
            return 2
    return 0


# ---- what runs now ----

_children = set()
_interrupted = threading.Event()


def end_child(p):
    """It cleans up first, and may still write to the pipe."""
    p.terminate()
    try:
        p.wait(60)
    except subprocess.TimeoutExpired:
        p.kill()


def end_all():
    _interrupted.set()
    for p in list(_children):
        end_child(p)


# ---- tests of meson ----

# " 3/32 shila:unit / wire/frame OK  0.01s", with other versions of meson without the suite
LINE = re.compile(r"^\s*\d+/\d+ (?:.* (?:/|-) )?(?:shila:)?(\S+)\s+"
                  r"(OK|FAIL|SKIP|TIMEOUT|ERROR|EXPECTEDFAIL|UNEXPECTEDPASS|INTERRUPT)\s+([\d.]+)\s*s")


def logged(directory):
    """name: its entry in the log of the last run."""
    entries = {}
    try:
        with open(os.path.join(directory, "meson-logs", "testlog.json"), encoding="utf-8") as f:
            for line in f:
                e = json.loads(line)
                entries[e["name"].split(":")[-1].split(" / ")[-1]] = e
    except (OSError, ValueError):
        pass
    return entries


def text_of(entry, lines=40):
    text = "\n".join(filter(None, [entry.get("stdout", ""), entry.get("stderr", "")])).strip()
    return "\n".join(text.splitlines()[-lines:])


def meson(counts, name, args, jobs, label):
    directory = os.path.join(ROOT, name)
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
           "PYTHONDONTWRITEBYTECODE": "1"}
    argv = ["meson", "test", "-C", directory, "--no-rebuild", "--num-processes", str(jobs), "--timeout-multiplier",
            "3", *args]
    p = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    _children.add(p)
    seen, bad, output = 0, 0, []
    for line in p.stdout:
        output.append(line)
        found = LINE.match(line)
        if not found:
            continue
        seen += 1
        test, result, seconds = found.group(1), found.group(2), float(found.group(3))
        if result in ("OK", "EXPECTEDFAIL"):
            counts.add(f"{label} {test}", PASSED, seconds)
        else:
            detail = text_of(logged(directory).get(test, {}))
            if result == "SKIP":
                counts.add(f"{label} {test}", SKIPPED, seconds, detail.splitlines()[-1] if detail else "exit code 77")
            else:
                bad += 1
                counts.add(f"{label} {test}", FAILED, seconds, result.lower())
                say(detail)
    p.wait()
    _children.discard(p)
    if _interrupted.is_set():
        return
    if not seen or (p.returncode != 0 and not bad):
        counts.add(f"{label} meson test", FAILED, 0, f"exit code {p.returncode}")
        say("".join(output[-30:]))
    give_back(directory)


def give_back(directory):
    """Under sudo: the logs belong to whom the build belongs to."""
    owner = os.stat(directory)
    if os.geteuid() == 0 and owner.st_uid != 0:
        for base, _, files in os.walk(directory):
            for path in [base, *(os.path.join(base, f) for f in files)]:
                if os.lstat(path).st_uid == 0:
                    os.lchown(path, owner.st_uid, owner.st_gid)


# ---- tests in Python ----


def described(part):
    """[(file, [(name, kind)...])...] of all tests of a part. Another process loads the modules: they change it."""
    p = subprocess.run([sys.executable, "-B", __file__, "names", part], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(p.stdout)


def names(part):
    found = []
    for path in python_files(part):
        try:
            found.append((path, [(full_name(path, t), kind_of(t)) for t in tests_of(path)]))
        except Exception:  # who runs it says why
            found.append((path, [(module_name(path), FUNCTIONAL)]))
    print(json.dumps(found))


def length_of(item):
    """Its place in LONGEST, by the most exact name."""
    own = item["names"][0]
    return next((place for name in (own.rsplit(".", 1)[0], own.split(".")[0])
                 for place, known in enumerate(LONGEST) if known == name), len(LONGEST))


def items_of(part, wanted):
    """What is run as one process: the tests of one class, or a share of them."""
    groups, seen = {}, {}
    for path, tests in described(part):
        for name, kind in tests:
            if selects(wanted, name):
                key = (path, name.rpartition(".")[0] or name, kind)
                number = seen[key] = seen.get(key, -1) + 1
                groups.setdefault((*key, number % SHARES.get(key[1], 1)), []).append(name)
    return [{"path": key[0], "names": value, "kind": key[2] if part == "system" else part}
            for key, value in groups.items()]


def run_items(counts, items, jobs, env, label="", timeout_s=MODULE_TIMEOUT_S):
    """So many at once, each in a lab of its own; env: a function of the item."""
    def one(item):
        if not _interrupted.is_set():
            python_file(counts, item["path"], item["names"], env(item), label, timeout_s)

    items = sorted(items, key=length_of) if jobs > 1 else items
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        done = [pool.submit(one, item) for item in items]
        try:
            for d in done:
                d.result()
        except BaseException:
            end_all()
            raise


def python_file(counts, path, names, env, label, timeout_s):
    """Some tests of a module in a process of its own."""
    read, write = os.pipe()
    argv = [sys.executable, "-B", __file__, "child", str(write), path, *names]
    p = subprocess.Popen(argv, env={**os.environ, **env}, pass_fds=[write], start_new_session=True)
    os.close(write)
    _children.add(p)
    finished = False
    timed_out = []

    def too_long():
        timed_out.append(True)
        end_child(p)

    timer = threading.Timer(timeout_s, too_long)
    timer.start()
    f = os.fdopen(read, encoding="utf-8")
    try:
        for line in f:
            e = json.loads(line)
            if "end" in e:
                finished = True
            else:
                counts.add(f"{label}{e['name']}", e["result"], e["seconds"], e["detail"])
                if e["text"]:
                    say(e["text"])
        p.wait()
    except BaseException:
        end_child(p)
        raise
    finally:
        timer.cancel()
        _children.discard(p)
        f.close()
    if not finished and not _interrupted.is_set():
        why = f"still running after {timeout_s} s" if timed_out else f"ended with {p.returncode}"
        counts.add(f"{label}{names[0].rpartition('.')[0] or module_name(path)}", FAILED, 0, why)


class Reporter(unittest.TestResult):
    """Sends each result to the parent as it comes."""

    def __init__(self, path, out):
        super().__init__()
        self.path, self.out = path, out
        self.began = time.monotonic()
        self.current = None

    def send(self, **what):
        self.out.write(json.dumps(what) + "\n")
        self.out.flush()

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.current = {"result": PASSED, "detail": "", "text": ""}

    def stopTest(self, test):
        super().stopTest(test)
        self.send(name=full_name(self.path, test), seconds=time.monotonic() - self.began, **self.current)
        self.current = None

    def _set(self, test, result, detail="", text=""):
        if self.current is None:  # setUpClass and the like: `test` is only a description
            self.send(name=f"{module_name(self.path)} {test.id()}", seconds=time.monotonic() - self.began,
                      result=result, detail=detail, text=text)
            self.began = time.monotonic()
        elif self.current["result"] != FAILED:
            self.current = {"result": result, "detail": detail, "text": text}
        elif text:
            self.current["text"] += "\n" + text

    def _failed(self, test, err):
        text = self._exc_info_to_string(err, test)
        self._set(test, FAILED, str(err[1]).strip().split("\n")[0][:200], text)

    def addError(self, test, err):
        super().addError(test, err)
        self._failed(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._set(test, FAILED, str(err[1]).strip().split("\n")[0][:200],
                      f"{subtest.id()}\n{self._exc_info_to_string(err, subtest)}")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._set(test, SKIPPED, reason)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._set(test, FAILED, "unexpected success")


def child(fd, path, names):
    with os.fdopen(int(fd), "w", encoding="utf-8") as out:
        result = Reporter(path, out)
        unittest.TestSuite(t for t in tests_of(path) if selects(names, full_name(path, t))).run(result)
        result.send(end=True)


def python_parts(counts, parts):
    """parts: {part: names, none: all}. First what does not measure; the rest is alone."""
    items = []
    for part, wanted in parts.items():
        found = items_of(part, wanted)
        for name in wanted:
            if not any(selects([name], n) for item in found for n in item["names"]):
                counts.add(name, FAILED, 0, "there is no such test")
        items += found
    together = [i for i in items if i["kind"] in ("lab", FUNCTIONAL, COUNTED)]
    if together:
        with part_of_the_time("lab and functional tests"):
            run_items(counts, together, JOBS,
                      lambda i: {"SHILA_BUILD": "build-asan" if i["kind"] == FUNCTIONAL else "build"})
    for kind, timeout_s in ((MEASURED, MODULE_TIMEOUT_S), ("long", LONG_TIMEOUT_S)):
        alone = [i for i in items if i["kind"] == kind]
        if alone:
            with part_of_the_time("tests that measure" if kind == MEASURED else kind):
                run_items(counts, alone, 1, lambda _: {"SHILA_BUILD": "build"}, timeout_s=timeout_s)


# ---- all of it ----

def run(plan):
    began = time.monotonic()
    counts = Counts()
    if os.geteuid() != 0:
        sys.exit("test: run needs root; use scripts/test")
    # The lab's programs that the user has built are found under sudo, too: scripts/lab-tools/build.
    try:
        if "unit" in plan.parts:
            say("== unit")
            for name in PARTS["unit"]:
                with part_of_the_time(f"unit tests of {name}"):
                    meson(counts, name, [], UNIT_JOBS, "asan" if name == "build-asan" else "plain")
        python = {**{part: [] for part in plan.parts if part in FOLDERS}, **plan.python}
        if "fuzz" in plan.parts:
            say("== fuzz")
            with part_of_the_time("fuzzers"):
                meson(counts, "build-fuzz", ["--suite", "fuzz"], 2, "libfuzzer")
        if python:
            say("== " + ", ".join(python))
            python_parts(counts, python)
        if "tsan" in plan.parts:
            say("== tsan")
            items = [{"path": os.path.join(TESTS, "system", name.split(".")[0] + ".py"), "names": [name]}
                     for name in TSAN_TESTS]
            with part_of_the_time("tests under the thread sanitizer"):
                run_items(counts, items, 1, lambda _: {"SHILA_BUILD": "build-tsan"}, "tsan ")
        if plan.meson:
            fuzzers = [n for n in plan.meson if n.startswith("fuzz/")]
            other = [n for n in plan.meson if not n.startswith("fuzz/")]
            if other:
                meson(counts, "build", other, 2, "plain")
                meson(counts, "build-asan", other, 2, "asan")
            if fuzzers:
                meson(counts, "build-fuzz", fuzzers, 2, "libfuzzer")
    except KeyboardInterrupt:
        counts.add("interrupted", FAILED, 0)
    if counts.bad:
        say("\nfailed:\n  " + "\n  ".join(counts.bad))
    say(f"{time.monotonic() - began:.0f} s")
    say(f"{counts[PASSED]} passed, {counts[FAILED]} failed, {counts[SKIPPED]} skipped")
    return 1 if counts[FAILED] else 0


def list_names():
    say("parts: " + ", ".join(PARTS))
    for name in meson_names() or ["(tests of meson: once build/ is there)"]:
        say(name)
    for part in FOLDERS:
        for path in python_files(part):
            for t in tests_of(path):
                kind = kind_of(t)
                say(full_name(path, t) + (f" ({kind}, plain build)" if kind != FUNCTIONAL and part == "system" else ""))
    return 0


def main(argv):
    os.chdir(ROOT)
    command, rest = argv[0], argv[1:]
    # A shell without job control starts what is in the background with SIGINT ignored, and that is inherited:
    # Ctrl-C in a test would go nowhere.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if command == "child":
        try:
            return child(rest[0], rest[1], rest[2:])
        except KeyboardInterrupt:  # the parent says so
            return 130
    if command == "list":
        return list_names()
    if command == "names":
        return names(rest[0])
    return build(Plan(rest)) if command == "build" else run(Plan(rest))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
