#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links, routers, services and daemons fail at random under 50 connections, and every byte arrives (tests/system/chaos.py).

Half an hour, or CHAOS_S=seconds; SEED=number repeats a run. From 10 minutes on outages are up to 20 s, else 8.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system"))
import chaos
from harness import *

SECONDS = float(os.environ.get("CHAOS_S") or 1800)


class ChaosLong(SystemTest):
    NEEDS_PLAIN_BUILD = True

    def test_random_failures(self):
        longer = {"outage_s": 20, "between_s": 20} if SECONDS >= 600 else {}
        run = self.use(chaos.Run(chaos.seed_of_environment(), SECONDS, **longer))
        run.go()


if __name__ == "__main__":
    main()
