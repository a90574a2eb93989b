# SPDX-License-Identifier: Apache-2.0
"""How far it is: a line that changes in place on a terminal, else a line now and then. All on stderr."""

import os
import shutil
import sys
import time

LINE_EVERY_S = 15.0


class Progress:
    def __init__(self):
        self.live = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.total = self.planned = 0.0  # seconds as planned: all, those of the steps before this one
        self.now = 0.0  # of this step
        self.started = time.monotonic()
        self.last = 0.0

    def begin(self, total):
        self.total, self.started = total, time.monotonic()

    def _left(self):
        """As planned, times how much longer than planned it took so far."""
        gone = time.monotonic() - self.started
        slower = gone / self.planned if self.planned > 20 else 1.0
        left = max(self.total - self.planned, 0) * slower
        return f"{left:.0f} s" if left < 100 else f"{left / 60:.0f} min"

    def step(self, text, seconds):
        self.planned += self.now
        self.now = seconds
        line = f"{100 * self.planned / max(self.total, 1):3.0f} %, {self._left()} left: {text}"
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r\033[K{line[:width]}")
        elif time.monotonic() - self.last > LINE_EVERY_S:
            self.last = time.monotonic()
            self._write(f"{line}\n")

    def say(self, text):
        """A line that stays."""
        self._write(("\r\033[K" if self.live else "") + f"{text}\n")

    def end(self):
        if self.live:
            self._write("\r\033[K")

    @staticmethod
    def _write(text):
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            pass
