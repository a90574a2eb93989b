# SPDX-License-Identifier: Apache-2.0
"""Servers and clients of tests/tools through a contender."""

import contextlib
import json
import os
import signal

from harness import BUILD, Process, run, wait_for


def tool(name):
    return os.path.join(BUILD, "tests", name)


def listening(contender, port, protocol="tcp", seconds=10):
    """Waits until a program has the port where the servers of the contender are."""
    option = "-Hltn" if protocol == "tcp" else "-Hlun"
    argv = contender.server_command(["ss", option, "sport", "=", f":{port}"])
    wait_for(lambda: run(argv).stdout.strip(), seconds, f"{protocol} port {port} of {contender.name}")


@contextlib.contextmanager
def server(contender, argv, port, protocol="tcp"):
    """A Process that has the port; ended with the block."""
    process = Process(contender.server_command(argv))
    try:
        listening(contender, port, protocol)
        yield process
    finally:
        process.close()


def ask_to_end(process, seconds=10):
    """SIGTERM, and what it printed."""
    os.killpg(process.pid, signal.SIGTERM)
    return process.finish(seconds, code=None)


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


def more_ports(contender):
    """All that a client may use for its end of a connection, instead of 28000."""
    run(contender.client_command(["sh", "-c", "echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range"]))
