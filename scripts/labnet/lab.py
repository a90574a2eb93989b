# SPDX-License-Identifier: Apache-2.0
"""Up and down: the order in which everything happens."""

import os
import signal
import subprocess
import time

from . import LabError, config, crypto, emulated, emulator, links, netns, processes, ready, state, topology
from .topology import DAEMON_PORT

# The programs of an AS: name, configuration file, only where there are hosts
PROGRAMS = (("router", "br.toml", False), ("control", "cs.toml", False), ("daemon", "sd.toml", True))

# The arguments of topology.build() that lab.json keeps
BUILD_KEYS = ("kind", "links", "rate", "mtu", "underlay", "hosts_per_as", "link_mtu", "link_rate")


def rebuild(content):
    """The topology of a lab that is up, from its lab.json."""
    args = {key: content["build"][key] for key in BUILD_KEYS}
    for key in ("link_mtu", "link_rate"):  # JSON has no integer keys
        args[key] = {int(k): v for k, v in args[key].items()}
    topo = topology.build(content["name"], **args)
    for link in topo.links:
        link.rate = content["rates"].get(str(link.id), link.rate)
    return topo


def load(name):
    """(topology, lab.json) of a lab that is up, or LabError."""
    content = state.load(name)
    if not content or not content["ready"]:
        others = [n for n in state.names() if n != name]
        raise LabError(f"the lab {name} is not up" + (f" (but: {', '.join(others)})" if others else ""))
    return rebuild(content), content


def is_emulated(content):
    return content["options"].get("routers") == "emulated"


def find_tools():
    """The directory of the SCION programs, built now if this is the first time."""
    build = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lab-tools", "build")
    p = subprocess.run([build], stdout=subprocess.PIPE, text=True, check=False)
    if p.returncode != 0:
        raise LabError("the SCION programs are not there and could not be built; try: scripts/setup lab")
    return p.stdout.strip()


def owned_namespaces(name):
    pattern = topology.netns_pattern(name)
    return sorted(n for n in netns.names() if pattern.fullmatch(n))


def up(name, build, options, tools, say, progress):
    """Brings up a lab, or removes what it made and raises."""
    topo = topology.build(name, **build)
    began = time.monotonic()
    refused = False
    with state.locked(name, create=True):
        try:
            content = state.load(name)
            if content and content["ready"]:
                refused = True
                raise LabError(f"the lab {name} is up already; scripts/lab down --name {name} removes it")
            if content or owned_namespaces(name):
                say(f"removing what an earlier `up` of the lab {name} left behind")
                _remove(name)
                os.makedirs(state.lab_dir(name), mode=0o700, exist_ok=True)
            _up(topo, build, options, tools, began, say, progress)
        except BaseException:
            # The second Ctrl-C must not stop the cleaning up.
            for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(sig, signal.SIG_IGN)
            if not refused:
                _remove(name)
            raise


def _up(topo, build, options, tools, began, say, progress):
    def took():
        return time.monotonic() - began

    directory = state.lab_dir(topo.name)
    content = {"name": topo.name, "ready": False, "build": build, "options": options, "rates": {},
               "tools": tools, "up": processes.identify(os.getpid()), "processes": {}}
    state.save(topo.name, content)
    os.makedirs(os.path.join(directory, "log"))

    if is_emulated(content):
        netns.create(topo, devices=False)  # links come with the routers
    elif options.get("emulated_links"):
        def make_links():
            p = emulator.start(topo, options["seed"], options["link_properties"])
            content["emulator"] = processes.identify(p.pid)
            state.save(topo.name, content)

        netns.create(topo, make_links)
    else:
        netns.create(topo)
        links.set_all_rates(topo)
    say(f"{len(topo.netns_names)} namespaces and {len(topo.links)} links", took())
    if is_emulated(content):
        content["router_binary"] = emulated.binary()
        emulated.make_keys(topo, directory)
        emulated.write_ages(directory, config.max_exp_time(options["path_lifetime"]), options["path_age_s"])
    else:
        crypto.make(topo, directory, tools)
    config.write(topo, directory, options["bfd"], options["path_lifetime"], options["log_level"])
    say("keys, certificates, configuration", took())

    running = {}

    def start(*wanted):
        for a in topo.ases:
            for program, _, only_with_hosts in PROGRAMS:
                if program in wanted and (a.hosts or not only_with_hosts):
                    running[f"{program}-{a.asn}"] = _start(content, directory, program, a)
        state.save(topo.name, content)

    def check():
        for key, p in running.items():
            if p.poll() is not None:
                raise LabError(f"{key} has ended with exit code {p.returncode}")

    deadline = began + options["timeout_s"]
    waiter = ready.Waiter(topo, tools, deadline, check, progress, is_emulated(content))
    try:
        if is_emulated(content):
            running["routers"] = emulated.start_routers(content, topo, directory)
            start("daemon")
            emulated.wait_ready(topo.name, check, deadline)
            waiter.for_interfaces()
            ready.wait_serving([("daemon", a) for a in topo.ases if a.hosts], check, deadline)
            _became_ready(topo, content, took, say)
            return
        start("router", "daemon")
        # A control service that starts before its links are up loses its first beacons, and sends
        # the next ones only an interval later.
        waiter.for_interfaces()
        start("control")
        say(f"{len(running)} programs started, links up", took())
        waiter.for_paths()
    except LabError as e:
        raise LabError(f"{e}\n{_log_tails(directory)}") from None
    _became_ready(topo, content, took, say)


