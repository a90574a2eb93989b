# SPDX-License-Identifier: Apache-2.0
"""What else can be sent through the routers: ready-made packets, and the SCION-IP gateway of scionproto."""

import json
import os
import signal

from harness import BUILD, Failed, run, spawn

from ..contender import Contender
from ..tunnel import Tunnel

ORDER = 5
# Frame header, thin TCP header and timestamps: what shila needs in each packet of a plain TCP connection.
OVERHEAD = 12 + 12 + 12
LOSS_PERMILLE = 10
TRIES = 3
CASES = {"up": ("client", "server"), "down": ("server", "client")}


class Generator(Contender):
    """tests/tools/router_load.c: looks for the best way to send, then measures that."""

    name = "generator"
    what = "ready-made full SCION packets, what a TCP could carry in them: the ceiling of the routers"
    set_ups = ("routers",)
    base = "generator"
    program = os.path.join(BUILD, "tests", "router_load")

    def __init__(self):
        self.seen = []
        self.ways = {}  # {case: [burst, window]}

    def missing(self):
        return None if os.path.exists(self.program) else "tests/router_load is not built"

    def start(self, bed):
        self.bed = bed
        for case in CASES:
            self._look(case)

    def throughput(self, case, seconds):
        for _ in range(TRIES):
            answer = self._run(case, seconds, self.ways[case])
            if answer["loss"] <= LOSS_PERMILLE / 1000:
                self.seen.append(answer)
                return answer["bits_per_second"] / 1e9, answer["received"] * answer["payload_bytes"]
            self._look(case)
        raise Failed(f"no way that lasts: {answer}")

    def _look(self, case):
        for n in range(TRIES):
            try:
                answer = self._run(case, 1, [])
                break
            except Failed as e:
                if n == TRIES - 1:
                    raise Failed(f"no way to send through the routers that loses at most {LOSS_PERMILLE / 10:g} %; "
                                 f"is the machine busy? {e}") from None
        self.ways[case] = [answer["burst"], answer["window"]]

    def _run(self, case, seconds, way):
        source, target = (getattr(self.bed, role) for role in CASES[case])
        lab = self.bed.lab
        argv = [self.program, lab.hosts[source]["daemon"], lab.scion_address(source), lab.scion_address(target),
                f"/run/netns/{lab.netns(target)}", OVERHEAD, max(1, round(seconds)), LOSS_PERMILLE, *way]
        return json.loads(run(self.bed.inside(source, argv), seconds + 30).stdout)

    def note(self):
        if not self.seen:
            return None
        best = max(self.seen, key=lambda a: a["bits_per_second"])
        return (f"packets of {best['packet_bytes']} bytes, {best['payload_bytes']} of them counted, at most "
                f"{LOSS_PERMILLE / 10:g} % lost; the best run: {best['packets_per_second']} packets a second, "
                f"{best['burst']} at once, {best['window']} under way")


class Gateway(Tunnel):
    """One gateway on each host, one session over the one path, static prefixes.

    A gateway asks the control service of the other AS where that AS has gateways, and this reads it in the
    topology of its AS.
    """

    name = "gateway"
    what = "SCION-IP gateway of scionproto v0.15.1"
    set_ups = ("routers",)
    base = "generator"
    ready_s = 40

    def configure(self):
        for host in (self.bed.server, self.bed.client):
            self._announce(host)

    def inner(self, host):
        return f"172.20.{host[1:]}.1"

    def _ports(self, host):
        address = self.bed.address(host)
        return {"ctrl_addr": f"{address}:30256", "data_addr": f"{address}:30056", "probe_addr": f"{address}:30856"}

    def _announce(self, host):
        lab = self.bed.lab
        number = lab.hosts[host]["isd_as"].split("-")[1]
        path = os.path.join(lab.info["state_dir"], "gen", f"AS{number}", "topology.json")
        with open(path, encoding="ascii") as f:
            topology = json.load(f)
        topology["sigs"] = {"gateway": self._ports(host)}
        with open(path, "w", encoding="ascii") as f:
            json.dump(topology, f, indent=1)
        os.kill(lab.processes(host)["control"], signal.SIGHUP)  # it reads the file again

    def start_on(self, host):
        lab, other = self.bed.lab, self.other(host)
        policy = os.path.join(self.bed.dir, f"gateway-{host}.policy")
        with open(policy, "w", encoding="ascii") as f:
            json.dump({"ASes": {lab.hosts[other]["isd_as"]: {"Nets": [f"172.20.{other[1:]}.0/24"]}},
                       "ConfigVersion": 1}, f)
        config = os.path.join(self.bed.dir, f"gateway-{host}.toml")
        sections = {
            "gateway": {"id": f"gateway-{host}", "traffic_policy_file": policy, **self._ports(host)},
            "tunnel": {"name": "sig", "src_ipv4": self.inner(host)},
            "sciond_connection": {"address": lab.hosts[host]["daemon"]},
            "log.console": {"level": "error"},
        }
        with open(config, "w", encoding="ascii") as f:
            for section, values in sections.items():
                f.write(f"[{section}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
        run(["ip", "-n", lab.netns(host), "address", "add", f"{self.inner(host)}/32", "dev", "lo"])
        self.processes[host] = spawn(self.bed.inside(host, [os.path.join(lab.info["tools"], "gateway"), "--config",
                                                            config]))


CONTENDERS = [Generator, Gateway]
