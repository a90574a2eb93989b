# SPDX-License-Identifier: Apache-2.0
"""Programs: to their end, or in the background."""

import json
import os
import signal
import subprocess
import tempfile

from .cleanup import closed, opened
from .places import ROOT
from .waiting import Failed

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


class Process(subprocess.Popen):
    """A program in the background: output in a file, killed with its children at the end."""

    def __init__(self, argv, **options):
        self.file = tempfile.TemporaryFile()  # a pipe could fill up
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("env", clean_environment())
        super().__init__(list(map(str, argv)), stdout=self.file, stderr=subprocess.STDOUT,
                         start_new_session=True, **options)
        self.text = None  # once it has ended
        opened(self)

    def output(self):
        if self.text is not None:
            return self.text
        return os.pread(self.file.fileno(), 1 << 24, 0).decode(errors="replace")

    def _ended(self):
        closed(self)
        if self.text is None:
            self.text = self.output()
            self.file.close()

    def end_traffic(self, seconds=60):
        """A client of traffic.py that runs until SIGTERM: its answer, which must be good."""
        if self.poll() is not None:
            raise Failed(f"{self.args} has ended already:\n{self.output()[-3000:]}")
        self.send_signal(signal.SIGTERM)
        return self.good_answer(seconds)

    def good_answer(self, seconds=60):
        """A client of traffic.py that ends by itself: its answer, which must be good."""
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


def in_netns(netns, argv):
    return ["nsenter", f"--net=/run/netns/{netns}", *argv]


def traffic_answer(output):
    """What a client of traffic.py found out: the last line that it printed."""
    return json.loads(output.strip().splitlines()[-1])
