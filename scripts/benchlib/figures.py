# SPDX-License-Identifier: Apache-2.0
"""What was seen: values by measurement, set-up, case, contender and name."""

import statistics


class Row:
    """One contender in one case: {name of a value: [one for each repetition]}."""

    def __init__(self, measurement, set_up, case, contender, text):
        self.measurement, self.set_up, self.case, self.contender = measurement, set_up, case, contender
        self.text = text  # of the case
        self.values = {}

    def median(self, name):
        return statistics.median(self.values[name]) if self.values.get(name) else None

    def spread(self, name):
        """(least, most), or None."""
        return (min(self.values[name]), max(self.values[name])) if self.values.get(name) else None


class Figures:
    def __init__(self):
        self.rows = {}
        self.failures = []  # (measurement, set-up, step, what went wrong)

    def add(self, measurement, set_up, case, contender, values, text=""):
        key = (measurement, set_up, case, contender)
        row = self.rows.setdefault(key, Row(*key, text))
        for name, value in values.items():
            row.values.setdefault(name, []).append(value)

    def row(self, measurement, set_up, case, contender):
        return self.rows.get((measurement, set_up, case, contender))

    def median(self, measurement, set_up, case, contender, name):
        row = self.row(measurement, set_up, case, contender)
        return row.median(name) if row else None

    def ratio(self, measurement, set_up, case, contender, base, name):
        """Of two medians of this run; base: a contender, or (case, contender)."""
        base_case, base = base if isinstance(base, tuple) else (case, base)
        mine = self.median(measurement, set_up, case, contender, name)
        its = self.median(measurement, set_up, base_case, base, name)
        return mine / its if mine is not None and its else None

    def tables(self, measurement, set_up):
        """{case: [row of each contender]}, in the order in which they came."""
        found = {}
        for (m, s, case, _), row in self.rows.items():
            if (m, s) == (measurement, set_up):
                found.setdefault(case, []).append(row)
        return found

    def as_json(self):
        return [{"measurement": r.measurement, "set_up": r.set_up, "case": r.case, "contender": r.contender,
                 "values": r.values, "median": {n: r.median(n) for n in r.values}} for r in self.rows.values()]
