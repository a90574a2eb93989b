# SPDX-License-Identifier: Apache-2.0
"""What else can be sent through the routers: ready-made packets, and the SCION-IP gateway of scionproto."""

import json
import os
import signal

from harness import BUILD, Failed, run, spawn, wait_for

from ..contender import Contender

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


class Gateway(Contender):
    """One gateway on each host, one session over the one path, static prefixes.

    A gateway asks the control service of the other AS where that AS has gateways, and this reads it in the
    topology of its AS.
    """

    name = "gateway"
    what = "SCION-IP gateway of scionproto v0.15.1"
    set_ups = ("routers",)
    base = "generator"
    ready_s = 40

    def start(self, bed):
        self.bed = bed
        self.processes = {}
        for host in (bed.server, bed.client):
            self._announce(host)
        for host in (bed.server, bed.client):
            self._start_on(host)
        wait_for(self._answers, self.ready_s, "the gateways carry a ping", every=0.2)

    def stop(self):
        for p in getattr(self, "processes", {}).values():
            p.close()

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

    def _start_on(self, host):
        lab, me = self.bed.lab, host[1:]
        other = self.bed.client if host == self.bed.server else self.bed.server
        policy = os.path.join(self.bed.dir, f"gateway-{host}.policy")
        with open(policy, "w", encoding="ascii") as f:
            json.dump({"ASes": {lab.hosts[other]["isd_as"]: {"Nets": [f"172.20.{other[1:]}.0/24"]}},
                       "ConfigVersion": 1}, f)
        config = os.path.join(self.bed.dir, f"gateway-{host}.toml")
        sections = {
            "gateway": {"id": f"gateway-{host}", "traffic_policy_file": policy, **self._ports(host)},
            "tunnel": {"name": "sig", "src_ipv4": f"172.20.{me}.1"},
            "sciond_connection": {"address": lab.hosts[host]["daemon"]},
            "log.console": {"level": "error"},
        }
        with open(config, "w", encoding="ascii") as f:
            for section, values in sections.items():
                f.write(f"[{section}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
        run(["ip", "-n", lab.netns(host), "address", "add", f"172.20.{me}.1/32", "dev", "lo"])
        self.processes[host] = spawn(self.bed.inside(host, [os.path.join(lab.info["tools"], "gateway"), "--config",
                                                            config]))

    def _answers(self):
        for host, p in self.processes.items():
            if p.poll() is not None:
                raise Failed(f"gateway on {host} ended with {p.returncode}: {p.output()[-2000:]}")
        return run(self.client_command(["ping", "-c1", "-W1", self.address()]), check=False).returncode == 0

    def server_command(self, argv):
        return self.bed.inside(self.bed.server, argv)

    def client_command(self, argv):
        return self.bed.inside(self.bed.client, argv)

    def address(self, family=4):
        return f"172.20.{self.bed.server[1:]}.1"

    def pids(self):
        return [p.pid for p in self.processes.values()]


CONTENDERS = [Generator, Gateway]
