# SPDX-License-Identifier: Apache-2.0
"""Tables for the terminal."""

import os
import sys

from .bed import SET_UPS

BOLD, DIM = "1", "2"


def paint(text, code):
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return f"\033[{code}m{text}\033[0m"
    return text


def number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"


def cells(figures, bases, row, columns):
    """One row of text: contender, then for each column median and spread; ratio of the first column."""
    out = [row.contender]
    for i, (name, _, digits) in enumerate(columns):
        spread = row.spread(name)
        text = number(row.median(name), digits)
        if i == 0:
            ratios = [f"{figures.ratio(row.measurement, row.set_up, row.case, row.contender, b, name):.2f} {b}"
                      for b in bases.get(row.contender, ())
                      if b != row.contender and figures.row(row.measurement, row.set_up, row.case, b)]
            out += [text, f"{number(spread[0], digits)}..{number(spread[1], digits)}" if spread else "",
                    ", ".join(ratios)]
        else:
            out.append(text)
    return out


def table(figures, bases, rows, columns):
    heading = ["", columns[0][1], "min..max", "of", *(c[1] for c in columns[1:])]
    return [heading] + [cells(figures, bases, r, columns) for r in rows]


def all_tables(bench):
    """[(measurement, set-up, text of the case, lines of cells)]"""
    bases = {c.name: list(dict.fromkeys(("tcp", c.base))) for c in bench.contenders}
    found = []
    for m in bench.measurements:
        for set_up in bench.options.set_ups:
            for rows in bench.figures.tables(m.NAME, set_up).values():
                found.append((m, set_up, rows[0].text, table(bench.figures, bases, rows, m.COLUMNS)))
    return found


def terminal(bench, result):
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
    for name, note in result["notes"].items():
        print(f"{name}: {note}")
    for measurement, set_up, what, error in bench.figures.failures:
        print(f"failed: {measurement} {set_up} {what}: {error.splitlines()[0]}")