def _became_ready(topo, content, took, say):
    content["ready"] = True
    content["ready_after_s"] = round(took(), 2)
    state.save(topo.name, content)
    n = topo.paths_expected()
    say(f"ready: {n} path{'s' if n > 1 else ''} each way", took())


def _start(content, directory, program, asys):
    """Starts a program of an AS and notes it in lab.json, which the caller saves."""
    key = f"{program}-{asys.asn}"
    conf = next(c for p, c, _ in PROGRAMS if p == program)
    if is_emulated(content):
        argv = emulated.daemon_command(content["name"], asys)
    else:
        argv = [os.path.join(content["tools"], program), "--config",
                os.path.join(crypto.as_dir(directory, asys), conf)]
    p = processes.start(asys.netns, argv, os.path.join(directory, "log", key + ".log"))
    content["processes"][key] = processes.identify(p.pid)
    return p


def find_programs(topo, content, names):
    """[(key of lab.json, program, AS)] for names like router@64512 and daemon@1-64513."""
    ases = {text: a for a in topo.ases for text in (str(a.asn), a.isd_as)}
    found = []
    for name in names:
        program, _, where = name.partition("@")
        key = f"{program}-{ases[where].asn}" if where in ases else None
        known = set(content["processes"]) - {emulated.KEY}
        if emulated.KEY in content["processes"]:
            known |= {f"router-{a.asn}" for a in topo.ases}
        if key not in known:
            raise LabError(f"no {name!r} in the lab {content['name']}; there are "
                           + ", ".join(k.replace("-", "@") for k in sorted(known)))
        found.append((key, program, ases[where]))
    return found


def stop_programs(name, names, grace_s, first=signal.SIGTERM):
    """Stops programs of a lab that is up; those that have ended already are left as they are."""
    with state.locked(name, wait_s=10):
        topo, content = load(name)
        wanted = find_programs(topo, content, names)
        for key, _, asys in wanted:
            if key not in content["processes"]:
                emulated.stop_router(name, asys)
        processes.stop([content["processes"][key] for key, _, _ in wanted if key in content["processes"]], grace_s,
                       first)


def start_programs(name, names, wait_s):
    """Starts what does not run, and returns that; with wait_s once all of them serve, or LabError."""
    with state.locked(name, wait_s=10):
        topo, content = load(name)
        wanted = find_programs(topo, content, names)
        running = []
        for key, program, asys in wanted:
            if key not in content["processes"]:
                if processes.alive(content["processes"][emulated.KEY]):
                    emulated.start_router(name, asys)
                else:
                    running.append(("routers", emulated.start_routers(content, topo, state.lab_dir(name))))
            elif not processes.alive(content["processes"][key]):
                running.append((key, _start(content, state.lab_dir(name), program, asys)))
        state.save(name, content)

        def check():
            for key, p in running:
                if p.poll() is not None:
                    log = os.path.join(state.lab_dir(name), "log", key + ".log")
                    raise LabError(f"{key.replace('-', '@')} has ended with exit code {p.returncode}; "
                                   f"its log is {log}")

        if wait_s:
            deadline = time.monotonic() + wait_s
            if is_emulated(content):
                emulated.wait_ready(name, check, deadline)
            ready.wait_serving([(program, asys) for key, program, asys in wanted if key in content["processes"]],
                               check, deadline)
        else:
            check()
        return [p for _, p in running]


def signal_programs(name, names, sig):
    """SIGSTOP or SIGCONT for programs of a lab that is up."""
    with state.locked(name, wait_s=10):
        topo, content = load(name)
        for key, _, _ in find_programs(topo, content, names):
            if key not in content["processes"]:
                raise LabError("emulated routers are one process: they can be stopped, not paused")
            if not processes.send(content["processes"][key], sig):
                raise LabError(f"{key.replace('-', '@')} does not run")


def _log_tails(directory, lines=6):
    parts = []
    for entry in sorted(os.listdir(os.path.join(directory, "log"))):
        with open(os.path.join(directory, "log", entry), encoding="utf-8", errors="replace") as f:
            tail = f.read().splitlines()[-lines:]
        parts.append("\n".join([f"--- {entry}"] + [line[:300] for line in tail]))
    return "\n".join(parts)


