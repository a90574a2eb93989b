# SPDX-License-Identifier: Apache-2.0
"""One run of iperf3 through a contender."""

import contextlib
import json
import math
import time

from harness import Failed, Process, run

from .programs import server

OMIT_S = 1  # until the window has grown; not in the rate, but in the bytes that CPU is divided by
PORT = 5201
PARALLEL = 8
OPTIONS = {"up": [], "down": ["-R"], "ipv6": [], "parallel": ["-P", str(PARALLEL)]}


def client_argv(contender, case, seconds):
    """The rate does not depend on the machine's congestion control: cubic."""
    return contender.client_command(["iperf3", "-c", contender.address(6 if case == "ipv6" else 4), "-J", "-C", "cubic",
                                     "-t", math.ceil(seconds), "-O", OMIT_S, *OPTIONS[case]])


def answer_of(contender, text):
    try:
        answer = json.loads(text)
    except ValueError:
        raise Failed(f"iperf3 through {contender.name}: {text}") from None
    if "sum_received" not in answer.get("end", {}):
        raise Failed(f"iperf3 through {contender.name}: {answer.get('error')}")
    return answer


def rate(answer):
    return answer["end"]["sum_received"]["bits_per_second"] / 1e9


def run_case(contender, case, seconds):
    """(Gbit/s, bytes in all)"""
    with server(contender, ["iperf3", "-s", "-1"], PORT) as s:
        client = run(client_argv(contender, case, seconds), seconds + OMIT_S + 30, check=False)
        answer = answer_of(contender, client.stdout or client.stderr)
        s.finish(10)
    return rate(answer), sum(i["sum"]["bytes"] for i in answer["intervals"])


@contextlib.contextmanager
def load(contender, seconds):
    """One connection that sends all it can. The block must be over within so many seconds; then rate() of what it
    lends tells how much that was."""
    with server(contender, ["iperf3", "-s", "-1"], PORT):
        client = Process(client_argv(contender, "up", seconds))
        answer = {}
        try:
            time.sleep(OMIT_S)
            yield answer
            if client.poll() is not None:
                raise Failed(f"iperf3 through {contender.name} ended too early: {client.output()[-500:]}")
            answer.update(answer_of(contender, client.finish(seconds + 30, code=None)))
        finally:
            client.close()
