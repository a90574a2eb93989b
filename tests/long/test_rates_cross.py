#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole cross of test_rates.py: 5 sets of paths x 2 directions x 2 families x 2 underlays, 40 runs."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "system"))

from harness import *  # noqa: E402,F403
from rates import matrix_class  # noqa: E402

NEEDS_PLAIN_BUILD = True

for _underlay in ("ipv4", "ipv6"):
    for _rate, _paths in ((20, (1, 2, 3)), (5, (3,)), (40, (3,))):
        _rows = [(k, reverse, family) for k in _paths for reverse in (False, True) for family in (4, 6)]
        _name = f"Cross_{_underlay}_{_rate}"
        globals()[_name] = matrix_class(_name, _rate, _underlay, _rows)

if __name__ == "__main__":
    main()
