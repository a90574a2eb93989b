# SPDX-License-Identifier: Apache-2.0
"""Runs the steps of all measurements, set-up by set-up, with progress."""

import time
import traceback

from . import cpu
from .bed import Bed, kind_of
from .figures import Figures
from .profile import Profile

BUSY = 0.2  # CPUs; what does more than the lab and idle contenders is no background to take off
START_S = {"local": 8.0, "routers": 12.0, "emulated": 8.0}  # lab and contenders


class Step:
    """Something short that is done once: do() adds to the figures."""

    def __init__(self, text, seconds, contender, do):
        self.text, self.seconds, self.contender, self.do = text, seconds, contender, do


class Bench:
    def __init__(self, options, contenders, measurements, progress):
        self.options = options
        self.contenders = contenders
        self.measurements = measurements
        self.progress = progress
        self.quick = options.quick
        self.repetitions = options.repetitions
        self.figures = Figures()
        self.profile = Profile(options.profile) if options.profile else None
        self.background = 0.0
        self.bed = None
        self.versions = {}
        self.notes = {}
        self.failed = set()  # names of contenders that did not start, by kind of bed

    def seconds(self, usual):
        """How long a run lasts that lasts so long usually."""
        return self.options.seconds or (1 if self.quick else usual)

    def plan(self, set_up):
        """[(measurement, steps)]"""
        plan = []
        for m in self.measurements:
            taking_part = [c for c in self.contenders if c.takes_part(m, set_up)]
            steps = m.steps(self, set_up, taking_part) if taking_part else []
            if steps:
                plan.append((m, steps))
        return plan

    def run(self):
        plans = {s: self.plan(s) for s in self.options.set_ups}
        plans = {s: p for s, p in plans.items() if p}
        kinds = dict.fromkeys(kind_of(s) for s in plans)
        total = sum(step.seconds for p in plans.values() for _, steps in p for step in steps)
        self.progress.begin(total + sum(START_S[k] for k in kinds))
        for kind in kinds:
            try:
                self._run_bed(kind, {s: p for s, p in plans.items() if kind_of(s) == kind})
            except Exception as e:  # what was seen on the other bed is kept
                self._failure("lab", kind, "start and stop", e)
        self.progress.end()

    def _run_bed(self, kind, plans):
        needed = {step.contender for p in plans.values() for _, steps in p for step in steps}
        started = []
        self.progress.step(f"starting: {kind}", START_S[kind])
        self.bed = Bed(kind, [c.hosts for c in self.contenders if c in needed])
        try:
            for c in [c for c in self.contenders if c in needed]:
                started.append(c)
                try:
                    c.start(self.bed)
                    self.versions[c.name] = c.version()
                except Exception as e:  # the others go on without it
                    self._failure("start", kind, c.name, e)
                    self.failed.add((kind, c.name))
            time.sleep(0.5)  # what was started comes to rest
            self._look_at_background()
            for set_up, plan in plans.items():
                self.bed.use(set_up)
                for measurement, steps in plan:
                    self._run_steps(kind, set_up, measurement, steps)
            for c in started:
                if c.note():
                    self.notes[c.name] = c.note()
        finally:
            for c in reversed(started):
                try:
                    c.stop()
                except Exception as e:
                    self._failure("stop", kind, c.name, e)
            bed, self.bed = self.bed, None
            bed.close()

    def _look_at_background(self):
        busy = cpu.background()
        self.background = busy if busy < BUSY else 0.0
        if busy >= BUSY:
            self.notes["machine"] = f"not quiet: {busy:.2f} CPUs were busy with other things before the runs"
            self.progress.say(self.notes["machine"])

    def _run_steps(self, kind, set_up, measurement, steps):
        for step in steps:
            self.progress.step(f"{set_up} {measurement.NAME} {step.text}", step.seconds)
            if (kind, step.contender.name) in self.failed:
                continue
            try:
                step.do()
            except Exception as e:
                self._failure(measurement.NAME, set_up, step.text, e)

    def _failure(self, measurement, set_up, text, error):
        self.figures.failures.append((measurement, set_up, text, str(error).strip() or repr(error)))
        self.progress.say(f"{measurement} {set_up} {text}: {error}")
        if self.options.verbose:
            self.progress.say(traceback.format_exc())
