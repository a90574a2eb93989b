# SPDX-License-Identifier: Apache-2.0
"""The files that border router, control service and daemon read."""

import json
import os

from . import crypto
from .topology import CONTROL_PORT, DAEMON_PORT, LINK_PORT, ROUTER_PORT

# REST interfaces, on the loopback of the AS's namespace
ROUTER_API = "127.0.0.1:30401"
CONTROL_API = "127.0.0.1:30452"

# At 1 s the beacons alone would take 1.6 % of a link of 5 Mbit/s. What has not succeeded yet is tried
# every 500 ms whatever the interval, so a longer one does not make the start slower.
BEACON_INTERVAL = "10s"

# A hop is valid for (1 + ExpTime) of these; ExpTime is one byte.
EXP_TIME_UNIT_S = 86400 / 256
MAX_EXP_TIME_DEFAULT = 63


def max_exp_time(lifetime):
    """ExpTime for a path life time: None (the default of 6 h), "short", or at least that many s."""
    if lifetime is None:
        return MAX_EXP_TIME_DEFAULT
    if lifetime == "short":
        return 0
    return min(255, max(0, -int(-lifetime // EXP_TIME_UNIT_S) - 1))


def _topology(topo, asys, bfd):
    interfaces = {}
    for link, end in asys.interfaces:
        peer = link.other(end)
        interfaces[str(end.interface)] = {
            "underlay": {
                "local": topo.endpoint(end.address, LINK_PORT),
                "remote": topo.endpoint(peer.address, LINK_PORT),
            },
            "isd_as": peer.asys.isd_as,
            "link_to": end.link_to,
            "mtu": link.mtu,
            "bfd": {
                "detect_mult": 3,
                "desired_min_tx_interval": "100ms",
                "required_min_rx_interval": "100ms",
            } if bfd else {"disable": True},
        }
    return {
        "isd_as": asys.isd_as,
        "mtu": topo.mtu,
        # Never empty: the Go network stack then has no port to open.
        "dispatched_ports": "1024-65535",
        "attributes": ["core"] if asys.core else [],
        "border_routers": {
            "br": {"internal_addr": topo.endpoint(asys.address, ROUTER_PORT), "interfaces": interfaces},
        },
        "control_service": {"cs": {"addr": topo.endpoint(asys.address, CONTROL_PORT)}},
    }


def _toml(path, sections):
    with open(path, "w", encoding="ascii") as f:
        for section, values in sections.items():
            f.write(f"[{section}]\n")
            for key, value in values.items():
                # a TOML string, number or boolean is written as in JSON
                f.write(f"{key} = {json.dumps(value)}\n")


def write(topo, state_dir, bfd, lifetime, log_level):
    for a in topo.ases:
        base = crypto.as_dir(state_dir, a)
        run = os.path.join(state_dir, "db")
        os.makedirs(run, exist_ok=True)

        with open(os.path.join(base, "topology.json"), "w", encoding="ascii") as f:
            json.dump(_topology(topo, a, bfd), f, indent=1)

        policies = {}
        for key, kind in [("propagation", "Propagation"), ("core_registration", "CoreSegmentRegistration"),
                          ("up_registration", "UpSegmentRegistration"),
                          ("down_registration", "DownSegmentRegistration")]:
            policies[key] = os.path.join(base, f"{key}.yml")
            with open(policies[key], "w", encoding="ascii") as f:
                # the default of 20 beacons would hide paths when there are more parallel links
                f.write(f"Type: {kind}\nBestSetSize: 100\nCandidateSetSize: 200\n"
                        f"MaxExpTime: {max_exp_time(lifetime)}\n")

        log = {"level": log_level}
        _toml(os.path.join(base, "br.toml"), {
            "general": {"id": "br", "config_dir": base},
            # The default batch of 256 packets takes 100 MB of buffers.
            "router": {"num_processors": 1, "batch_size": 32},
            "log.console": log,
            "api": {"addr": ROUTER_API},
        })
        _toml(os.path.join(base, "cs.toml"), {
            "general": {"id": "cs", "config_dir": base},
            "beacon_db": {"connection": os.path.join(run, f"cs{a.asn}.beacon.db")},
            "trust_db": {"connection": os.path.join(run, f"cs{a.asn}.trust.db")},
            "path_db": {"connection": os.path.join(run, f"cs{a.asn}.path.db")},
            "beaconing": {
                "origination_interval": BEACON_INTERVAL,
                "propagation_interval": BEACON_INTERVAL,
                "registration_interval": BEACON_INTERVAL,
            },
            "beaconing.policies": policies,
            # What was incomplete at the start must not stay so for the default of 5 minutes.
            "path": {"query_interval": "1s"},
            # Everything twice otherwise, and the links are there for traffic.
            "rpc": {"client_protocol": "grpc"},
            "log.console": log,
            "api": {"addr": CONTROL_API},
        })
        _toml(os.path.join(base, "sd.toml"), {
            "general": {"id": "sd", "config_dir": base},
            "trust_db": {"connection": os.path.join(run, f"sd{a.asn}.trust.db")},
            "path_db": {"connection": os.path.join(run, f"sd{a.asn}.path.db")},
            "sd": {"address": topo.endpoint(a.address, DAEMON_PORT), "query_interval": "1s"},
            "log.console": log,
        })
