# SPDX-License-Identifier: Apache-2.0
"""Emulated links: one process (scripts/emulator) between the namespaces instead of a veth for each link. With emulated
routers (emulated.py) it is theirs.

Its properties in JSON are those of scripts/emulator/props.h; here is also how they are written on the command line.
"""

import argparse
import json
import os
import re
import socket
import time

from . import LabError, processes, state
from .topology import rate_bits

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
DIRECTIONS = ("ab", "ba")
NONE = ("none", "0")

# What the emulator counts of each direction, with the heads of the columns
COUNTERS = (("offered", "OFFERED"), ("delivered", "DELIVERED"), ("lost_random", "RANDOM"), ("lost_burst", "BURST"),
            ("lost_queue", "QUEUE"), ("lost_cut", "CUT"), ("lost_memory", "MEMORY"), ("reordered", "REORDERED"),
            ("duplicated", "DUPLICATED"))


# ---- how properties are written ----

def _milliseconds(text):
    m = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s)", text)
    if text not in NONE and not m:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; examples: 10ms, 250us, 1.5s, none")
    return 0 if text in NONE else float(m[1]) * {"us": 0.001, "ms": 1, "s": 1000}[m[2]]


def _probability(text):
    try:
        value = 0 if text == "none" else float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share of packets; examples: 1%, 0.01, none")
    return value


def _rate(text):
    try:
        return {"rate_bit_s": rate_bits(text) or 0}
    except LabError as e:
        raise argparse.ArgumentTypeError(str(e)) from None


def _delay(text):
    return {"delay_ms": _milliseconds(text)}


def _jitter(text):
    return {"jitter_ms": _milliseconds(text)}


def _loss(text):
    return {"loss": _probability(text)}


def _bursts(text):
    if text in NONE:
        return {"burst_start": 0, "burst_end": 0, "burst_loss": 0}
    every, _, rest = text.partition(":")
    length, _, loss = rest.partition(":")
    try:
        every, length = float(every), float(length)
    except ValueError:
        every = length = 0
    if every < 1 or length < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not EVERY:LENGTH or EVERY:LENGTH:LOSS, in packets; "
                                         "examples: 1000:20, 1000:20:50%, none")
    return {"burst_start": 1 / every, "burst_end": 1 / length, "burst_loss": _probability(loss or "100%")}


def _reorder(text):
    share, _, by = text.partition(":")
    return {"reorder": _probability(share), "reorder_ms": _milliseconds(by) if by else 0}


def _duplicate(text):
    return {"duplicate": _probability(text)}


def _queue(text):
    m = re.fullmatch(r"(\d+)(|k|M)B", text)
    if m:
        return {"queue_bytes": int(m[1]) * {"": 1, "k": 1000, "M": 1000000}[m[2]], "queue_ms": 0}
    return {"queue_bytes": 0, "queue_ms": _milliseconds(text)}


OPTIONS = (
    ("--delay", _delay, "TIME", "of every packet, e.g. 10ms"),
    ("--jitter", _jitter, "TIME", "more or less than the delay by up to so much; a new value every 2 x TIME, "
                                  "packets keep their order"),
    ("--loss", _loss, "SHARE", "each packet by itself, e.g. 1%%"),
    ("--bursts", _bursts, "EVERY:LENGTH[:LOSS]", "on average after EVERY packets comes a burst of LENGTH, of which "
                                                 "LOSS (100%%) are lost (Gilbert-Elliott), e.g. 1000:20"),
    ("--reorder", _reorder, "SHARE[:TIME]", "so many packets are held back by TIME (5ms), and others overtake them"),
    ("--duplicate", _duplicate, "SHARE", "so many packets come twice"),
    ("--queue", _queue, "TIME|SIZE", "what may wait for the rate, e.g. 20ms, 64kB (default: 50ms)"),
)


def add_options(parser, with_rate):
    group = parser.add_argument_group("properties of emulated links", "none or 0 takes one away")
    if with_rate:
        group.add_argument("--rate", dest="new_rate", type=_rate, metavar="RATE", help="e.g. 20mbit")
    for name, parse, metavar, text in OPTIONS:
        group.add_argument(name, type=parse, metavar=metavar, help=text)


def properties(args):
    """What was given on the command line, as the emulator has it."""
    props = dict(getattr(args, "new_rate", None) or {})
    for name, *_ in OPTIONS:
        props.update(getattr(args, name[2:]) or {})
    return props


def _number(value):
    return f"{value:.6g}"


