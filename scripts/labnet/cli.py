# SPDX-License-Identifier: Apache-2.0
"""Command line and output."""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time

from . import LabError, emulated, emulator, lab, links, netns, ready, state, topology

DEFAULT_NAME = "default"

EPILOG = """\
examples:
  scripts/lab up --topology parallel --links 3 --rate 20mbit
  scripts/lab up --topology leaf --links 8 --routers emulated
  scripts/lab status
  scripts/lab exec h1 scion showpaths 1-64513
  scripts/lab link 2 cut
  scripts/lab link 2 restore
  scripts/lab stop daemon@64512
  scripts/lab start --wait daemon@64512
  scripts/lab restart --kill --wait router@64513
  scripts/lab down

  scripts/lab up --emulated-links --delay 10ms --seed 7
  scripts/lab link 3 --loss 1% --jitter 2ms --direction ab
  scripts/lab link 1 blackhole --spare-bfd
  scripts/lab counters

Everything lives in network namespaces named lab-NAME-...; the network of the host is not touched.
Needs root and asks sudo for it. docs/lab.md draws the topologies."""


class Terminal:
    """Progress on stderr; one line that changes in place where that is possible."""

    def __init__(self):
        self.live = sys.stderr.isatty()
        self.color = self.live and "NO_COLOR" not in os.environ
        self.open_line = False
        self.last = None

    def say(self, text, seconds=None):
        self._close()
        when = "" if seconds is None else f"{seconds:6.1f} s  "
        print(f"{when}{text}", file=sys.stderr, flush=True)

    def progress(self, what, done, total):
        if self.live:
            print(f"\r\033[K          {what} {done} of {total}", end="", file=sys.stderr, flush=True)
            self.open_line = True
        elif done == total and what != self.last:
            self.say(f"          {what} {done} of {total}")
            self.last = what

    def error(self, text):
        self._close()
        head, _, rest = text.partition("\n")
        head = f"lab: {head}"
        print(f"\033[31m{head}\033[0m" if self.color else head, file=sys.stderr)
        if rest:
            print(rest, file=sys.stderr)

    def _close(self):
        if self.open_line:
            print("\r\033[K", end="", file=sys.stderr)
            self.open_line = False


