# SPDX-License-Identifier: Apache-2.0
"""Output: steps one below the other, and under them a picture that is drawn anew in place.

Without a terminal there is no picture and no colour; then `line()` is for what the picture shows.
"""

import os
import shutil
import signal
import sys
import time

from .stopping import Stopped

LINE_EVERY_S = 2.0
DRAW_EVERY_S = 0.25

COLORS = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2"}


class Screen:
    def __init__(self, started):
        self.started = started  # time.time() of the first line of scripts/demo
        self.live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.color = self.live and not os.environ.get("NO_COLOR")
        self.drawn = 0
        self.last = 0.0
        self.broken = False

    def paint(self, text, *styles):
        if not self.color or not styles or not text:
            return text
        return "".join(f"\033[{COLORS[s]}m" for s in styles) + text + "\033[0m"

    def _write(self, text):
        if self.broken:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            # `demo | head`, or the terminal is gone: the cleaning up must not fail by that
            self.broken = True
            sys.stdout = open(os.devnull, "w", encoding="utf-8")
            raise Stopped(signal.SIGPIPE) from None

    def say(self, text=""):
        """A line that stays, below the picture so far, which stays too."""
        self.drawn = 0
        self._write(f"{text}\n")

    def step(self, text, *styles):
        """A line that stays, with the time since the start."""
        self.say(f"{time.time() - self.started:6.1f} s  {self.paint(text, *styles)}")

    def title(self, text):
        self.last = 0.0 if self.live else time.monotonic()
        self.step(text, "bold")

    def progress(self, text):
        """A line that is replaced by whatever comes next. Not shown without a terminal."""
        if self.live:
            self.draw([f"          {text}"])
            self.last = 0.0

    def due(self):
        """Is it time for another picture or line?"""
        return time.monotonic() - self.last >= (DRAW_EVERY_S if self.live else LINE_EVERY_S)

    def draw(self, lines):
        """Replaces the picture; without a terminal nothing is done."""
        if not self.live:
            return
        size = shutil.get_terminal_size()
        # A line that wraps, or a picture higher than the screen, could not be drawn over.
        lines = [self._cut(line, size.columns - 1) for line in lines[:max(size.lines - 1, 1)]]
        up = f"\033[{self.drawn}A" if self.drawn else ""
        self._write(up + "\r\033[J" + "".join(f"{line}\n" for line in lines))
        self.drawn = len(lines)
        self.last = time.monotonic()

    def erase(self):
        """Removes the picture, where the next step makes it useless."""
        self.draw([])

    def line(self, text):
        """What there is instead of a picture."""
        if not self.live:
            self.say(f"{'':10}{text}")
            self.last = time.monotonic()

    @staticmethod
    def _cut(line, width):
        shown, i = 0, 0
        while i < len(line):
            if line[i] == "\033":  # colours take no room
                i = line.index("m", i) + 1
                continue
            if shown == width:
                return line[:i] + "\033[0m"
            shown, i = shown + 1, i + 1
        return line
