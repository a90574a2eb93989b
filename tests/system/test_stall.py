#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A silent black hole in mid-transfer is left before TCP's timers do much about it."""

from harness import *  # noqa: F403
from stalls import Meter, distribution, lab_options, percentile

NEEDS_PLAIN_BUILD = True

# Flows leave within 0.1 s. What was lost on the dead path TCP sends again after 0.2 s and a little. By PROBEs alone it takes
# 0.4 s or more to leave, so that TCP's second time-out, after 0.6 s, is the first that gets through.
USUAL_MS = 500
WORST_MS = 1500  # if that fails on a machine with too much to do


class Stall(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.meter = Meter(cls.keep(Pair(config={"workers": 1}, **lab_options())))

    def check(self, runs, **what):
        answers = self.meter.many(runs, **what)
        print(distribution(", ".join(f"{k} {v}" for k, v in what.items()), answers))
        stalls = [a["longest_ms"] for a in answers]
        self.assertTrue(all(a["moves"] and a["trials"] for a in answers), answers)
        self.assertLess(percentile(stalls, 0.5 - 0.5 / runs), USUAL_MS, answers)
        self.assertLess(max(stalls), WORST_MS, answers)

    def test_upload(self):
        self.check(1, upload=True)

    def test_download_of_one_flow(self):
        self.check(3, upload=False, mptcp=False)


if __name__ == "__main__":
    main()