def _per_link(kind):
    def parse(text):
        link, eq, value = text.partition("=")
        if not eq or not link.isdigit():
            raise argparse.ArgumentTypeError(f"{text!r} is not LINK=VALUE")
        try:
            return int(link), kind(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{value!r} is not a number") from None
    return parse


def _lifetime(text):
    if text == "short":
        return text
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if seconds <= 0:
        raise argparse.ArgumentTypeError("a number of seconds, or short")
    return seconds


def parser():
    p = argparse.ArgumentParser(prog="scripts/lab", epilog=EPILOG, description=__doc__.splitlines()[0],
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.description = "A real SCION network on this machine: routers, control services and daemons of " \
                    "scionproto in network namespaces."
    sub = p.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, text, **kw):
        c = sub.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", **kw)
        c.add_argument("--name", default=DEFAULT_NAME,
                       help="name of the lab, so that there can be several (default: %(default)s)")
        return c

    c = command("up", "start a lab and return when all its paths are there")
    c.add_argument("--topology", choices=topology.TOPOLOGIES, default="parallel",
                   help="parallel: two core ASes, N links; leaf: leaf, core, leaf, N + N links; "
                        "diamond: two leaves, two cores; local: one AS, two hosts (default: parallel)")
    c.add_argument("--links", type=int, metavar="N",
                   help="parallel links from AS to AS (default: 3; diamond: 1)")
    c.add_argument("--rate", default="none",
                   help="rate of each link in each direction, e.g. 20mbit, Ethernet header included "
                        "(default: none, not shaped)")
    c.add_argument("--link-rate", type=_per_link(str), action="append", default=[], metavar="LINK=RATE",
                   help="another rate for one link; can be repeated")
    c.add_argument("--mtu", type=int, help="largest SCION packet (default: 1472, with IPv6 1452); "
                                           "the veths get 28 or 48 bytes more")
    c.add_argument("--link-mtu", type=_per_link(int), action="append", default=[], metavar="LINK=MTU",
                   help="another MTU for one link; can be repeated")
    c.add_argument("--path-lifetime", type=_lifetime, metavar="SECONDS|short",
                   help="paths expire after at least so long, rounded up to a multiple of 337.5 s; "
                        "short: 337.5 s, the shortest that SCION knows (default: 6 h)")
    c.add_argument("--underlay", choices=("ipv4", "ipv6"), default="ipv4",
                   help="addresses of links, routers and hosts (default: ipv4)")
    c.add_argument("--hosts-per-as", type=int, metavar="K",
                   help="hosts in each AS that has any (default: 1; local: 2)")
    c.add_argument("--bfd", choices=("on", "off"), default="on",
                   help="off: no router notices that a link is dead (default: on, every 100 ms)")
    c.add_argument("--routers", choices=("real", "emulated"), default="real",
                   help="emulated: a fast stand-in for routers and daemons instead of the programs of scionproto, "
                        "which need not be there (default: real)")
    c.add_argument("--path-age", type=float, default=0, metavar="SECONDS",
                   help="with emulated routers: paths are so old already when they are asked for (default: 0)")
    c.add_argument("--log-level", choices=("debug", "info", "error"), default="info",
                   help="of the SCION programs (default: info)")
    c.add_argument("--timeout", type=float, default=30, metavar="SECONDS",
                   help="give up if not ready by then (default: 30)")
    c.add_argument("--json", action="store_true", help="print what status --json prints when ready")
    c.add_argument("--emulated-links", action="store_true",
                   help="one process (scripts/emulator) carries the packets of all links, and can delay, lose, "
                        "reorder, duplicate them; the default with any of the properties below and with emulated routers")
    c.add_argument("--seed", type=int, help="of the losses and the like of emulated links, so that a run can be "
                                            "repeated (default: a random one, see status)")
    emulator.add_options(c, with_rate=False)

    c = command("down", "stop a lab and remove every trace of it, whatever state it is in; programs "
                        "that still run in its namespaces are stopped too")
    c.add_argument("--all", action="store_true", help="all labs")

    c = command("status", "show addresses, daemons, links and their state; exit code 1 if not up")
    c.add_argument("--all", action="store_true", help="all labs; with --json an array")
    c.add_argument("--json", action="store_true")

    c = command("exec", "run a command in the network namespace of a host (h1) or of an AS's box "
                        "(as64512), with the SCION tools in PATH and SCION_DAEMON set",
                usage="scripts/lab exec [--name NAME] HOST COMMAND...")
    c.add_argument("host")
    c.add_argument("argv", nargs=argparse.REMAINDER, metavar="command")

    c = command("link", "change one link while the lab runs",
                epilog="cut: the link goes down, routers notice and say so by SCMP. blackhole: packets "
                       "vanish while both ends stay up; with BFD the routers notice after 300 ms, "
                       "without it (up --bfd off) nobody does. restore: undoes both. rate RATE: "
                       "another rate, or none. Without an action: the properties of an emulated link, which "
                       "stay while it is cut and restored; those that are not named stay as they are.")
    c.add_argument("link", metavar="LINK", help="id of the link as status shows it")
    c.add_argument("action", nargs="?", choices=("cut", "blackhole", "restore", "rate"))
    c.add_argument("rate", nargs="?", metavar="RATE", help="for rate, e.g. 5mbit")
    c.add_argument("--direction", choices=("both", "ab", "ba", "a", "b"), default="both",
                   help="blackhole, or properties, only of packets from the first end to the second (ab, a) or "
                        "back (ba, b)")
    c.add_argument("--spare-bfd", action="store_true",
                   help="blackhole of an emulated link: BFD passes, so that no router ever notices")
    emulator.add_options(c, with_rate=True)
    c.add_argument("--wait", action="store_true",
                   help="return when the routers at both ends have noticed (BFD)")

    programs = "router, control or daemon, @ and the AS: router@64512, daemon@1-64513"
    c = command("stop", "stop programs of ASes while the lab runs",
                epilog="Links, addresses and databases stay; hosts do not notice but by what is missing.")
    c.add_argument("program", nargs="+", metavar="PROGRAM@AS", help=programs)
    c.add_argument("--kill", action="store_true", help="SIGKILL instead of SIGTERM")

    c = command("start", "start programs again that were stopped or have ended")
    c.add_argument("program", nargs="+", metavar="PROGRAM@AS", help=programs)
    c.add_argument("--wait", action="store_true", help="return when they serve")

    c = command("restart", "stop programs and start them again")
    c.add_argument("program", nargs="+", metavar="PROGRAM@AS", help=programs)
    c.add_argument("--kill", action="store_true", help="SIGKILL instead of SIGTERM")
    c.add_argument("--wait", action="store_true", help="return when they serve")

    c = command("pause", "let programs hang (SIGSTOP): they are there, and do nothing")
    c.add_argument("program", nargs="+", metavar="PROGRAM@AS", help=programs)

    c = command("resume", "let paused programs go on (SIGCONT)")
    c.add_argument("program", nargs="+", metavar="PROGRAM@AS", help=programs)

    c = command("reseed", "start the random numbers of emulated links again, so that from here on a run repeats")
    c.add_argument("seed", type=int)

    c = command("counters", "packets and IP bytes that went into each link, per direction",
                epilog="The bytes are whole IP packets, without the Ethernet header. Included is what "
                       "routers say to each other: BFD and beacons, about 2.5 kB/s per link and direction. Of "
                       "emulated links also what became of them: delivered, lost and why, reordered, duplicated.")
    c.add_argument("--json", action="store_true")
    return p


def _build_arguments(args):
    return {"kind": args.topology, "links": args.links, "rate": args.rate, "mtu": args.mtu,
            "underlay": args.underlay, "hosts_per_as": args.hosts_per_as,
            "link_mtu": dict(args.link_mtu), "link_rate": dict(args.link_rate)}


def _up(args, term):
    build = _build_arguments(args)
    topo = topology.build(args.name, **build)  # complains before anything is done
    props = emulator.properties(args)
    options = {"bfd": args.bfd == "on", "path_lifetime": args.path_lifetime, "log_level": args.log_level,
               "timeout_s": args.timeout, "routers": args.routers, "path_age_s": args.path_age,
               "emulated_links": bool(args.emulated_links or props or args.routers == "emulated"),
               "link_properties": props,
               "seed": random.getrandbits(32) if args.seed is None else args.seed}
    if args.path_age and args.routers != "emulated":
        raise LabError("--path-age is for --routers emulated: real segments are as old as they are")
    if args.routers == "emulated":
        emulated.binary()
    elif options["emulated_links"]:
        emulator.find_program()
    elif args.seed is not None:
        raise LabError("a seed is for emulated links: --emulated-links")
    term.say(f"lab {topo.name}: {topo.kind}, {len(topo.ases)} ASes, {len(topo.links)} links, "
             f"{topo.underlay}, MTU {topo.mtu}, rate {args.rate}")
    tools = lab.find_tools() if args.routers == "real" else None
    lab.up(args.name, build, options, tools, term.say, term.progress)
    if args.json:
        print(json.dumps(lab.describe(*lab.load(args.name)), indent=1))
    else:
        term.say(f"hosts: {', '.join(f'{h.name} = {h.asys.isd_as},{h.address}' for h in topo.hosts)}; "
                 "more: scripts/lab status")


def _down(args, term):
    for name in state.names() if args.all else [args.name]:
        stopped = lab.down(name)
        if stopped is None:
            term.say(f"lab {name}: was not up")
        else:
            term.say(f"lab {name}: removed" +
                     (f", and stopped {stopped} other program{'s' if stopped > 1 else ''} in it" if stopped
                      else ""))


def _table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths))).rstrip())