def rate_text(bits):
    """As topology.rate_bits() reads it."""
    if not bits:
        return "none"
    unit, by = next((u, b) for u, b in (("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3)) if bits >= b or b == 1e3)
    return f"{_number(bits / by)}{unit}"


def text_of(props):
    """The properties of one direction in words, "" if there are none."""
    parts = []
    if props["rate_bit_s"]:
        parts.append(f"rate {rate_text(props['rate_bit_s'])}")
        if props["queue_bytes"]:
            parts.append(f"queue {props['queue_bytes']}B")
        elif props["queue_ms"]:
            parts.append(f"queue {_number(props['queue_ms'])}ms")
    for name in ("delay", "jitter"):
        if props[f"{name}_ms"]:
            parts.append(f"{name} {_number(props[f'{name}_ms'])}ms")
    if props["loss"]:
        parts.append(f"loss {_number(props['loss'] * 100)}%")
    if props["burst_start"]:
        parts.append(f"bursts {_number(1 / props['burst_start'])}:{_number(1 / props['burst_end'])}"
                     f":{_number(props['burst_loss'] * 100)}%")
    if props["reorder"]:
        parts.append(f"reorder {_number(props['reorder'] * 100)}%:{_number(props['reorder_ms'] or 5)}ms")
    if props["duplicate"]:
        parts.append(f"duplicate {_number(props['duplicate'] * 100)}%")
    return ", ".join(parts)


# ---- the process ----

def find_program():
    path = os.path.join(ROOT, os.environ.get("SHILA_BUILD", "build"), "scripts", "emulator", "lab-emulator")
    if not os.access(path, os.X_OK):
        raise LabError(f"there is no {path}; emulated links need the build:\n"
                       "meson setup build && ninja -C build scripts/emulator/lab-emulator")
    return path


def socket_path(name):
    return os.path.join(state.lab_dir(name), "emulator.sock")


def log_path(name):
    return os.path.join(state.lab_dir(name), "log", "emulator.log")


def write_config(topo, seed, props, end_of):
    """The file that names the links and what their ends are: end_of(link, end)."""
    links = []
    for link in topo.links:
        both = {**props, "rate_bit_s": rate_bits(link.rate) or 0}
        links.append({"id": link.id, "ab": both, "ba": both, "ends": [end_of(link, end) for end in link.ends]})
    path = os.path.join(state.lab_dir(topo.name), "emulator.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"seed": seed, "socket": socket_path(topo.name), "links": links}, f, indent=1)
    return path


def start(topo, seed, props, timeout_s=5):
    """Starts it and returns its process once all devices are there; they have no addresses yet."""
    program = find_program()
    path = write_config(topo, seed, props, lambda link, end: {"netns": end.asys.netns, "device": link.device})
    # In a namespace of the lab it is found by `down`, whatever else is lost.
    p = processes.start(topo.ases[0].netns, [program, "--config", path], log_path(topo.name))
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            call(topo.name, {"op": "show"})
            return p
        except LabError:
            if p.poll() is not None or time.monotonic() > deadline:
                with open(log_path(topo.name), encoding="utf-8", errors="replace") as f:
                    said = f.read().strip()
                p.kill()
                p.wait()
                raise LabError("the emulator of the links does not start" + (f"\n{said}" if said else "")) from None
        time.sleep(0.01)


def call(name, request):
    """The emulator's answer, or LabError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        try:
            s.connect(socket_path(name))
            s.sendall(json.dumps(request).encode() + b"\n")
            answer = bytearray()
            while not answer.endswith(b"\n"):
                part = s.recv(1 << 20)
                if not part:
                    raise OSError("it says nothing")
                answer += part
        except OSError as e:
            raise LabError(f"the emulator of the links of the lab {name} does not answer: {e}\n"
                           f"its log: {log_path(name)}") from None
    answer = json.loads(answer)
    if not answer["ok"]:
        raise LabError(answer["why"])
    return answer


def set_properties(name, link, props, direction="both"):
    call(name, {"op": "set", "link": link.id, "direction": direction, "props": props})


def cut(name, link):
    call(name, {"op": "set", "link": link.id, "props": {"cut": "all"}, "carrier": False})


def blackhole(name, link, direction, spare_bfd):
    set_properties(name, link, {"cut": "silent" if spare_bfd else "all"}, direction)


def restore(name, link):
    call(name, {"op": "set", "link": link.id, "props": {"cut": "none"}, "carrier": True})


def reseed(name, seed):
    call(name, {"op": "seed", "seed": seed})


def show(name):
    """The whole answer of the emulator, its links by their ids."""
    answer = call(name, {"op": "show"})
    answer["links"] = {link["id"]: link for link in answer["links"]}
    return answer


def state_of(link):
    """ "up", "cut", "blackhole", "silent", or those with -ab or -ba behind them. """
    if not link["carrier"]:
        return "cut"
    words = {"all": "blackhole", "silent": "silent"}
    cuts = [link[d]["props"]["cut"] for d in DIRECTIONS]
    if cuts[0] == cuts[1]:
        return words.get(cuts[0], "up")
    return "+".join(f"{words[c]}-{d}" for c, d in zip(cuts, DIRECTIONS) if c != "none")


def counters(name, topo):
    """As links.counters(), and for each direction what became of it."""
    shown = show(name)["links"]
    return [{"id": link.id, **{d: {**shown[link.id][d]["counters"]["offered"], **shown[link.id][d]["counters"],
                                   "inside": shown[link.id][d]["inside"]} for d in DIRECTIONS}}
            for link in topo.links]
