# SPDX-License-Identifier: Apache-2.0
"""docs/performance.md: the tables of a run, between two marks; what is written by hand stays."""

import os
import textwrap

from . import ROOT
from .bed import SET_UPS
from .report import all_tables, goal_lines

PATH = os.path.join(ROOT, "docs", "performance.md")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NEW = f"# Performance\n\n{BEGIN}\n{END}\n"


def markdown(lines):
    """A table; the first column to the left, the others to the right."""
    out = ["| " + " | ".join(lines[0]) + " |", "| --- |" + " ---: |" * (len(lines[0]) - 1)]
    return out + ["| " + " | ".join(line) + " |" for line in lines[1:]]


def conditions(bench, result):
    m = result["machine"]
    text = (f"{m['cpu']}, {m['cpus']} CPUs{' of a virtual machine' if m['virtual'] else ''}, {m['memory_gib']} GiB, Linux "
            f"{m['kernel']}, {m['iperf3']}, commit {m['commit']}, {result['date']}. `{result['command']}`: "
            f"{result['repetitions']} repetitions; hosts, daemons, servers and clients all share the CPUs.")
    out = [textwrap.fill(text, 120, break_on_hyphens=False), "", "| contender | | version |", "| --- | --- | --- |"]
    out += [f"| {c.name} | {c.what} | {result['versions'].get(c.name) or ''} |" for c in bench.contenders
            if c.name in result["versions"]]
    out += ["", "| set-up | |", "| --- | --- |"] + [f"| {s} | {SET_UPS[s]} |" for s in bench.options.set_ups]
    out += ["\n" + textwrap.fill(f"{name}: {note}.", 120) for name, note in result["notes"].items()]
    return out


def measured(bench, result, wanted):
    out = ["## Conditions", "", *conditions(bench, result)]
    if wanted:
        out += ["", "## What is wanted, and what was seen", "", *markdown(goal_lines(wanted))]
    before = None
    for m, set_up, text, lines in all_tables(bench):
        if m is not before:
            what = m.WHAT[0].upper() + m.WHAT[1:]
            out += ["", f"## {what}", "", f"    scripts/bench --only {m.NAME}"]
            before = m
        out += ["", *markdown([[f"**{set_up}**: {text}", *lines[0][1:]], *lines[1:]])]
    if bench.figures.failures:
        out += ["", "## What failed", ""]
        out += [f"* {m}, {s}, {what}: {error.splitlines()[0]}" for m, s, what, error in bench.figures.failures]
    return out


def write(bench, result, wanted, path=PATH):
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read()
    except FileNotFoundError:
        text = NEW
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no {BEGIN} or {END}")
    with open(path, "w", encoding="utf-8") as f:
        f.write(head + BEGIN + "\n\n" + "\n".join(measured(bench, result, wanted)) + "\n\n" + END + tail)
