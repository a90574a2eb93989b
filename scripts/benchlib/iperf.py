# SPDX-License-Identifier: Apache-2.0
"""One run of iperf3 through a contender."""

import json

from harness import Failed, Process, run, wait_for

OMIT_S = 1  # until the window has grown; not in the rate, but in the bytes that CPU is divided by
PORT = 5201
PARALLEL = 8
OPTIONS = {"up": [], "down": ["-R"], "ipv6": [], "parallel": ["-P", str(PARALLEL)]}


def listening(contender, port, protocol="tcp", seconds=10):
    """Waits until a program has the port where the servers of the contender are."""
    option = "-Hltn" if protocol == "tcp" else "-Hlun"
    argv = contender.server_command(["ss", option, "sport", "=", f":{port}"])
    wait_for(lambda: run(argv).stdout.strip(), seconds, f"{protocol} port {port} of {contender.name}")


def serve(contender, argv, port, protocol="tcp"):
    """Starts a server and waits for its port: a Process."""
    server = Process(contender.server_command(argv))
    try:
        listening(contender, port, protocol)
    except BaseException:
        server.close()
        raise
    return server


def run_json(contender, case, seconds):
    """What iperf3 answered. The rate does not depend on the machine's congestion control: cubic."""
    server = serve(contender, ["iperf3", "-s", "-1"], PORT)
    try:
        client = run(contender.client_command(
            ["iperf3", "-c", contender.address(6 if case == "ipv6" else 4), "-J", "-C", "cubic", "-t", seconds,
             "-O", OMIT_S, *OPTIONS[case]]), seconds + OMIT_S + 30, check=False)
        try:
            answer = json.loads(client.stdout)
        except ValueError:
            raise Failed(f"iperf3 through {contender.name}: {client.stdout}{client.stderr}") from None
        if "sum_received" not in answer.get("end", {}):
            raise Failed(f"iperf3 through {contender.name}: {answer.get('error')}")
        server.finish(10)
        return answer
    finally:
        server.close()


def run_case(contender, case, seconds):
    answer = run_json(contender, case, seconds)
    in_all = sum(i["sum"]["bytes"] for i in answer["intervals"])
    return answer["end"]["sum_received"]["bits_per_second"] / 1e9, in_all
