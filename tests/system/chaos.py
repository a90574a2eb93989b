# SPDX-License-Identifier: Apache-2.0
"""Does what a chaos_plan.Plan says to a lab and its daemons, under the plan's connections, and tells what came of it.

    run = Run(seed, seconds)
    try:
        run.go()
    finally:
        run.close()

SEED in the environment is the seed (else a random one), CHAOS_S the length, CHAOS_JSON a file for what was seen, else
chaos.json in the build directory; CHAOS_ROUTERS=emulated takes emulated routers.
"""

import json
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time

from harness import *
from harness.cleanup import temporary
import chaos_plan

sys.path.insert(0, os.path.join(ROOT, "scripts"))
from labnet import emulator, lab as labs  # noqa: E402

CROWD = os.path.join(TOOLS, "crowd.py")
PORT = 9000
PATHS = 16  # of the diamond with double links
FINISH_S = 150  # TCP repeats what it waits for after 120 s at the latest; most of the time a second is enough
EVENTS = ("path_down", "path_up", "path_suspect", "flow_moved", "flow_followed", "flow_parked", "flow_woken", "subflow_added",
          "subflow_lost", "subflow_recreated", "subflow_failed", "subflow_ended")


def seed_of_environment():
    return int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))


def memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Watcher(threading.Thread):
    """Follows `shila events` of a daemon over its restarts: {number of the second: {event: count}}, and all of them."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host, self.seen, self.after, self.pid, self.going = host, [], 0, None, True
        self.missed = 0

    def look(self):
        try:
            pid = self.host.process.pid
            if pid != self.pid:
                self.pid, self.after = pid, 0
            found = self.host.rpc("events", after=self.after)
        except (OSError, AttributeError, ValueError, Failed):
            return  # it does not run, or hangs
        if found:
            self.missed += found[-1]["number"] - self.after - len(found) if self.after else 0
            self.after = found[-1]["number"]
            self.seen += [{**e, "at": e["time_unix_us"] / 1e6} for e in found]

    def run(self):
        while self.going:
            self.look()
            time.sleep(0.5)


class Run:
    def __init__(self, seed, seconds, **plan):
        self.plan = chaos_plan.Plan(seed, seconds, chaos_plan.DIAMOND, **plan)
        self.seed = seed
        self.troubles = []
        self.done = []  # (event, [(when it was to be, when it was, when it was done, what)])
        self.began = None
        self.shilads_down = set()
        self.tens = 0
        self.waits, self.looks = 0, []  # what there is to see when somebody waits for long
        self.started = []  # programs of the lab
        self.pair = None

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def failed(self, what):
        return Failed(f"SEED={self.seed} CHAOS_S={self.plan.seconds:g}: {what}")

    # -- before --

    def set_up(self):
        self.say(f"chaos: SEED={self.seed} CHAOS_S={self.plan.seconds:g} repeats this; {len(self.plan.events)} events, "
                 f"{len(self.plan.crowd)} connections")
        routers = os.environ.get("CHAOS_ROUTERS") or "real"
        self.emulated = routers == "emulated"
        self.pair = Pair(topology="diamond", links=2, rate="20mbit", routers=routers,
                         more=["--emulated-links", "--delay", "5ms", "--seed", str(self.seed % (1 << 32))],
                         config={"limits": {"linger_s": 5}})
        self.h1, self.h2 = self.pair.h1, self.pair.h2
        self.hosts = {"h1": self.h1, "h2": self.h2}
        for link, props in self.plan.base.items():
            self.quality(link, "both", props)
        self.fresh = {h.host: descriptors(h.process.pid) for h in self.hosts.values()}
        self.watchers = [Watcher(h) for h in self.hosts.values()]
        self.server = self.h2.spawn([sys.executable, "-B", CROWD, "server", PORT], ingress=True)
        self.h2.wait_listening(PORT)
        directory, self.clients = temporary(), []
        self.capture()
        for mptcp in (True, False):
            specs = [{**c, "host": self.h2.address(c["family"])} for c in self.plan.crowd if c["mptcp"] == mptcp]
            file = os.path.join(directory, f"{mptcp}")
            with open(file, "w", encoding="utf-8") as f:
                json.dump(specs, f)
            with open(file, encoding="utf-8") as f:
                self.clients.append(self.h1.spawn([sys.executable, "-B", CROWD, "client", self.h2.address(4), PORT,
                                                   self.plan.seconds + 300], mptcp=mptcp, stdin=f))
        for c in self.clients:
            wait_for(lambda c=c: "connected" in c.output(), 40, "all are connected")

    def capture(self):
        """With CHAOS_PCAP=PREFIX: headers of all packets that programs send and get, at both ends."""
        prefix = os.environ.get("CHAOS_PCAP")
        for h, ns in ((self.h1, self.h1.ns_egress), (self.h2, self.h2.ns_ingress)) if prefix else ():
            spawn(["nsenter", f"--net=/run/netns/{ns}", "tcpdump", "-i", "any", "-s", 128, "-U", "-Z", "root", "-w", f"{prefix}-{h.host}.pcap",
                   "tcp"])

    # -- what is done --

    def link(self, link, what, direction):
        cut = {"cut": "all", "blackhole": "all", "silent": "silent", "restore": "none"}[what]
        emulator.call(self.pair.lab.name, {"op": "set", "link": link, "direction": direction, "props": {"cut": cut},
                                           **({"carrier": what == "restore"} if what in ("cut", "restore") else {})})

    def quality(self, link, direction, props):
        emulator.call(self.pair.lab.name, {"op": "set", "link": link, "direction": direction, "props": props})

    def program(self, how, name):
        name = name.replace("scion_daemon", "daemon")
        if self.emulated:  # without control services, and routers that cannot hang
            if name.startswith("control"):
                return
            if name.startswith("router"):
                how = {"pause": "stop", "resume": "start"}.get(how, how)
        lab = self.pair.lab.name  # not by scripts/lab: that would cost more CPU than all the traffic
        {"stop": lambda: labs.stop_programs(lab, [name], 3), "kill": lambda: labs.stop_programs(lab, [name], 3, signal.SIGKILL),
         "pause": lambda: labs.signal_programs(lab, [name], signal.SIGSTOP),
         "resume": lambda: labs.signal_programs(lab, [name], signal.SIGCONT),
         "start": lambda: self.started.extend(labs.start_programs(lab, [name], 0))}[how]()

    def shilads(self, how, hosts):
        for h in (self.hosts[name] for name in hosts):
            if how in ("term", "kill", "hang"):
                self.shilads_down.add(h)
                if h.process.poll() is not None:
                    raise Failed(f"shilad on {h.host} has ended by itself with {h.process.returncode}")
            if how == "term":
                h.detach()
            elif how == "kill":
                h.kill()
            elif how == "hang":
                h.send_signal(signal.SIGSTOP)
            elif how == "goes_on":
                h.send_signal(signal.SIGCONT)
                self.shilads_down.discard(h)
            else:
                h.start(wait=False)
        if how == "start":
            for h in (self.hosts[name] for name in hosts):
                h.wait_running(60)
                self.shilads_down.discard(h)

    def step(self, what, args):
        if what == "link":
            self.link(*args)
        elif what == "quality":
            self.quality(*args)
        elif what.startswith("shilad_"):
            self.shilads(what[len("shilad_"):], args)
        else:
            self.program(what, *args)

    def do(self, event):
        """All of one event, in a thread of its own: ends of programs take their time."""
        steps = []
        try:
            for at, what, args in event.steps:
                time.sleep(max(0, self.began + at - time.monotonic()))
                before = time.monotonic() - self.began
                self.step(what, args)
                steps.append((at, before, time.monotonic() - self.began, what))
        except Exception as e:
            self.troubles.append(f"{event.text()}: {e}")
        self.done.append((event, steps))

    def check(self):
        if self.troubles:
            raise self.failed("; ".join(self.troubles))
        for c in self.clients:
            if c.poll() is not None or self.troubled(c):
                raise self.failed(f"a client has trouble, {time.monotonic() - self.began:.1f} s after the begin:\n"
                                  f"{c.output()[-3000:]}\nserver: {self.server.output()[-2000:]}")
        for h in self.hosts.values():
            if h not in self.shilads_down and h.process is not None and h.process.poll() is not None:
                raise self.failed(f"shilad on {h.host} ended with {h.process.returncode}")

        if int(time.monotonic() - self.began) // 10 > self.tens and not self.shilads_down and os.environ.get("CHAOS_LOOK"):
            self.tens += 1
            self.looks.append(self.look())
        waits = sum(p.output().count("waits") for p in (*self.clients, self.server))
        if waits > self.waits and len(self.looks) < 10:
            self.looks.append({**self.look(), "waits": [p.output().split("\n") for p in (*self.clients, self.server)]})
            self.waits = waits

    def troubled(self, process):
        return [line for line in process.output().splitlines() if not re.match(r"(connected|waits \w+ \w+|{.*)$", line)]

    def go(self):
        """All of it."""
        self.set_up()
        self.looks.append(self.look())
        self.began = time.monotonic()
        self.wall = time.time() - self.began
        try:
            for w in self.watchers:
                w.start()
            threads = [threading.Thread(target=self.do, args=(e,), daemon=True) for e in self.plan.events]
            for event, t in zip(self.plan.events, threads):
                while time.monotonic() < self.began + event.at - 0.5:
                    time.sleep(0.1)
                    self.check()
                t.start()
            while time.monotonic() < self.began + self.plan.seconds or any(t.is_alive() for t in threads):
                time.sleep(0.1)
                self.check()
                if time.monotonic() > self.began + self.plan.seconds + 90:
                    raise self.failed("events do not end")
            self.check()
            self.finish()
        except BaseException as e:
            self.keep_failure(e)
            raise
        finally:
            for w in self.watchers:
                w.going = False

    # -- after --

    def finish(self):
        """Everybody ends, every byte was right, and nothing is left."""
        ending = time.monotonic()
        for c in self.clients:
            c.send_signal(signal.SIGTERM)
        self.answers = []
        for c in self.clients:
            try:
                output = c.finish(FINISH_S)
            except Failed as e:
                raise self.failed(f"connections do not end: {e}") from None
            answer = traffic_answer(output)
            self.answers += answer["connections"]
            if not answer["ok"]:
                raise self.failed(f"{[r for r in answer['connections'] if r['error']]}")
        self.ended_after = time.monotonic() - ending
        silent = [r["name"] for r in self.answers if not r["up_bytes"] + r["down_bytes"]]
        if silent or self.troubled(self.server):
            raise self.failed(f"without a byte: {silent}; server: {self.server.output()[-2000:]}")
        for h in self.hosts.values():
            wait_for(lambda h=h: json.loads(h.shila("flows", "--json").stdout) == [], FINISH_S,
                     f"SEED={self.seed}: no flows are left on {h.host}", 0.3)
            wait_for(lambda h=h: descriptors(h.process.pid) <= self.fresh[h.host], 15,
                     f"SEED={self.seed}: not more than {self.fresh[h.host]} descriptors on {h.host}")
        for w in self.watchers:
            w.look()
        self.report()

    def keep_failure(self, error):
        """What there is to see at that moment, for who looks for the reason."""
        self.write({"seed": self.seed, "seconds": self.plan.seconds, "error": str(error), "events": self.plan.text().split("\n"),
                    "looks": self.looks, **self.look(), **{f"{h.host} log": h.log(True).split("\n") for h in self.hosts.values()},
                    "lab": self.pair.lab.status(), "clients": [c.output()[-20000:] for c in self.clients]})

    def look(self):
        """Both daemons and all sockets at this moment."""
        seen = {"at": time.monotonic() - (self.began or 0)}
        for h in self.hosts.values():
            for method in ("flows", "paths", "peers", "events", "status"):
                try:
                    seen[f"{h.host} {method}"] = h.rpc(method)
                except (OSError, ValueError, Failed) as e:
                    seen[f"{h.host} {method}"] = str(e)
            p = run(["nsenter", f"--net=/run/netns/{h.ns_egress if h is self.h1 else h.ns_ingress}", "ss", "-tinaMH"], check=False)
            seen[f"{h.host} ss"] = p.stdout.split("\n")
            seen[f"{h.host} mptcp"] = self.mptcp(h)
        return seen

    def mptcp(self, h):
        """What the kernel counted of MPTCP, without zeros."""
        return {name: n for name, n in h.nstat(ingress=h is self.h2).items() if name.startswith("MPTcpExt") and n}

    def write(self, what):
        file = os.environ.get("CHAOS_JSON") or os.path.join(BUILD, "chaos.json")
        with open(file, "w", encoding="utf-8") as f:
            json.dump(what, f, indent=1)
        owner = os.stat(BUILD)
        os.chown(file, owner.st_uid, owner.st_gid)
        self.say(f"chaos: {file}")

    def event_of(self, moment):
        """The event that something at this moment of the run is put down to: the last one that began before it."""
        near = [(steps[0][1], e) for e, steps in self.done if steps and steps[0][1] <= moment + 0.1
                and moment <= max(steps[-1][2], e.until) + 3]
        return max(near, key=lambda n: n[0])[1] if near else None

    def report(self):
        kinds = {kind: {"events": sum(e.kind == kind for e in self.plan.events), "stalls": 0, "longest_stall_s": 0, "by": None,
                        **dict.fromkeys(EVENTS, 0)} for kind in [*chaos_plan.KINDS, "none"]}
        for r in self.answers:
            for begin, end in r["stalls"]:
                event = self.event_of(begin - self.began + 0.05)
                k = kinds[event.kind if event else "none"]
                k["stalls"] += 1
                if end - begin > k["longest_stall_s"]:
                    k.update(longest_stall_s=round(end - begin, 2),
                             by=f"{r['name']} at {begin - self.began:.2f} s" + (f", #{event.number}" if event else ""))
        for w in self.watchers:
            for seen in w.seen:
                seen["at"] = round(seen["at"] - self.wall - self.began, 4)
                if seen["at"] > 0 and seen["event"] in EVENTS:
                    event = self.event_of(seen["at"])
                    kinds[event.kind if event else "none"][seen["event"]] += 1
        total = sum(r["up_bytes"] + r["down_bytes"] for r in self.answers)
        away = chaos_plan.outages(self.plan.events, self.plan.shape)
        rss = {h.host: memory_kb(h.process.pid) for h in self.hosts.values()}
        late = max((before - at for _, steps in self.done for at, before, _, _ in steps), default=0)
        lines = [f"chaos: SEED={self.seed}: {total / 1e6:.0f} MB over {len(self.answers)} connections in {self.plan.seconds:g} s, "
                 f"all bytes right; {sum(r['asked'] for r in self.answers)} questions; no way at all {len(away)} times, "
                 f"{sum(b - a for a, b in away):.0f} s, longest {max((b - a for a, b in away), default=0):.1f} s; "
                 f"ended within {self.ended_after:.1f} s; RSS {' '.join(f'{n} {kb} kB' for n, kb in rss.items())}; "
                 f"steps at most {late:.2f} s late; missed events {sum(w.missed for w in self.watchers)}",
                 f"{'kind':13}{'events':>7}{'stalls':>8}{'longest s':>10}" + "".join(f"{n:>9}" for n in (
                     "down", "suspect", "moved", "followed", "parked", "sf added", "sf lost", "re-made", "failed")) + "   longest by"]
        for kind, k in kinds.items():
            lines.append(f"{kind:13}{k['events']:>7}{k['stalls']:>8}{k['longest_stall_s']:>10.2f}" + "".join(
                f"{k[n]:>9}" for n in ("path_down", "path_suspect", "flow_moved", "flow_followed", "flow_parked", "subflow_added",
                                       "subflow_lost", "subflow_recreated", "subflow_failed")) + f"   {k['by'] or ''}")
        self.say("\n".join(lines))
        self.write({"looks": self.looks, "mptcp": {h.host: self.mptcp(h) for h in self.hosts.values()}, "links": self.pair.lab.counters(), "drops": {h.host: h.rpc("status")["drops"] for h in self.hosts.values()},
                    "seed": self.seed, "seconds": self.plan.seconds, "bytes": total, "kinds": kinds, "rss_kb": rss,
                    "ended_after_s": self.ended_after, "outages": away, "connections": [
                        {**r, "stalls": [[round(a - self.began, 3), round(b - self.began, 3)] for a, b in r["stalls"]]}
                        for r in self.answers],
                    "events": [{"number": e.number, "kind": e.kind, "target": e.target, "how": e.how, "at": e.at, "until": e.until,
                                "steps": steps} for e, steps in sorted(self.done, key=lambda d: d[0].number)],
                    "paths": {h.host: {p["fingerprint"][:8]: [x["interface"] % 100 for x in p["hops"]][::2] for p in h.rpc("paths")}
                              for h in self.hosts.values()},
                    "seen": {w.host.host: w.seen for w in self.watchers}})

    def close(self):
        if self.pair:
            self.pair.close()
        for p in self.started:
            p.wait(5)
