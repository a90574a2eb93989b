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
        client = h1.spawn_traffic("beat", h2.address(4), 8000, 200)
        wait_for(lambda: h1.counter("path_renewals") > 0, 75, "renewals", every=0.5)
        later = {p["fingerprint"]: p["expiry_unix_s"] for p in h1.rpc("paths")}
        self.assertEqual(set(later), set(expiry))  # the same paths
        for fingerprint, at in later.items():
            self.assertGreater(at, expiry[fingerprint])
        # The server goes on with what the client uses now: it answers on the path that it hears from.
        wait_for(lambda: h2.counter("path_renewals") > 0, 10, "the server follows")
        heard = {h: sum(f["rx_segments"] for f in h.flows(protocol="tcp", state="open")) for h in (h1, h2)}
        for h, before in heard.items():  # the connection lives on them
            wait_for(lambda h=h, n=before: sum(f["rx_segments"] for f in h.flows(protocol="tcp", state="open")) > n + 20, 20,
                     f"{h.host} hears more")
        answer = client.end_traffic()
        self.assertLess(answer["longest"], 1)
        self.assertEqual(h1.counter("moves"), 0)


if __name__ == "__main__":
    main()
