# SPDX-License-Identifier: Apache-2.0
"""The parts of scripts/lab: a SCION network in network namespaces.

    topology   what there is: ASes, hosts, links, addresses (no side effects)
    config     the files that router, control service and daemon read
    crypto     keys and certificates
    netns      namespaces, veth pairs, addresses
    emulator   links by the process of scripts/emulator: how it is started and asked
    links      a link at run time: rate, cut, black hole, counters
    processes  start and stop, so that nothing is left behind
    ready      when is the network usable
    emulated   routers and daemons that are no programs of scionproto: scripts/emulator, and
    daemon     the calls that shilad makes, served
    hopfields  segments and paths with valid MACs
    grpc       enough of HTTP/2, gRPC and protobuf for that
    state      what is remembered between two commands, and the lock
    lab        up and down: the order in which all this happens
    cli        command line and output
"""

import os

# tc and nft are in sbin; the PATH that comes through sudo may be that of a user, who has no sbin.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class LabError(Exception):
    """Something the user should read: one sentence, maybe with a second line on what to do."""
