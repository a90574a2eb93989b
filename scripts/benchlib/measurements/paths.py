# SPDX-License-Identifier: Apache-2.0
"""One MPTCP connection over several paths: what it carries, what that costs, and what liveness takes of it.

The routers are emulated and in one process with their links; its CPU is shown beside that of the daemons. Of shaped links
"all" is what one of them carried in the same run, times their number.
"""

from ..cpu import Meter
from ..iperf import OMIT_S, run_case
from ..run import Step

NAME = "paths"
WHAT = "one MPTCP connection over several paths, emulated routers"
SET_UPS = ("emulated",)
MBIT = 300
UNLIMITED, LIMITED = (1, 2, 4, 8), (1, 3)
# {case: (direction, Mbit/s of a link, numbers of paths, text)}
CASES = {
    "up": ("up", None, UNLIMITED, "links without limit, to the server"),
    "down": ("down", None, UNLIMITED, "links without limit, from the server"),
    "limited-up": ("up", MBIT, LIMITED, f"links of {MBIT} Mbit/s, to the server"),
    "limited-down": ("down", MBIT, LIMITED, f"links of {MBIT} Mbit/s, from the server"),
}
QUICK = {("up", 1), ("up", 8), ("limited-up", 1), ("limited-up", 3)}
COLUMNS = [("gbit", "Gbit/s", 3), ("of_all", "of all, %", 1), ("machine", "CPU s/GB", 2),
           ("own", "of it the tunnel's", 2), ("routers", "the emulator's", 2), ("share", "its share, %", 0),
           ("liveness", "liveness, % of bytes", 4)]
OVERHEAD_S = 1.2


def steps(bench, _set_up, contenders):
    if bench.quick and not bench.options.only:
        return []  # a lab and ten daemons of its own take too long for an impression of everything
    seconds = bench.seconds(3)
    return [Step(f"{case} {c.name}", seconds + OMIT_S + OVERHEAD_S, c, lambda c=c, case=case: one(bench, c, case, seconds))
            for case, (_, _, numbers, _) in CASES.items() for _ in range(bench.repetitions)
            for c in contenders if c.paths in numbers and (not bench.quick or (case, c.paths) in QUICK)]


def one(bench, contender, case, seconds):
    direction, mbit, _, text = CASES[case]
    bed = bench.bed
    bed.limit_links(mbit)
    before = contender.liveness_bytes(), bed.link_bytes()
    meter = Meter([*contender.pids(), bed.emulator_pid()], bench.background)
    gbit, in_all = run_case(contender, direction, seconds)
    used = meter.read()
    after = contender.liveness_bytes(), bed.link_bytes()
    routers = meter.used_s(bed.emulator_pid())
    gigabytes = in_all / 1e9
    bench.figures.add(NAME, bed.set_up, case, contender.name, {
        "gbit": gbit, "machine": used["machine_s"] / gigabytes, "own": (used["own_s"] - routers) / gigabytes,
        "routers": routers / gigabytes, "share": 100 * routers / used["machine_s"],
        "liveness": 100 * (after[0] - before[0]) / (after[1] - before[1])}, text)


def derived(figures, row, base):
    """What is in goodput of what the links carry: of shaped ones only."""
    one_path = figures.median(NAME, row.set_up, row.case, base, "gbit")
    if not one_path or not CASES[row.case][1]:
        return {}
    return {"of_all": 100 * row.median("gbit") / (number_of(row.contender) * one_path)}


def number_of(contender):
    """shila-3p: 3"""
    return int(contender.removeprefix("shila-").removesuffix("p"))
