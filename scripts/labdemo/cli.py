# SPDX-License-Identifier: Apache-2.0
"""Command line: from the first step to the last one, and what happens in between when it ends."""

import argparse
import os
import sys
import time

from labnet import LabError, topology

from . import DemoError, demo, network, stopping
from .screen import Screen


def _parser():
    p = argparse.ArgumentParser(prog="scripts/demo", add_help=False)  # scripts/demo has the help
    p.add_argument("--started-us", type=int, default=int(time.time() * 1e6))
    p.add_argument("--build", required=True)
    p.add_argument("--links", type=int, default=3)
    p.add_argument("--rate", default="20mbit")
    p.add_argument("--keep", action="store_true")
    p.add_argument("--emulated", action="store_true")
    p.add_argument("--remove", nargs="?", const="", metavar="NAME")
    return p


def _error(screen, text):
    head, _, rest = text.partition("\n")
    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    try:
        sys.stdout.flush()
        print(f"\033[31mdemo: {head}\033[0m" if color else f"demo: {head}", file=sys.stderr)
        if rest:
            print(rest, file=sys.stderr)
        sys.stderr.flush()
    except OSError:
        pass  # the terminal is gone


def _how_to_use(screen, net):
    def command(path):
        return os.path.relpath(path) if not os.path.relpath(path).startswith("..") else path

    shila = f"sudo {command(net.shila)} --control {net.socket_path(network.CLIENT)}"
    scripts = command(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    link = net.described["links"][0]["id"]
    for text in ("", "Left running, as --keep says. To use it:",
                 f"  {shila} run iperf3 -c {network.MANY}    # {network.ONE}: over one path",
                 f"  {shila} flows --watch",
                 f"  {shila} paths",
                 f"  sudo {scripts}/lab link {link} cut --name {net.name}    # or restore",
                 f"  sudo {scripts}/lab status --name {net.name}",
                 f"Logs and configurations: {net.directory}. To remove it:",
                 f"  {scripts}/demo --remove {net.name}"):
        screen.say(text)


def _remove(name, screen):
    wanted = [name] if name else network.names()
    if not wanted:
        screen.say("nothing to remove")
    for n in wanted:
        net = network.Network.load(n)
        if net.busy:
            screen.say(f"{n}: is still at work and removes itself; Ctrl-C ends it")
            continue
        with stopping.shielded():
            net.remove()
        screen.say(f"{n}: removed")
    return 0


def _run(args, screen):
    rate_bits = topology.rate_bits(args.rate)
    net = network.Network(network.free_name(), args.build)
    keep, code = False, 1
    try:
        routers = "emulated" if args.emulated else "real"
        screen.title(f"starting the lab {net.name}: {args.links} + {args.links} links at {args.rate}, {routers} routers")
        net.up(args.links, args.rate, routers,
               lambda text, seconds=None: screen.step(f"  {text.strip()}"),
               lambda what, done, total: screen.progress(f"{what} {done} of {total}"))
        screen.step("a shilad on either host is ready")
        show = demo.Demo(net, screen, args.links, rate_bits)
        problems = show.run()
        keep = args.keep
        if keep and show.cut_link:
            net.link(show.cut_link, "restore")
        code = 1 if problems else 0
        for problem in problems:
            _error(screen, problem)
    except (DemoError, LabError) as e:
        _error(screen, str(e))
    except stopping.Stopped as e:
        keep, code = False, e.exit_code
        _error(screen, "stopped, removing everything")
    finally:
        # One signal is enough, and none may stop the cleaning up.
        stopping.ignore()
        if keep:
            net.keep()
            _how_to_use(screen, net)
        else:
            try:
                net.remove()
                if code <= 1:
                    screen.say()
                    screen.step("everything is removed")
            except (DemoError, OSError) as e:
                _error(screen, f"{e}\n" + f"try: scripts/demo --remove {net.name}")
                code = code or 1
    return code


def main(argv):
    args = _parser().parse_args(argv)
    screen = Screen(args.started_us / 1e6)
    stopping.install()
    try:
        if args.remove is not None:
            return _remove(args.remove, screen)
        return _run(args, screen)
    except (DemoError, LabError) as e:
        _error(screen, str(e))
        return 1
    except stopping.Stopped as e:
        return e.exit_code