def down(name):
    """Removes a lab whole, whatever state it is in; the number of other programs it had to stop.

    None if there was nothing to remove.
    """
    content = state.load(name)
    if content and not content["ready"] and content["up"]["pid"] != os.getpid():
        # An `up` at work cleans up after itself when it is told to stop.
        processes.stop([content["up"]], 10)
    with state.locked(name, wait_s=10) as there:
        if not there and not owned_namespaces(name):
            return None
        return _remove(name)


def _remove(name):
    content = state.load(name) or {"processes": {}}
    ours = list(content["processes"].values()) + ([content["emulator"]] if "emulator" in content else [])
    spaces = owned_namespaces(name)
    # Routers and the like have nothing to save, a shilad in a host's namespace has.
    known = {ident["pid"] for ident in ours}
    others = [processes.identify(pid) for pid in processes.in_namespaces(spaces) if pid not in known]
    processes.stop(others, 3)
    processes.stop(ours, 0.5)
    processes.stop([processes.identify(pid) for pid in processes.in_namespaces(spaces)], 0.5)
    # Again, until nothing is left: what a killed `up` had started may still be at work.
    deadline = time.monotonic() + 5
    while True:
        netns.delete(spaces)
        state.remove(name)
        left = owned_namespaces(name)
        if not left and not os.path.exists(state.lab_dir(name)):
            break
        if time.monotonic() > deadline:
            raise LabError(f"could not remove all of the lab {name}: "
                           + ", ".join(left or [state.lab_dir(name)]))
        spaces = left
        processes.stop([processes.identify(pid) for pid in processes.in_namespaces(spaces)], 0.5)
        time.sleep(0.02)
    return len(others)


def describe(topo, content):
    """Everything a script wants to know, as `status --json` prints it."""
    inside, shown = is_emulated(content), None
    if content["options"].get("emulated_links") and (not inside or processes.alive(content["emulator"])):
        shown = emulator.show(topo.name)
    if inside and not shown:
        link_states = {link.id: "cut" for link in topo.links}  # their process is gone
    elif shown:
        link_states = {i: emulator.state_of(link) for i, link in shown["links"].items()}
    else:
        link_states = links.states(topo)

    def daemon(a):
        return topo.endpoint(a.address, DAEMON_PORT)

    def programs(a):
        found = {program: {"pid": content["processes"][key]["pid"],
                           "running": processes.alive(content["processes"][key]),
                           "paused": processes.paused(content["processes"][key])}
                 for program, _, _ in PROGRAMS
                 for key in [f"{program}-{a.asn}"] if key in content["processes"]}
        if is_emulated(content):
            found["router"] = {"pid": content["processes"][emulated.KEY]["pid"],
                               "running": emulated.routers(topo.name).get(a.isd_as, {}).get("running", False),
                               "paused": False}
        return found

    described = {
        "name": topo.name,
        "topology": topo.kind,
        "underlay": topo.underlay,
        "mtu": topo.mtu,
        "bfd": content["options"]["bfd"],
        "routers": content["options"].get("routers", "real"),
        "paths_expected": topo.paths_expected(),
        "ready_after_s": content["ready_after_s"],
        "state_dir": state.lab_dir(topo.name),
        "tools": content["tools"],
        "ases": [{
            "isd_as": a.isd_as,
            "core": a.core,
            "netns": a.netns,
            "address": a.address,
            "daemon": daemon(a) if a.hosts else None,
            "processes": programs(a),
        } for a in topo.ases],
        "hosts": [{
            "name": h.name,
            "netns": h.netns,
            "isd_as": h.asys.isd_as,
            "address": h.address,
            "device": "eth0",
            "daemon": daemon(h.asys),
        } for h in topo.hosts],
        "links": [{
            "id": link.id,
            "state": link_states[link.id],
            "rate": link.rate,
            "rate_bit_s": topology.rate_bits(link.rate),
            "mtu": link.mtu,
            "ends": [{
                "isd_as": end.asys.isd_as,
                "interface": end.interface,
                "netns": end.asys.netns,
                "device": None if inside else link.device,
                "address": end.address,
            } for end in link.ends],
        } for link in topo.links],
    }
    if shown:
        described["emulator"] = {"pid": content["emulator"]["pid"], "socket": emulator.socket_path(topo.name),
                                 **{key: shown[key] for key in ("seed", "uptime_s", "cpu_s", "memory_bytes")}}
        for link in described["links"]:
            rates = [shown["links"][link["id"]][d]["props"]["rate_bit_s"] for d in emulator.DIRECTIONS]
            link["rate"] = "/".join(dict.fromkeys(map(emulator.rate_text, rates)))
            link["rate_bit_s"] = min((r for r in rates if r), default=None)
            link["properties"] = {d: shown["links"][link["id"]][d]["props"] for d in emulator.DIRECTIONS}
    return described
