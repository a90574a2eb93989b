#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/bench as a command: what it says, that it ends, and that it leaves nothing. No figure is judged."""

import json
import signal

from harness import *  # noqa: F403
from harness import ROOT, main, run

import os
import sys

sys.path.insert(1, os.path.join(ROOT, "scripts"))
from benchlib import document  # noqa: E402

BENCH = os.path.join(ROOT, "scripts", "bench")
INSIDE = [sys.executable, "-B", os.path.join(ROOT, "scripts", "benchlib")]


def left(pid):
    """Namespaces of the lab and the daemons of that process."""
    return [n for n in os.listdir("/run/netns") if f"t{pid}x" in n] if os.path.isdir("/run/netns") else []


class Bench(SystemTest):
    def test_list_names_everything(self):
        text = run([BENCH, "--list"]).stdout
        for name in ("measurements:", "throughput", "idle", "contenders:", "tcp", "shila-mptcp", "set-ups:", "routers"):
            self.assertIn(f"{name}", text)

    def test_wrong_options(self):
        """Told at once, not after an hour."""
        for options, words in [(["--only", "throughput,nonsense"], "no nonsense; there are A, B, connects"),
                               (["--only", ","], "a name is needed"), (["--only", "generator,A"], "generator takes no part"),
                               (["--only", "idle,A"], "nobody takes part"),
                               (["--only", "idle,B", "--write-docs"], "whole measurements only"), (["--seconds", "0"], "--seconds"),
                               (["--repetitions", "0"], "--repetitions"), (["--json", "/nonexistent/x"], "cannot write"),
                               (["--profile", "/nonexistent/x"], "cannot write"),
                               (["--only", "rr", "--profile", os.devnull], "--profile"), (["--frobnicate"], "frobnicate")]:
            p = run([BENCH, *options], check=False)
            self.assertEqual(p.returncode, 2, options)
            self.assertIn(words, p.stderr)

    def test_documents_keep_what_did_not_run(self):
        order = [f"## {n}" for n in "one two three".split()]
        old = document.parsed("## Conditions\n\nthen\n\n## What is wanted, and what was seen\n\n"
                              "|  | wanted |\n| --- | ---: |\n| a | 1 |\n| b | 2 |\n\n## one\n\n    cmd\n\n| x |\n\n## three\n\n    cmd")
        new = {document.CONDITIONS: ["", "now"], document.GOALS: ["", "|  | wanted |", "| --- | ---: |", "| b | 3 |", "| c | 4 |"],
               "## two": ["", "    new", "", "| y |"]}
        out = document.merged(old, new, order)
        self.assertEqual(list(out), [document.CONDITIONS, document.GOALS, *order])
        self.assertEqual(out[document.CONDITIONS], ["", "then"])
        self.assertEqual(out[document.GOALS], ["", "|  | wanted |", "| --- | ---: |", "| a | 1 |", "| b | 3 |", "| c | 4 |"])
        self.assertEqual(out["## two"], ["", "    new", "", "now", "", "| y |"])
        self.assertEqual(out["## one"], ["", "    cmd", "", "| x |"])

    def test_one_measurement(self):
        p = spawn([*INSIDE, "--only", "idle,B", "--repetitions", 1, "--seconds", 0.5, "--json", "-"])
        text = p.finish(60)
        self.assertEqual(left(p.pid), [])
        answer = json.loads(text[text.index("{"):])
        self.assertEqual(answer["failures"], [])
        self.assertEqual(answer["repetitions"], 1)
        self.assertEqual([(r["measurement"], r["case"], r["contender"]) for r in answer["figures"]],
                         [("idle", "none", "shila-tcp"), ("idle", "open", "shila-tcp")])
        for row in answer["figures"]:
            self.assertEqual(len(row["values"]["wake_ups"]), 1)

    def test_ctrl_c_leaves_nothing(self):
        path = os.path.join(temporary(), "figures")
        p = spawn([*INSIDE, "--only", "idle,B", "--seconds", 60, "--json", path])
        wait_for(lambda: [n for n in left(p.pid) if n.endswith("-i")], 30, "daemons of the bench")
        p.send_signal(signal.SIGINT)
        self.assertIn("interrupted", p.finish(30, code=130))
        self.assertEqual(left(p.pid), [])
        with open(path, encoding="utf-8") as f:
            self.assertTrue(json.load(f)["interrupted"])


if __name__ == "__main__":
    main()
