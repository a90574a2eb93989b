# SPDX-License-Identifier: Apache-2.0
"""docs/performance.md: the tables of a run, between two marks; what is written by hand stays.

After a run of some measurements the tables of the others stay, too, and each of those that ran says when that was.
"""

import os
import textwrap

from . import ROOT
from .bed import SET_UPS
from .measurements import ALL
from .report import all_tables, goal_lines

PATH = os.path.join(ROOT, "docs", "performance.md")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NEW = f"# Performance\n\n{BEGIN}\n{END}\n"


def markdown(lines):
    """A table; the first column to the left, the others to the right."""
    out = ["| " + " | ".join(lines[0]) + " |", "| --- |" + " ---: |" * (len(lines[0]) - 1)]
    return out + ["| " + " | ".join(line) + " |" for line in lines[1:]]


def set_ups(bench):
    """Those that somebody took part in."""
    return [s for s in bench.options.set_ups if any(row.set_up == s for row in bench.figures.rows.values())]


def conditions(bench, result):
    m = result["machine"]
    text = (f"{m['cpu']}, {m['cpus']} CPUs{' of a virtual machine' if m['virtual'] else ''}, {m['memory_gib']} GiB, Linux "
            f"{m['kernel']}, {m['iperf3']}, commit {m['commit']}, {result['date']}. `{result['command']}`: "
            f"{result['repetitions']} repetitions; hosts, daemons, servers and clients all share the CPUs.")
    out = [textwrap.fill(text, 120, break_on_hyphens=False), "", "| contender | | version |", "| --- | --- | --- |"]
    out += [f"| {c.name} | {c.what} | {result['versions'].get(c.name) or ''} |" for c in bench.contenders
            if c.name in result["versions"]]
    out += ["", "| set-up | |", "| --- | --- |"] + [f"| {s} | {SET_UPS[s]} |" for s in set_ups(bench)]
    out += ["\n" + textwrap.fill(f"{name}: {note}.", 120) for name, note in result["notes"].items()]
    return out


CONDITIONS, GOALS, FAILED = "## Conditions", "## What is wanted, and what was seen", "## What failed"


def heading(measurement):
    return f"## {measurement.WHAT[0].upper()}{measurement.WHAT[1:]}"


def measured(bench, result, wanted):
    """{heading: lines below it}"""
    sections = {CONDITIONS: ["", *conditions(bench, result)]}
    if wanted:
        sections[GOALS] = ["", *markdown(goal_lines(wanted))]
    for m, set_up, text, lines in all_tables(bench):
        section = sections.setdefault(heading(m), ["", f"    scripts/bench --only {m.NAME}"])
        section += ["", *markdown([[f"**{set_up}**: {text}", *lines[0][1:]], *lines[1:]])]
    if bench.figures.failures:
        sections[FAILED] = ["", *(f"* {m}, {s}, {what}: {error.splitlines()[0]}"
                                  for m, s, what, error in bench.figures.failures)]
    return sections


def parsed(text):
    """What measured() gave once."""
    sections, lines = {}, []
    for line in text.strip().splitlines():
        if line.startswith("## "):
            lines = sections.setdefault(line, [])
        else:
            lines.append(line)
    return {h: lines[:-1] if lines and not lines[-1] else lines for h, lines in sections.items()}


def first_cell(line):
    return line.split("|")[1].strip()


def merged(old, new, order):
    """The sections of a run of some measurements among those of an earlier one, in the order of headings."""
    if CONDITIONS not in old:
        return new
    out = {CONDITIONS: old[CONDITIONS], GOALS: old.get(GOALS, [])}
    if GOALS in new:
        goals = {first_cell(line): line for line in [*out[GOALS], *new[GOALS]] if line}
        out[GOALS] = ["", *goals.values()]
    for h in order:
        if h in new:
            out[h] = [*new[h][:2], *new[CONDITIONS], *new[h][2:]]
        elif h in old:
            out[h] = old[h]
    if FAILED in new:
        out[FAILED] = new[FAILED]
    return out


def write(bench, result, wanted, path=PATH):
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read()
    except FileNotFoundError:
        text = NEW
    head, begin, rest = text.partition(BEGIN)
    old, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no {BEGIN} or {END}")
    sections = measured(bench, result, wanted)
    if [m for m in ALL if m not in bench.measurements]:
        sections = merged(parsed(old), sections, [heading(m) for m in ALL])
    text = "\n\n".join("\n".join([h, *lines]) for h, lines in sections.items())
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}")