def _print_status(d, color):
    def red(text, bad):
        return f"\033[31m{text}\033[0m" if bad and color else text

    print(f"lab {d['name']}: {d['topology']}, {d['underlay']}, MTU {d['mtu']}, BFD "
          f"{'on' if d['bfd'] else 'off'}, {d['routers']} routers, {d['paths_expected']} paths each way")
    _table([("HOST", "ADDRESS", "DAEMON", "NAMESPACE")] +
           [(h["name"], f"{h['isd_as']},{h['address']}", h["daemon"], h["netns"]) for h in d["hosts"]])
    if d["links"]:
        print()
        _table([("LINK", "ENDS", "RATE", "MTU", "STATE")] +
               [(str(link["id"]),
                 " - ".join(f"{e['isd_as']}#{e['interface']}" for e in link["ends"]),
                 link["rate"], str(link["mtu"]), red(link["state"], link["state"] != "up"))
                for link in d["links"]])
    if "emulator" in d:
        _print_emulator(d)
    print()
    _table([("AS", "", "ROUTER", "CONTROL", "DAEMON")] +
           [(a["isd_as"], "core" if a["core"] else "",
             *(red("-" if p not in a["processes"] else
                   f"pid {a['processes'][p]['pid']}" + (" paused" if a["processes"][p]["paused"] else "")
                   if a["processes"][p]["running"] else "ended",
                   p in a["processes"] and (a["processes"][p]["paused"] or not a["processes"][p]["running"]))
               for p in ("router", "control", "daemon"))) for a in d["ases"]])


