#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tests/system/test_path_mtu.py for more MTUs: 4 minutes."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "system"))
from harness import *  # noqa: F403,E402
import test_path_mtu  # noqa: E402


class EmptyPath(test_path_mtu.EmptyPath):
    MTUS = (*range(1280, 1540, 10), *range(1540, 3000, 73), *range(3000, 9000, 301), 9000)


class Routers(test_path_mtu.Routers):
    MTUS = {1: 1300, 2: 1472, 3: 1280, 4: 1350, 5: 1499, 6: 2000, 7: 3001, 8: 6000, 9: 8000, 10: 8488}


if __name__ == "__main__":
    main()
