# SPDX-License-Identifier: Apache-2.0
"""Which subflow is on which links of the lab, and how fast, out of what `flows` answers."""

import collections
import time

WINDOW_S = 1.0  # a rate is about so long


class LinkNames:
    """Knows the links of the lab by what a path says: (ISD-AS, interface)."""

    def __init__(self, links):
        self.ids = {(end["isd_as"], end["interface"]): link["id"] for link in links for end in link["ends"]}

    def of_path(self, path):
        """The ids of the links that a path crosses, in order."""
        ids = [self.ids[hop["isd_as"], hop["interface"]] for hop in (path or {"hops": []})["hops"]]
        return ids[::2]  # both ends of a link are in the path

    def route(self, path, mark=None, paint=None):
        """64513 -1- 64512 -4- 64514; the link `mark` painted."""
        hops = (path or {"hops": []})["hops"]
        if not hops:
            return "no path"
        text = hops[0]["isd_as"].partition("-")[2]
        for near, far in zip(hops[::2], hops[1::2]):
            link = f"-{self.ids[near['isd_as'], near['interface']]}-"
            if mark is not None and link == f"-{mark}-" and paint:
                link = paint(link)
            text += f" {link} {far['isd_as'].partition('-')[2]}"
        return text


class Subflow:
    def __init__(self, seen):
        self.key = seen["local"]
        self.token = seen["token"]
        self.role = seen["role"]
        self.samples = collections.deque()  # (time, tx_bytes)
        self.first_bytes = 0  # a flow that was not there before starts at 0
        self.moves = []  # [(links before, links after)]
        self.links = None
        self.path = None
        self.state = None

    @property
    def address(self):
        return self.key.rpartition(":")[0]

    @property
    def bytes(self):
        return self.samples[-1][1] - self.first_bytes

    def rate(self):
        """Bits per second over the last moment."""
        (t0, b0), (t1, b1) = self.samples[0], self.samples[-1]
        return (b1 - b0) * 8 / (t1 - t0) if t1 > t0 else 0.0


class Watch:
    """Follows the subflows of the one connection that carries the data.

    iperf3 has a second connection, for control, and there may be others: the one with the most
    bytes is meant. Flows that were there when the watch began are not looked at.
    """

    def __init__(self, names, before):
        self.names = names
        self.old = {f["local"] for f in before}
        self.flows = {}

    def update(self, answer):
        now = time.monotonic()
        for seen in answer:
            key = seen["local"]
            if key in self.old or seen["side"] != "client" or seen["protocol"] != "tcp":
                continue
            flow = self.flows.setdefault(key, Subflow(seen))
            links = self.names.of_path(seen["path"])
            if flow.links and links and links != flow.links:
                flow.moves.append((flow.links, links))
            flow.links = links or flow.links
            flow.path, flow.state, flow.token = seen["path"], seen["state"], seen["token"]
            if not flow.samples:
                flow.samples.append((now - max(seen["age_ms"], 1) / 1000, 0))
            flow.samples.append((now, seen["tx_bytes"]))
            while len(flow.samples) > 2 and flow.samples[1][0] <= now - WINDOW_S:
                flow.samples.popleft()

    def subflows(self):
        """Those of the busiest connection, main flow first."""
        by_token = collections.defaultdict(list)
        for flow in self.flows.values():
            by_token[flow.token or flow.key].append(flow)
        if not by_token:
            return []
        best = max(by_token.values(), key=lambda group: sum(f.bytes for f in group))
        return sorted(best, key=lambda f: (f.role != "main", f.key))
