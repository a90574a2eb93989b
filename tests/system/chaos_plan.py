# SPDX-License-Identifier: Apache-2.0
"""What happens in a chaos run, and when: a pure function of the seed, the length and the shape of the network.

    plan = Plan(seed=7, seconds=150, shape=DIAMOND)
    plan.events        [Event]: kind, target, from when until when, and the steps in it
    plan.crowd         the connections: what each of them sends and how
    plan.base          {link: properties} that links have unless an event says otherwise

Between the two ends there is always a way on which nothing is broken, but for outages of at most plan.outage_s,
with plan.between_s or more between them. A dead router of an AS with a host, and a daemon that does not run, are
outages too.
"""

import random
from dataclasses import dataclass, field

# Links as (id, AS, AS), ASes of the two hosts; as in `scripts/lab up --topology diamond --links 2`.
DIAMOND = {
    "links": [(1, 64514, 64512), (2, 64514, 64512), (3, 64512, 64515), (4, 64512, 64515), (5, 64514, 64513),
              (6, 64514, 64513), (7, 64513, 64515), (8, 64513, 64515), (9, 64512, 64513)],
    "ases": [64512, 64513, 64514, 64515],
    "ends": [64514, 64515],
}

# kind: how often, from how many to how many seconds it lasts
KINDS = {
    "cut": (4, 0.2, 9),          # the carrier goes: routers know at once
    "blackhole": (4, 0.2, 9),    # routers know after 0.3 s, by BFD
    "silent": (6, 0.2, 12),      # BFD passes: no router ever knows
    "flap": (2, 2, 8),           # cut and restored, again and again
    "worse": (7, 1, 15),         # delay, jitter, loss, bursts, reordering, duplicates, rate
    "router": (3, 0.3, 7),       # ended, killed, or hanging
    "control": (1, 0.5, 12),
    "scion_daemon": (2, 0.5, 12),
    "shilad": (4, 0, 2),         # ended, killed or hanging, at one end or both
}
MEAN_S = 2.2  # from one event to the next
AT_ONCE = 5   # so many at most
QUIET_S = 3   # nothing begins so early


@dataclass
class Event:
    number: int
    kind: str
    target: str  # no two events have it at the same time
    at: float
    until: float
    how: str
    steps: list = field(default_factory=list)  # (when, what, arguments of what), by time
    breaks: list = field(default_factory=list)  # ("link", id), ("as", number) or ("shilad", AS number)

    def text(self):
        return f"{self.at:7.2f} to {self.until:7.2f} s  #{self.number} {self.kind} {self.target}: {self.how}"


class Plan:
    def __init__(self, seed, seconds, shape, outage_s=8, between_s=10, connections=50):
        self.seed, self.seconds, self.shape = seed, seconds, shape
        self.outage_s, self.between_s = outage_s, between_s
        # Each has numbers of its own: a change of one leaves the others as they were.
        self.base = _base(random.Random(f"{seed} links"), shape)
        self.crowd = _crowd(random.Random(f"{seed} crowd"), connections)
        self.events = []
        self._draw(random.Random(f"{seed} events"))

    def text(self):
        return "\n".join(e.text() for e in self.events)

    def _draw(self, draw):
        kinds, weights = list(KINDS), [w for w, _, _ in KINDS.values()]
        at = QUIET_S
        while at < self.seconds - QUIET_S:
            kind = draw.choices(kinds, weights)[0]
            _, least, most = KINDS[kind]
            until = min(at + least + (most - least) * draw.random() ** 2, self.seconds)
            event = _event(draw, kind, at, until, self.shape, self.base)
            if self._may(event):
                event.number = len(self.events) + 1
                self.events.append(event)
            at += min(draw.expovariate(1 / MEAN_S), 4 * MEAN_S)

    def _may(self, event):
        now = [e for e in self.events if e.until > event.at]
        if len(now) >= AT_ONCE or any(e.target == event.target and e.until + 1 > event.at for e in self.events):
            return False
        near = event.at - self.between_s - self.outage_s - 5
        return self._bearable([e for e in self.events if e.until > near] + [event])

    def _bearable(self, events):
        last = None
        for begin, end in outages(events, self.shape):
            if end - begin > self.outage_s or last is not None and begin - last < self.between_s:
                return False
            last = end
        return True


def outages(events, shape):
    """[(from, until)]: when there is no way without anything broken."""
    spans = [(e.at, _until(e, events), e.breaks) for e in events if e.breaks]
    times = sorted({t for begin, end, _ in spans for t in (begin, end)})
    found = []
    for begin, end in zip(times, times[1:]):
        broken = {b for b0, b1, what in spans if b0 <= begin and end <= b1 for b in what}
        if not _connected(shape, broken):
            if found and found[-1][1] == begin:
                found[-1] = (found[-1][0], end)
            else:
                found.append((begin, end))
    return found


def _until(event, events):
    """A daemon that starts asks the SCION daemon first; and nothing is whole at once."""
    end = event.until
    if event.kind == "shilad":
        end = max([end] + [e.until for e in events if e.kind == "scion_daemon" and e.at < event.until + 1 and e.until > event.at
                           and ("shilad", int(e.target.split("@")[1])) in event.breaks])
    return end + {"router": 1.5, "shilad": 1.0}.get(event.kind, 0.5)


def _connected(shape, broken):
    if any(what == "shilad" for what, _ in broken):
        return False
    here, there = shape["ends"]
    reached, more = set(), [here]
    while more:
        place = more.pop()
        if place in reached or ("as", place) in broken:
            continue
        reached.add(place)
        more += [b if a == place else a for link, a, b in shape["links"] if place in (a, b) and ("link", link) not in broken]
    return there in reached


