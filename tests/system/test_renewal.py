#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Paths are replaced by fresh ones long before they expire, under running flows."""

from harness import *  # noqa: F403


class Renewal(SystemTest):
    def test_renewed_under_a_running_connection(self):
        """Paths live for 337.5 s here and are asked for every 60 s: tests/long waits for the expiry itself."""
        pair = self.use(Pair(topology="parallel", links=2, path_lifetime="short"))
        h1, h2 = pair.h1, pair.h2
        h2.serve()
        expiry = {p["fingerprint"]: p["expiry_unix_s"] for p in h1.rpc("paths")}
        client = h1.spawn_traffic("beat", h2.address(4), 8000, 80)
        wait_for(lambda: h1.counter("path_renewals") > 0, 75, "renewals", every=0.5)
        later = {p["fingerprint"]: p["expiry_unix_s"] for p in h1.rpc("paths")}
        self.assertEqual(set(later), set(expiry))  # the same paths
        for fingerprint, at in later.items():
            self.assertGreater(at, expiry[fingerprint])
        # The server goes on with what the client uses now: it answers on the path that it hears from.
        wait_for(lambda: h2.counter("path_renewals") > 0, 5, "the server follows")
        answer = traffic_answer(client.finish(30))
        self.assertTrue(answer["ok"], answer)
        self.assertLess(answer["longest"], 1)
        self.assertEqual(h1.counter("moves"), 0)


if __name__ == "__main__":
    main()
