#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The floods of tests/system/test_flood.py for half a minute each, half of it to the daemon and half to what it is compared to."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system"))
from harness import *  # noqa: F403,E402
import test_flood  # noqa: E402

NEEDS_PLAIN_BUILD = True
SLICES = 60


class HalfAMinute(test_flood.Flood):
    def check(self, name, kind, source, slices):
        return super().check(name, kind, source, SLICES)


if __name__ == "__main__":
    main()
