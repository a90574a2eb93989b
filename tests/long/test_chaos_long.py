#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_chaos for half an hour, on the build that is shipped, with outages of up to 20 s. CHAOS_S=seconds makes it another time."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system"))
import chaos
from harness import *

SECONDS = float(os.environ.get("CHAOS_S") or 1800)


class ChaosLong(SystemTest):
    NEEDS_PLAIN_BUILD = True

    def test_random_failures(self):
        run = self.use(chaos.Run(chaos.seed_of_environment(), SECONDS, outage_s=20, between_s=20))
        run.go()


if __name__ == "__main__":
    main()