def _base(draw, shape):
    return {link: {"delay_ms": round(draw.uniform(1, 12), 1), "jitter_ms": 0, "loss": 0, "burst_start": 0, "burst_end": 0,
                   "burst_loss": 0, "reorder": 0, "reorder_ms": 0, "duplicate": 0, "rate_bit_s": 20_000_000}
            for link, _, _ in shape["links"]}


def _crowd(draw, count):
    """Bulk at a limited rate in either direction or both, and questions with thinking times; two thirds are MPTCP."""
    crowd = []
    for i in range(count):
        bulk = i % 5 < 2
        rate = round(draw.uniform(40_000, 120_000))
        way = draw.choice(("up", "down", "both"))
        crowd.append({"name": f"{'bulk' if bulk else 'asks'}{i}", "mptcp": i % 3 < 2, "family": draw.choice((4, 4, 6)),
                      "up": rate if bulk and way != "down" else 0, "down": rate if bulk and way != "up" else 0,
                      "asks": not bulk, "seed": draw.getrandbits(32)})
    return crowd


# ---- one event ----

def _event(draw, kind, at, until, shape, base):
    event = Event(0, kind, "", round(at, 2), round(until, 2), "")
    _MAKERS[kind](draw, event, shape, base)
    event.steps.sort(key=lambda s: s[0])
    return event


def _link_event(draw, event, shape):
    link = draw.choice(shape["links"])[0]
    event.target, event.breaks = f"link {link}", [("link", link)]
    return link


def _cut(draw, event, shape, _base_props):
    link = _link_event(draw, event, shape)
    event.how = "carrier lost"
    event.steps = [(event.at, "link", (link, "cut", "both")), (event.until, "link", (link, "restore", "both"))]


def _hole(what, text):
    def make(draw, event, shape, _base_props):
        link = _link_event(draw, event, shape)
        direction = draw.choice(("both", "both", "ab", "ba"))
        event.how = f"{text}, {direction}"
        event.steps = [(event.at, "link", (link, what, direction)), (event.until, "link", (link, "restore", "both"))]
    return make


def _flap(draw, event, shape, _base_props):
    link = _link_event(draw, event, shape)
    period, what = round(draw.uniform(0.3, 2), 2), draw.choice(("cut", "blackhole", "silent"))
    event.how = f"{what}, changes every {period} s"
    t, down = event.at, True
    while t < event.until:
        event.steps.append((round(t, 2), "link", (link, what if down else "restore", "both")))
        t, down = t + period, not down
    event.steps.append((event.until, "link", (link, "restore", "both")))


def _worse(draw, event, shape, base):
    link, a, _ = draw.choice(shape["links"])
    event.target = f"quality of link {link}"
    direction = draw.choice(("both", "ab", "ba"))
    props = {}
    for name, value in (("delay_ms", lambda: round(draw.uniform(1, 150), 1)), ("jitter_ms", lambda: round(draw.uniform(1, 20), 1)),
                        ("loss", lambda: round(draw.uniform(0.002, 0.1), 3)), ("bursts", lambda: draw.choice((20, 50, 100))),
                        ("reorder", lambda: round(draw.uniform(0.005, 0.05), 3)), ("duplicate", lambda: 0.02),
                        ("rate_bit_s", lambda: draw.randrange(2, 15) * 1_000_000)):
        if draw.random() < 0.35:
            props[name] = value()
    if not props:
        props["delay_ms"] = 100
    event.how = f"{', '.join(f'{n} {v}' for n, v in props.items())}, {direction}"
    if "bursts" in props:
        length = props.pop("bursts")
        props.update(burst_start=1 / 500, burst_end=1 / length, burst_loss=1)
    if props.get("jitter_ms", 0) > props.get("delay_ms", base[link]["delay_ms"]):
        props["delay_ms"] = props["jitter_ms"]
    back = {name: base[link][name] for name in props}
    event.steps = [(event.at, "quality", (link, direction, props)), (event.until, "quality", (link, direction, back))]


def _program(name, ends_only):
    def make(draw, event, shape, _base_props):
        asn = draw.choice(shape["ends"] if ends_only else shape["ases"])
        how = draw.choice(("stop", "kill", "pause"))
        event.target = f"{name}@{asn}"
        event.how = {"stop": "ended", "kill": "killed", "pause": "hangs"}[how]
        if name == "router":
            event.breaks = [("as", asn)]
        event.steps = [(event.at, how, (event.target,)), (event.until, "resume" if how == "pause" else "start", (event.target,))]
    return make


def _shilad(draw, event, shape, _base_props):
    which = draw.choice(("h1", "h2", "h1", "h2", "both"))
    how = draw.choice(("term", "term", "kill", "kill", "hang"))
    hosts = ("h1", "h2") if which == "both" else (which,)
    event.target = "shilad"  # one after the other: each has to be seen to go on
    event.how = f"{ {'term': 'SIGTERM', 'kill': 'SIGKILL', 'hang': 'SIGSTOP'}[how]} at {which}"
    event.breaks = [("shilad", shape["ends"][int(h[1]) - 1]) for h in hosts]
    if how == "hang" and event.until == event.at:
        event.until = round(event.at + 0.5, 2)
    event.steps = [(event.at, f"shilad_{how}", hosts),
                   (event.until, "shilad_goes_on" if how == "hang" else "shilad_start", hosts)]


_MAKERS = {
    "cut": _cut, "flap": _flap, "worse": _worse, "shilad": _shilad,
    "blackhole": _hole("blackhole", "everything is lost, BFD too"),
    "silent": _hole("silent", "everything is lost but BFD"),
    "router": _program("router", False), "control": _program("control", False), "scion_daemon": _program("daemon", True),
}