def _print_emulator(d):
    e = d["emulator"]
    print(f"\nemulated links: pid {e['pid']}, seed {e['seed']}, CPU {sum(e['cpu_s'].values()):.2f} s of "
          f"{e['uptime_s']:.0f} s, {e['memory_bytes'] / 1e6:.1f} MB for packets")
    rows = []
    for link in d["links"]:
        ab, ba = (emulator.text_of(link["properties"][way]) for way in emulator.DIRECTIONS)
        for way, text in [("both", ab)] if ab == ba else [("ab", ab), ("ba", ba)]:
            if text:
                rows.append((str(link["id"]), way, text))
    if rows:
        _table([("LINK", "WAY", "PROPERTIES"), *rows])


def _status(args, term):
    names = state.names() if args.all else [args.name]
    found = []
    for name in names:
        try:
            found.append(lab.describe(*lab.load(name)))
        except LabError:
            if not args.all:
                raise
    if args.json:
        print(json.dumps(found if args.all else found[0], indent=1))
        return
    if not found:
        term.say("no lab is up")
    for i, d in enumerate(found):
        if i:
            print()
        _print_status(d, sys.stdout.isatty() and "NO_COLOR" not in os.environ)


def _exec(args, _term):
    topo, content = lab.load(args.name)
    places = {h.name: (h.netns, h.asys) for h in topo.hosts}
    places.update({f"as{a.asn}": (a.netns, a) for a in topo.ases})
    if args.host not in places:
        raise LabError(f"no host {args.host} in the lab {args.name}; there are {', '.join(places)}")
    where, asys = places[args.host]
    argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    if not argv:
        raise LabError("exec needs a command")
    env = dict(os.environ)
    if content["tools"]:
        env["PATH"] = f"{content['tools']}:{os.environ.get('PATH', '')}"
    if asys.hosts:
        env["SCION_DAEMON"] = topo.endpoint(asys.address, topology.DAEMON_PORT)
    full = netns.command(where, argv)
    sys.stdout.flush()
    os.execvpe(full[0], full, env)


def check_link(args, props):
    if (args.rate is not None) != (args.action == "rate"):
        raise LabError("a rate goes with `link LINK rate RATE`, and only with it")
    if bool(props) == bool(args.action):
        raise LabError("either cut, blackhole, restore, rate, or properties like --delay 10ms")
    if args.direction != "both" and args.action not in (None, "blackhole"):
        raise LabError("--direction is only for blackhole and properties")
    if args.spare_bfd and args.action != "blackhole":
        raise LabError("--spare-bfd is only for blackhole")
    if args.wait and (args.action in (None, "rate") or args.spare_bfd):
        raise LabError("nobody notices a rate: --wait is for cut, blackhole, restore")


def _change_emulated(name, link, args, props, direction):
    if args.action == "cut":
        emulator.cut(name, link)
    elif args.action == "blackhole":
        emulator.blackhole(name, link, direction, args.spare_bfd)
    elif args.action == "restore":
        emulator.restore(name, link)
    else:
        emulator.set_properties(name, link, props or {"rate_bit_s": topology.rate_bits(args.rate) or 0}, direction)


