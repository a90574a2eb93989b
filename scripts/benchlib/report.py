# SPDX-License-Identifier: Apache-2.0
"""Tables for the terminal."""

import os
import sys

from .bed import SET_UPS

BOLD, DIM, RED = "1", "2", "31"


def paint(text, code):
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return f"\033[{code}m{text}\033[0m"
    return text


def number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"


def cells(figures, bases, row, measurement):
    """One row of text: contender, first column with spread and ratios, medians of the others."""
    columns = measurement.COLUMNS
    out = [row.contender]
    derive = getattr(measurement, "derived", None)
    derived = derive(figures, row, bases.get(row.contender, ("tcp",))[-1]) if derive else {}
    for i, (name, _, digits) in enumerate(columns):
        spread = row.spread(name)
        text = number(row.median(name), digits)
        if i == 0:
            ratios = [(b, figures.ratio(row.measurement, row.set_up, row.case, row.contender, b, name))
                      for b in bases.get(row.contender, ()) if b != row.contender]
            ratios = [f"{r:.2f} {b}" for b, r in ratios if r is not None]
            out += [text, f"{number(spread[0], digits)}..{number(spread[1], digits)}" if spread else "",
                    ", ".join(ratios)]
        else:
            out.append(text or number(derived.get(name), digits))
    return out


def table(figures, bases, rows, measurement):
    """Lines of cells, the heading first; columns that nobody has are left out."""
    columns = measurement.COLUMNS
    lines = [["", columns[0][1], "min..max", "ratio to", *(c[1] for c in columns[1:])]]
    lines += [cells(figures, bases, r, measurement) for r in rows]
    used = [i for i in range(len(lines[0])) if i == 0 or any(line[i] for line in lines[1:])]
    return [[line[i] for i in used] for line in lines]


def all_tables(bench):
    """[(measurement, set-up, text of the case, lines of cells)]"""
    found = []
    for m in bench.measurements:
        for set_up in bench.options.set_ups:
            bases = {c.name: ["generator"] if set_up == "routers" else list(dict.fromkeys(("tcp", c.base)))
                     for c in bench.contenders}
            for rows in bench.figures.tables(m.NAME, set_up).values():
                found.append((m, set_up, rows[0].text, table(bench.figures, bases, rows, m)))
    return found


def goal_lines(wanted):
    """Lines of cells, the heading first."""
    return [["", "wanted", "seen", "met"]] + [[g.what, g.wanted, g.seen, "yes" if g.met else "NO"] for g in wanted]


def terminal(bench, result, wanted):
    before = None
    for m, set_up, text, lines in all_tables(bench):
        if (m, set_up) != before:
            print("\n" + paint(f"{m.NAME}, {set_up}: {SET_UPS[set_up]}", BOLD))
            before = (m, set_up)
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        for n, line in enumerate(lines):
            cell = [line[0] or text] if n == 0 else ["  " + line[0]]
            first = f"{cell[0]:<{max(len(text), widths[0] + 2)}}"
            print(paint(first + "".join(f"  {c:>{w}}" for c, w in zip(line[1:], widths[1:])), DIM if n == 0 else "0"))
    if wanted:
        lines = goal_lines(wanted)
        widths = [max(len(line[i]) for line in lines) for i in range(4)]
        print("\n" + paint("what is wanted", BOLD))
        for n, line in enumerate(lines):
            text = f"  {line[0]:<{widths[0]}}  {line[1]:<{widths[1]}}  {line[2]:>{widths[2]}}  {line[3]}"
            print(paint(text, DIM if n == 0 else RED if line[3] == "NO" else "0"))
        print()
    for name, note in result["notes"].items():
        print(f"{name}: {note}")
    for measurement, set_up, what, error in bench.figures.failures:
        print(f"failed: {measurement} {set_up} {what}: {error.splitlines()[0]}")
