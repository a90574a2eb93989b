#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three minutes of random failures under 50 connections, and that their plan leaves a way. Half an hour: tests/long/test_chaos_long.py."""

import os

import chaos
from chaos_plan import DIAMOND, Plan, outages
from harness import *

SEED = 1  # has all kinds of failures; SEED=number in the environment takes another


class Schedule(SystemTest):
    """It is a function of the seed."""

    def test_same_seed_same_events(self):
        for seed in range(5):
            one, two = Plan(seed, 300, DIAMOND), Plan(seed, 300, DIAMOND)
            self.assertEqual(one.events, two.events)
            self.assertEqual((one.crowd, one.base), (two.crowd, two.base))
            self.assertEqual(Plan(seed, 300, DIAMOND, connections=7).events, one.events)
        self.assertNotEqual(Plan(1, 300, DIAMOND).events, Plan(2, 300, DIAMOND).events)

    def test_a_way_is_left(self):
        kinds = set()
        for seed in range(60):
            plan = Plan(seed, 150, DIAMOND)
            self.assertGreater(len(plan.events), 20)
            away = outages(plan.events, DIAMOND)
            self.assertTrue(all(b - a <= plan.outage_s for a, b in away), plan.text())
            self.assertTrue(all(c - b >= plan.between_s for (_, b), (c, _) in zip(away, away[1:])), plan.text())
            for e in plan.events:
                kinds.add(e.kind)
                self.assertTrue(0 < e.at <= e.until <= 150 and e.steps, e)
                self.assertEqual([s[0] for s in e.steps], sorted(s[0] for s in e.steps))
                self.assertFalse([o for o in plan.events if o.target == e.target and e.at <= o.at <= e.until and o is not e])
        self.assertEqual(len(kinds), 9)


class ThreeMinutes(SystemTest):
    NEEDS_PLAIN_BUILD = True

    def test_random_failures(self):
        run = self.use(chaos.Run(int(os.environ.get("SEED") or SEED), 180))
        run.go()


if __name__ == "__main__":
    main()