def _link(args, _term):
    props = emulator.properties(args)
    check_link(args, props)
    direction = {"a": "ab", "b": "ba"}.get(args.direction, args.direction)
    with state.locked(args.name, wait_s=5):
        topo, content = lab.load(args.name)
        link = links.find(topo, args.link)
        ours = content["options"].get("emulated_links")
        if not ours and (props or args.spare_bfd):
            raise LabError("only emulated links can do that: scripts/lab up --emulated-links")
        if ours:
            _change_emulated(args.name, link, args, props, direction)
        elif args.action == "cut":
            links.cut(link)
        elif args.action == "blackhole":
            links.blackhole(link, links.DIRECTIONS if direction == "both" else (direction,))
        elif args.action == "restore":
            links.restore(link)
        else:
            links.set_rate(topo, link, args.rate)
            content["rates"][str(link.id)] = args.rate
            state.save(args.name, content)
        if args.wait and content["options"]["bfd"]:
            ready.wait_link(link, "up" if args.action == "restore" else "down", time.monotonic() + 10,
                            args.name if lab.is_emulated(content) else None)


def _stop(args, _term):
    lab.stop_programs(args.name, args.program, 3, signal.SIGKILL if args.kill else signal.SIGTERM)


def _start(args, _term):
    lab.start_programs(args.name, args.program, 15 if args.wait else 0)


def _restart(args, _term):
    _stop(args, _term)
    _start(args, _term)


def _pause(args, _term):
    lab.signal_programs(args.name, args.program, signal.SIGSTOP)


def _resume(args, _term):
    lab.signal_programs(args.name, args.program, signal.SIGCONT)


def _reseed(args, _term):
    _, content = lab.load(args.name)
    if not content["options"].get("emulated_links"):
        raise LabError("only emulated links have a seed: scripts/lab up --emulated-links")
    emulator.reseed(args.name, args.seed)


def _print_emulated_counters(rows):
    _table([("LINK", "WAY", "BYTES", *(head for _, head in emulator.COUNTERS), "INSIDE")] +
           [(str(r["id"]), d, str(r[d]["bytes"]), *(str(r[d][name]["packets"]) for name, _ in emulator.COUNTERS),
             str(r[d]["inside"])) for r in rows for d in emulator.DIRECTIONS])


def _counters(args, _term):
    topo, content = lab.load(args.name)
    ours = content["options"].get("emulated_links")
    rows = emulator.counters(args.name, topo) if ours else links.counters(topo)
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    if ours:
        _print_emulated_counters(rows)
        return
    _table([("LINK", "A", "B", "A>B PACKETS", "A>B BYTES", "B>A PACKETS", "B>A BYTES")] +
           [(str(r["id"]), *(f"{e.asys.isd_as}#{e.interface}" for e in link.ends),
             *(str(r[d][k]) for d in links.DIRECTIONS for k in ("packets", "bytes")))
            for r, link in zip(rows, topo.links)])


def _become_root(argv, args):
    if os.geteuid() == 0:
        return
    if not shutil.which("sudo"):
        raise LabError("needs root for network namespaces, and there is no sudo: run it as root")
    if args.command == "up" and args.routers == "real":
        lab.find_tools()  # as the user, so that the cache stays the user's
    keep = [f"{key}={os.environ[key]}" for key in ("SHILA_BUILD", "SHILA_CACHE", "XDG_CACHE_HOME", "PATH", "NO_COLOR")
            if key in os.environ]
    script = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lab")
    os.execvp("sudo", ["sudo", "env", *keep, sys.executable, script, *argv])


def main(argv):
    args = parser().parse_args(argv)
    term = Terminal()

    def ended(signum, _frame):
        raise SystemExit(128 + signum)

    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, ended)
    # `status | head` is no error; writing to it ends the program, but only after up or down is done
    signal.signal(signal.SIGPIPE, signal.SIG_DFL if args.command in ("status", "counters") else
                  signal.SIG_IGN)
    try:
        _become_root(argv, args)
        {"up": _up, "down": _down, "status": _status, "exec": _exec, "link": _link,
         "stop": _stop, "start": _start, "restart": _restart, "pause": _pause, "resume": _resume,
         "reseed": _reseed, "counters": _counters}[args.command](args, term)
    except LabError as e:
        term.error(str(e))
        return 1
    except KeyboardInterrupt:
        term.error("stopped")
        return 130
    return 0
