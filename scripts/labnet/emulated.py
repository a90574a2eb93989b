# SPDX-License-Identifier: Apache-2.0
"""Emulated routers: one process for all of them and the links between them, scripts/emulator, and a daemon that needs
no control service.

No program of scionproto runs in such a lab, and none has to be there.
"""

import base64
import json
import os
import socket
import sys
import time

from . import LabError, crypto, emulator, processes, state

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
KEY = "routers"  # of all routers in lab.json's processes
CONTROL = "routers.sock"
PATHS_FILE = "paths.json"  # what the daemons read: how old segments are, and how long they live
INTERVAL_S = 10  # of new segments; that of the beacons of a real lab


def binary():
    build = os.path.join(ROOT, os.environ.get("SHILA_BUILD", "build"))
    path = os.path.join(build, "scripts", "emulator", "lab-routers")
    if not os.path.exists(path):
        raise LabError(f"the emulated routers are not built: {path} is not there; try: ninja -C {build}")
    return path


def make_keys(topo, directory):
    """What of the keys of an AS routers need; there are no certificates."""
    for a in topo.ases:
        keys = os.path.join(crypto.as_dir(directory, a), "keys")
        os.makedirs(keys, exist_ok=True)
        with open(os.path.join(keys, "master0.key"), "w", encoding="ascii") as f:
            f.write(base64.b64encode(os.urandom(16)).decode())


def write_ages(directory, exp_time, age_s):
    path = os.path.join(directory, PATHS_FILE)
    with open(path + ".new", "w", encoding="ascii") as f:
        json.dump({"age_s": age_s, "exp_time": exp_time, "interval_s": INTERVAL_S}, f)
    os.replace(path + ".new", path)


def start_routers(content, topo, directory):
    """With the links as `up` made them: what has been changed since is gone."""
    options = content["options"]
    links = emulator.write_config(topo, options["seed"], options["link_properties"],
                                  lambda _, end: {"isd_as": end.asys.isd_as, "interface": end.interface})
    argv = [content["router_binary"], "--control", os.path.join(directory, CONTROL), "--links", links]
    for a in topo.ases:
        argv += [a.netns, crypto.as_dir(directory, a)]
    # in a namespace of the lab, so that `down` finds it even if nobody has written down its id
    p = processes.start(topo.ases[0].netns, argv, os.path.join(directory, "log", "routers.log"))
    content["processes"][KEY] = content["emulator"] = processes.identify(p.pid)
    return p


def daemon_command(name, asys):
    return ["env", f"PYTHONPATH={os.path.join(ROOT, 'scripts')}", sys.executable, "-B", "-m", "labnet.daemon", name,
            str(asys.asn)]


def ask(name, command):
    """A command of the control socket; its answer, or OSError if the routers do not run."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(os.path.join(state.lab_dir(name), CONTROL))
        s.sendall(command.encode() + b"\n")
        answer = b""
        while part := s.recv(65536):
            answer += part
    return json.loads(answer)


def routers(name):
    """{ISD-AS: {"running", "interfaces": {id: "up" or "down"}}}, empty if they do not run"""
    try:
        return ask(name, "interfaces")
    except (OSError, ValueError):
        return {}


def interfaces(name, asys):
    """As ready.interfaces()."""
    return {int(i): up for i, up in routers(name).get(asys.isd_as, {"interfaces": {}})["interfaces"].items()}


def stop_router(name, asys):
    try:
        ask(name, f"stop {asys.isd_as}")
    except OSError:
        pass  # then none of them runs


def start_router(name, asys):
    error = ask(name, f"start {asys.isd_as}").get("error")
    if error:
        raise LabError(f"router@{asys.asn}: {error}")


def wait_ready(name, check, deadline):
    """Returns when the routers take commands."""
    while not routers(name):
        check()
        if time.monotonic() > deadline:
            raise LabError("the emulated routers do not answer in time")
        time.sleep(0.01)
