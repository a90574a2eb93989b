# SPDX-License-Identifier: Apache-2.0
import argparse
import json
import os
import sys
import time

from . import document, report
from .bed import SET_UPS
from .contender import all_contenders
from .goals import goals
from .machine import machine
from .measurements import ALL, throughput
from .profile import Profile
from .progress import Progress
from .run import Bench

REPETITIONS = 5
MOST_SECONDS = 3600


def options_of(argv):
    p = argparse.ArgumentParser(prog="scripts/bench", description="Measures shila beside the alternatives.")
    p.add_argument("--quick", action="store_true", help="one short repetition of the main things: an impression")
    p.add_argument("--list", action="store_true", help="measurements, contenders and set-ups")
    p.add_argument("--only", metavar="NAME,...", action="append", default=[],
                   help="these measurements, contenders, set-ups only (a contender: besides what its ratios are to)")
    p.add_argument("--repetitions", metavar="N", type=int, help=f"default: {REPETITIONS}, with --quick 1")
    p.add_argument("--seconds", metavar="S", type=float, help="of each run, instead of what is usual for it")
    p.add_argument("--json", metavar="FILE", help="all figures (-: standard output, and no tables)")
    p.add_argument("--profile", metavar="FILE", nargs="?", const="perf-shila.txt",
                   help="perf report of the whole machine while shila carries data (default: perf-shila.txt)")
    p.add_argument("--write-docs", action="store_true", help="put the tables into docs/performance.md, in place of those of the same measurements")
    p.add_argument("--verbose", action="store_true", help="say more when something fails")
    p.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = p.parse_args(argv)
    if options.repetitions is None:
        options.repetitions = 1 if options.quick else REPETITIONS
    if options.repetitions < 1:
        p.error("--repetitions: at least 1")
    if options.seconds is not None and not 0 < options.seconds <= MOST_SECONDS:
        p.error(f"--seconds: more than 0, at most {MOST_SECONDS}")
    for name, path in (("--json", options.json), ("--profile", options.profile)):
        if path and path != "-" and not writable(path):
            p.error(f"{name}: cannot write {path}")
    contenders, measurements = chosen(p, options)
    if options.profile and Profile.missing():
        p.error(f"--profile: {Profile.missing()}")
    if options.profile and not any(Profile.looks_at(c) and c.takes_part(throughput, s)
                                   for c in contenders for s in options.set_ups if throughput in measurements):
        p.error("--profile: shila's throughput is not among what --only names")
    return options, contenders, measurements


def writable(path):
    """Told now, rather than when there is something to write."""
    folder = os.path.dirname(os.path.abspath(path))
    return os.access(path, os.W_OK) and not os.path.isdir(path) if os.path.exists(path) else os.access(folder, os.W_OK)


def chosen(p, options):
    """(contenders, measurements) that --only leaves; the set-ups are in the options then."""
    contenders, measurements = all_contenders(), list(ALL)
    options.set_ups = list(SET_UPS)
    names = [n for part in options.only for n in part.split(",") if n]
    if options.only and not names:
        p.error("--only: a name is needed")
    known = [{c.name for c in contenders}, {m.NAME for m in measurements}, set(SET_UPS)]
    for n in names:
        if not any(n in k for k in known):
            p.error(f"--only: no {n}; there are {', '.join(sorted(set.union(*known)))}")
    wanted = [[n for n in names if n in k] for k in known]
    if wanted[1]:
        measurements = [m for m in measurements if m.NAME in wanted[1]]
    if options.write_docs and (wanted[0] or wanted[2]):
        p.error("--write-docs: whole measurements only, not some contenders or set-ups")
    if wanted[2]:
        options.set_ups = [s for s in SET_UPS if s in wanted[2]]
    contenders = [c for c in contenders if any(c.takes_part(m, s) for m in measurements for s in options.set_ups)]
    for n in wanted[0]:
        if n not in [c.name for c in contenders]:
            p.error(f"--only: {n} takes no part in that, see scripts/bench --list")
    if wanted[0]:
        bases = {b for c in contenders if c.name in wanted[0] for b in (c.base, "tcp", "generator")}
        contenders = [c for c in contenders if c.name in bases | set(wanted[0])]
    if not contenders:
        p.error("--only: nobody takes part in that, see scripts/bench --list")
    return contenders, measurements


def show_list(contenders, measurements):
    for title, rows in (("measurements", [(m.NAME, m.WHAT) for m in measurements]),
                        ("contenders", [(c.name, c.what + (f" (not here: {c.missing()})" if c.missing() else ""))
                                        for c in contenders]),
                        ("set-ups", SET_UPS.items())):
        print(f"{title}:")
        for name, what in rows:
            print(f"  {name:<14} {what}")


def command(options):
    """What makes the same figures again."""
    parts = ["scripts/bench", "--quick" if options.quick else "", *(f"--only {o}" for o in options.only),
             f"--seconds {options.seconds:g}" if options.seconds else "",
             f"--repetitions {options.repetitions}" if options.repetitions != REPETITIONS else ""]
    return " ".join(p for p in parts if p)


def give_back(path):
    """What root wrote belongs to whom called sudo."""
    if os.geteuid() == 0 and os.environ.get("SUDO_UID"):
        os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", -1)))


def main(argv):
    options, contenders, measurements = options_of(argv)
    if options.check:
        return 0
    if options.list:
        show_list(contenders, measurements)
        return 0
    progress = Progress()
    here, missing = [], {}
    for c in contenders:
        if c.missing():
            progress.say(f"without {c.name}: {c.missing()}")
            missing[c.name] = f"not measured: {c.missing()}"
        else:
            here.append(c)
    bench = Bench(options, here, measurements, progress)
    bench.notes.update(missing)
    interrupted = False
    try:
        bench.run()
    except KeyboardInterrupt:
        progress.end()
        print("bench: interrupted", file=sys.stderr)
        interrupted = True
    wanted = goals(bench.figures)
    result = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "command": command(options), "interrupted": interrupted,
              "versions": bench.versions,
              "notes": bench.notes, "repetitions": options.repetitions, "figures": bench.figures.as_json(), "goals": [vars(g) for g in wanted],
              "failures": bench.figures.failures}
    if options.json:
        text = json.dumps(result, indent=1) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            with open(options.json, "w", encoding="utf-8") as f:
                f.write(text)
            give_back(options.json)
    if options.json != "-":
        report.terminal(bench, result, wanted)
    if options.write_docs and not interrupted:
        document.write(bench, result, wanted)
        give_back(document.PATH)
    if bench.profile:
        give_back(bench.profile.path)
        print(f"profile: {bench.profile.path}", file=sys.stderr)
    if interrupted:
        return 130
    if not bench.figures.rows and not bench.figures.failures:
        print("bench: there was nothing to measure", file=sys.stderr)
        return 1
    return 1 if bench.figures.failures else 0
