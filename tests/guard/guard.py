#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions of the data plane per train and per segment, and holds them against bounds.json.

    guard.py REPLAY             fails if a bound is passed, or one is far too wide
    guard.py REPLAY --renew     writes what is measured, with slack, to bounds.json
    guard.py REPLAY --table     what is measured, and the functions where it is spent
    guard.py REPLAY --json      the same for programs
    guard.py REPLAY --keep DIR  keeps callgrind's files, for callgrind_annotate and kcachegrind

REPLAY is the program of replay.c. Each case is a recorded train, out of the TUN and into it at the other end:
`train` is what a train of one segment costs, `segment` each further one, both without the sum over
payload, which is `sum` (of the plain variant, which every machine has). Nothing here depends on time or load.
"""
import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
BOUNDS = os.path.join(HERE, "bounds.json")
SLACK = 0.06  # of a bound above what was measured when it was made
FEW = 8  # instructions, for small numbers
SUMMING = {"add_plain", "add_avx2"}
KINDS = ["train", "segment", "sum"]
# The same copying functions of libc everywhere.
TUNABLES = "glibc.cpu.hwcaps=-AVX512VL,-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM"


def functions(file):
    """{function: instructions of its own} of a file of callgrind."""
    names, own, current, inclusive = {}, collections.Counter(), None, False
    with open(file, encoding="utf-8") as f:
        for line in f:
            if line.startswith("fn="):
                found = re.match(r"fn=(\(\d+\))(?: (\S.*))?", line)
                if found.group(2):
                    names[found.group(1)] = found.group(2).split("'")[0]
                current = found.group(1)
            elif line.startswith("cfn="):
                found = re.match(r"cfn=(\(\d+\))(?: (\S.*))?", line)
                if found.group(2):
                    names[found.group(1)] = found.group(2).split("'")[0]
            elif line.startswith("calls="):
                inclusive = True  # the next line is of the called function
            elif line[0] in "+-*0123456789" and current:
                if not inclusive:
                    own[current] += int(line.split()[1])
                inclusive = False
    result = collections.Counter()
    for number, cost in own.items():
        result[re.sub(r"\.(constprop|isra|part|cold)\b.*", "", names[number])] += cost
    return result


def measure(replay, keep):
    """[(case, direction, one segment?, segments of a train, {function: instructions a train})]."""
    directory = keep or tempfile.mkdtemp(prefix="shila-guard-")
    os.makedirs(directory, exist_ok=True)
    try:
        out = os.path.join(directory, "callgrind.out")
        argv = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}", "--toggle-collect=guard_out",
                "--toggle-collect=guard_in", "--dump-before=guard_done", replay]
        p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, env={
            **os.environ, "SHILA_VECTORS": os.path.join(HERE, "trains"), "GLIBC_TUNABLES": TUNABLES})
        if p.returncode:
            sys.exit(f"guard: the replay failed:\n{p.stderr[-2000:]}")
        rows = []
        for i, line in enumerate(p.stdout.splitlines(), 1):
            if "\t" not in line:
                continue
            name, direction, one, trains, segments = line.split("\t")
            cost = functions(f"{out}.{i}")
            if not cost:
                sys.exit("guard: callgrind counted nothing: are guard_out() and guard_in() in the symbol table?")
            rows.append((name, direction, one == "1", int(segments), {f: c / int(trains) for f, c in cost.items()}))
        return rows
    finally:
        if not keep:
            shutil.rmtree(directory)


def split(rows):
    """{"case direction": {kind: {function: instructions}}}."""
    ones = {(name, direction): (segments, cost) for name, direction, one, segments, cost in rows if one}
    result = {}
    for name, direction, one, segments, cost in rows:
        if one:
            continue
        kinds = result.setdefault(f"{name} {direction}", {"train": {}, "segment": {}, "sum": {}})
        if (name, direction) not in ones:
            kinds["train"] = {f: c for f, c in cost.items() if f not in SUMMING}
            continue
        few, first = ones[name, direction]
        for f in sorted({*cost, *first}):
            more = (cost.get(f, 0) - first.get(f, 0)) / (segments - few)
            if f in SUMMING:
                kinds["sum"][f] = more
                continue
            kinds["segment"][f] = more
            kinds["train"][f] = first.get(f, 0) - more * (few - 1)
    return result


def totals(spent):
    return {case: {k: round(sum(f.values())) for k, f in kinds.items() if f} for case, kinds in spent.items()}


def bounds_of(measured):
    return {case: {k: v + max(FEW, round(v * SLACK)) for k, v in kinds.items()} for case, kinds in measured.items()}


def renew(measured):
    with open(BOUNDS, "w", encoding="utf-8") as f:
        f.write("{\n")
        f.write(",\n".join(f"    {json.dumps(case)}: {json.dumps(kinds)}" for case, kinds in bounds_of(measured).items()))
        f.write("\n}\n")


def check(measured):
    """Prints what is wrong. Return: whether all is well."""
    try:
        with open(BOUNDS, encoding="utf-8") as f:
            bounds = json.load(f)
    except FileNotFoundError:
        bounds = {}
    wrong = []
    for case, kinds in measured.items():
        for kind, instructions in kinds.items():
            bound = bounds.get(case, {}).get(kind)
            if bound is None:
                wrong.append(f"{case}: {instructions} instructions a {kind}, and no bound")
            elif instructions > bound:
                wrong.append(f"{case}: {instructions} instructions a {kind}, the bound is {bound}")
            elif instructions * 1.25 + 2 * FEW < bound:
                wrong.append(f"{case}: only {instructions} instructions a {kind}, the bound of {bound} guards nothing any more")
    wrong += [f"{case}: has a bound and is not measured" for case in bounds if case not in measured]
    for w in wrong:
        print(f"guard: {w}")
    if wrong:
        print("guard: scripts/micro/instructions shows where they are spent. If it is worth it, or if it got better:\n"
              "guard: `scripts/micro/instructions --renew`, and say in the commit why.")
    return not wrong


def table(spent, top):
    measured = totals(spent)
    print(f"{'instructions':32}" + "".join(f"{k:>9}" for k in KINDS))
    for case, kinds in measured.items():
        print(f"{case:32}" + "".join(f"{kinds.get(k, ''):>9}" for k in KINDS))
        rows = sorted({f for k in kinds for f in spent[case][k]},
                      key=lambda f: -max(spent[case][k].get(f, 0) for k in kinds))[:top]
        for f in rows:
            cells = [spent[case][k].get(f, 0) for k in KINDS]
            print(f"    {f[:27]:28}" + "".join(f"{c:9.0f}" if abs(c) >= 0.5 else " " * 9 for c in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("replay")
    parser.add_argument("--renew", action="store_true", help="write bounds.json")
    parser.add_argument("--table", action="store_true", help="print what was measured, by function")
    parser.add_argument("--top", type=int, default=10, help="functions of each case in the table")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    parser.add_argument("--keep", metavar="DIR", help="keep callgrind's files there")
    args = parser.parse_args()
    if not shutil.which("valgrind"):
        print("valgrind is not installed")
        return 77
    spent = split(measure(args.replay, args.keep))
    if args.renew:
        renew(totals(spent))
    if args.json:
        print(json.dumps(spent, indent=1))
    elif args.table:
        table(spent, args.top)
    if args.renew or args.table or args.json:
        return 0
    return 0 if check(totals(spent)) else 1


if __name__ == "__main__":
    sys.exit(main())
