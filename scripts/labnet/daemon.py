# SPDX-License-Identifier: Apache-2.0
"""Stands in for the SCION daemon of an AS, in a lab with emulated routers.

    python3 -m labnet.daemon LAB ASN

Knows the topology, so there is nothing to look up: it makes segments by itself, new ones every
interval_s, as old as paths.json says. That file is read again whenever it has changed:

    age_s       by so much older than now are new segments (0)
    exp_time    of their hop fields: they are good for (1 + exp_time) * 337.5 s (63)
    interval_s  so long the same segments are given (10)

Paths over interfaces that somebody has reported as down are held back for 10 s, as the real one does.
"""

import base64
import json
import os
import signal
import sys
import threading
import time

from . import crypto, grpc, lab, state
from .emulated import PATHS_FILE
from .grpc import build, value
from .hopfields import Age, HopKey, Segments, as_number
from .topology import DAEMON_PORT, ISD, ROUTER_PORT

DOWN_S = 10
AS_MASK = (1 << 48) - 1


def bytes_field(number, content):
    return [number, 2, content]


def number_field(number, content):
    return [number, 0, content]


def read_key(directory, asys):
    with open(os.path.join(crypto.as_dir(directory, asys), "keys", "master0.key"), encoding="ascii") as f:
        return HopKey(base64.b64decode(f.read()))


def path_message(path):
    fields = []
    if path.raw:
        address = build([bytes_field(1, build([bytes_field(1, path.next_hop.encode())]))])
        fields += [bytes_field(1, path.raw), bytes_field(2, address)]
        fields += [bytes_field(3, build([number_field(1, ia), number_field(2, ifid)])) for ia, ifid in path.interfaces]
    fields += [number_field(4, path.mtu), bytes_field(5, build([number_field(1, path.expiration)]))]
    return build(fields)


class Daemon:
    def __init__(self, topo, directory, asn):
        self.topo = topo
        self.me = next(a for a in topo.ases if a.asn == asn)
        self.segments = Segments(topo, {a.asn: read_key(directory, a) for a in topo.ases})
        self.file = os.path.join(directory, PATHS_FILE)
        self.down = {}  # (ISD-AS, interface): until when
        self.cache = {}  # (destination, age): paths
        self.lock = threading.Lock()

    def _age(self):
        with open(self.file, encoding="ascii") as f:
            wanted = json.load(f)
        interval = wanted["interval_s"]
        return Age(int(time.time() // interval * interval - wanted["age_s"]), wanted["exp_time"])

    def _paths_to(self, destination):
        age = self._age()
        key = (destination.asn, age.timestamp, age.exp_time)
        if key not in self.cache:
            self.cache = {k: v for k, v in self.cache.items() if k[1:] == key[1:]}
            self.cache[key] = self.segments.paths(self.me, destination, age)
        return self.cache[key]

    def paths(self, request):
        source, wanted = value(request, 1, 0), value(request, 2, 0)
        if source not in (0, as_number(self.me)) or wanted >> 48 not in (0, ISD):
            raise grpc.Failed(grpc.UNKNOWN, "no segments")
        found = next((a for a in self.topo.ases if a.asn == wanted & AS_MASK), None)
        if not found:
            raise grpc.Failed(grpc.UNKNOWN, "no segments")
        now = time.time()
        with self.lock:
            self.down = {k: t for k, t in self.down.items() if t > now}
            paths = [p for p in self._paths_to(found)
                     if p.expiration > now and not any(i in self.down for i in p.interfaces)]
        return build([bytes_field(1, path_message(p)) for p in paths])

    def asys(self, request):
        wanted = value(request, 1, 0) & AS_MASK or self.me.asn
        found = next((a for a in self.topo.ases if a.asn == wanted), None)
        if not found:
            raise grpc.Failed(grpc.UNKNOWN, "no such AS")
        return build([number_field(1, as_number(found)), number_field(2, int(found.core)),
                      number_field(3, self.topo.mtu if found is self.me else 0)])

    def interfaces(self, _request):
        address = build([bytes_field(1, build([bytes_field(
            1, self.topo.endpoint(self.me.address, ROUTER_PORT).encode())]))])
        return build([bytes_field(1, build([number_field(1, end.interface), bytes_field(2, address)]))
                      for _, end in self.me.interfaces])

    def port_range(self, _request):
        return build([number_field(1, 1024), number_field(2, 65535)])

    def interface_down(self, request):
        with self.lock:
            self.down[value(request, 1, 0), value(request, 2, 0)] = time.time() + DOWN_S
        return b""

    def call(self, method, request):
        return {"Paths": self.paths, "AS": self.asys, "Interfaces": self.interfaces, "PortRange": self.port_range,
                "NotifyInterfaceDown": self.interface_down}[method](request)


def main(argv):
    name, asn = argv
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    daemon = Daemon(lab.rebuild(state.load(name)), state.lab_dir(name), int(asn))
    grpc.Server((daemon.me.address, DAEMON_PORT), daemon.call).run()


if __name__ == "__main__":
    main(sys.argv[1:])
