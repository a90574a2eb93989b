#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One TCP connection gets what the links can carry: number of paths, rates, directions, families.

Every pair of values of (paths and rate, direction, family of the program, family of the underlay) occurs
in at least one run; tests/long/test_rates_cross.py runs the whole cross.
"""

from rates import *  # noqa: F403
from rates import matrix_class, possible_mbit, iperf, data_flows, check_mptcp, LEAF_PATH

NEEDS_PLAIN_BUILD = True

UP, DOWN = False, True

V4x20 = matrix_class("V4x20", 20, "ipv4", [(1, UP, 4), (2, DOWN, 4), (3, UP, 6)])
V6x20 = matrix_class("V6x20", 20, "ipv6", [(1, DOWN, 6), (2, UP, 6), (3, DOWN, 4)])
V4x5 = matrix_class("V4x5", 5, "ipv4", [(3, DOWN, 6)])
V6x5 = matrix_class("V6x5", 5, "ipv6", [(3, UP, 4)])
V4x40 = matrix_class("V4x40", 40, "ipv4", [(3, UP, 4)])
V6x40 = matrix_class("V6x40", 40, "ipv6", [(3, DOWN, 6)])


class Diamond(SystemTest):
    """Two disjoint short paths, and longer ones over the link between the cores that share links with them."""

    NEEDS_PLAIN_BUILD = True

    def measure(self, what, interfaces, config=None):
        """Goodput, what two disjoint paths can carry, and the lengths of the paths in hops."""
        seen = {}
        with Pair(topology="diamond", rate="20mbit", interfaces=interfaces, config=config, log_level="info") as pair:
            got = iperf(pair, during=lambda: seen.update(flows=data_flows(pair.h1.rpc("flows"))))
            check_mptcp(self, pair, 4, interfaces, seen["flows"])
        best = possible_mbit(2, 20, "ipv4", LEAF_PATH)
        lengths = sorted(len(f["path"]["hops"]) // 2 for f in seen["flows"])
        print(f"\n    measured: {what}: {got:.2f} Mbit/s of {best:.2f} = {100 * got / best:.1f} %, "
              f"paths of {lengths} links", flush=True)
        return got, best, lengths

    def test_two_disjoint(self):
        got, best, lengths = self.measure("diamond, 2 disjoint paths", 2)
        self.assertEqual(lengths, [2, 2])
        self.assertGreaterEqual(got, 0.95 * best)

    def test_short_and_long(self):
        got, best, lengths = self.measure("diamond, short and long paths that share links", 3,
                                          {"paths": {"share": 2}})
        self.assertGreater(lengths[-1], lengths[0])
        self.assertGreaterEqual(got, best / 2, "below the best single path")


if __name__ == "__main__":
    main()
