#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Paths are replaced by fresh ones long before they expire, under running flows."""

import time

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


class Expiry(SystemTest):
    LIVES_S = 13  # or up to 10 s less: the lab makes segments every 10 s

    def test_expired_under_a_running_connection(self):
        """Segments that are already old: the bytes with which a connection began expire under it."""
        pair = self.use(Pair(topology="parallel", links=3, apps=(4,), routers="emulated", path_lifetime="short",
                             path_age=337.5 - self.LIVES_S))
        h1, h2 = pair.h1, pair.h2
        h2.serve()
        clients = [h1.spawn_traffic(what, h2.address(4), 8000, 60) for what in ("beat", "gets")]
        wait_for(lambda: len(h1.flows(protocol="tcp", state="open")) == 6, 10, "all subflows")
        flows = {f["id"]: f["path_changes"] for f in h1.flows(protocol="tcp")}
        expire = max(p["expiry_unix_s"] for h in (h1, h2) for p in h.rpc("paths"))
        while time.time() < expire + 1:
            for h in (h1, h2):
                self.assertEqual([p for p in h.rpc("paths") if p["expiry_unix_s"] < time.time()], [], h.host)
            time.sleep(0.2)
        self.assertEqual({f["id"]: f["path_changes"] for f in h1.flows(protocol="tcp", state="open")}, flows)
        self.assertLess(clients[0].end_traffic()["longest"], 1)
        clients[1].end_traffic()
        for h in (h1, h2):
            self.assertGreaterEqual(h.counter("path_renewals"), len(flows))
            self.assertEqual(h.counter("moves") + h.counter("moves_followed") + h.counter("resets_to_programs"), 0)
        self.assertEqual(h1.counter("scmp_hints"), 0)  # no router ever saw bytes that had expired


if __name__ == "__main__":
    main()
