# SPDX-License-Identifier: Apache-2.0
"""Namespaces, veth pairs and addresses. Nothing is made in the host's own network.

Neighbours are entered by hand on all veths, and IPv6 makes no addresses of its own: a link carries
what the routers send and nothing else, so its counters are exact.
"""

import ctypes
import os
import subprocess
import threading

from . import LabError

RUN_NETNS = "/run/netns"
CLONE_NEWNET = 0x40000000
TUN_QUEUE = 5000  # packets that may wait for the emulator: it never lets them, but may be late

_libc = ctypes.CDLL(None, use_errno=True)


def names():
    """All named namespaces of this machine."""
    try:
        return os.listdir(RUN_NETNS)
    except FileNotFoundError:
        return []


def run_in(netns, fn, *args):
    """Calls fn in a thread that is in the namespace, and gives what it returns."""
    result = {}

    def body():
        try:
            fd = os.open(os.path.join(RUN_NETNS, netns), os.O_RDONLY)
            try:
                if _libc.setns(fd, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"cannot enter {netns}")
            finally:
                os.close(fd)
            result["value"] = fn(*args)
        except BaseException as e:  # handed to the caller
            result["error"] = e

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    return result["value"]


def command(netns, argv):
    """The command line that runs argv in the namespace.

    Not `ip netns exec`: that gives the program a mount namespace of its own, and namespaces which
    the program makes would be visible to nobody else.
    """
    return ["nsenter", f"--net={os.path.join(RUN_NETNS, netns)}", "--", *argv]


def run(argv, stdin=None):
    """Runs a command of ip, tc or nft; its output, or LabError."""
    try:
        p = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LabError(f"there is no {argv[0]} here; try: scripts/setup lab") from None
    if p.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {p.stderr.strip() or 'failed'}")
    return p.stdout


def ip_batch(lines, netns=None):
    run(["ip", *(["-n", netns] if netns else []), "-batch", "-"], "\n".join(lines) + "\n")


def _sysctls(values):
    for key, value in values.items():
        path = "/proc/sys/net/" + key
        if os.path.exists(path):  # a kernel without IPv6 lacks some
            with open(path, "w", encoding="ascii") as f:
                f.write(str(value))


def neighbour_lines(link, end):
    """What the kernel forgets of an end when its device goes down, as lines for ip -batch."""
    peer = link.other(end)
    length = 30 if ":" not in end.address else 126
    nodad = "" if ":" not in end.address else " nodad"
    return [f"addr replace {end.address}/{length} dev {link.device}{nodad}",
            f"neigh replace {peer.address} lladdr {peer.mac} dev {link.device} nud permanent"]


def create(topo, make_links=None, devices=True):
    """Makes everything up to, and without, the rates of the links.

    make_links() is called instead of making the veths of the links, and makes TUN devices of their names.
    devices=False: links have none, as they are in the process of the routers.
    """
    lines = [f"netns add {name}" for name in topo.netns_names]
    for link in topo.links if devices and not make_links else []:
        a, b = link.ends
        mtu = link.mtu + topo.overhead
        lines.append(f"link add {link.device} netns {a.asys.netns} address {a.mac} mtu {mtu} "
                     f"type veth peer name {link.device} netns {b.asys.netns} address {b.mac} mtu {mtu}")
    for host in topo.hosts:
        mtu = topo.mtu + topo.overhead
        lines.append(f"link add {host.name} netns {host.asys.netns} address {_gateway_mac(host)} mtu {mtu} "
                     f"type veth peer name eth0 netns {host.netns} address {host.mac} mtu {mtu}")
    ip_batch(lines)
    if make_links:
        make_links()

    for a in topo.ases:
        # hosts of one AS reach each other through its box
        run_in(a.netns, _sysctls, {"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1})
        lines = ["link set lo up", f"addr add {a.address}/{topo.prefix_len} dev lo"]
        for link, end in a.interfaces if devices else []:
            lines.append(f"link set {link.device} addrgenmode none")
            if make_links:
                lines.append(f"link set {link.device} mtu {link.mtu + topo.overhead} txqueuelen {TUN_QUEUE}")
            lines.append(f"link set {link.device} up")
            lines += neighbour_lines(link, end)[:1 if make_links else 2]  # a TUN has no neighbours
        for host in a.hosts:
            lines.append(f"link set {host.name} addrgenmode none")
            lines.append(f"link set {host.name} up")
            lines.append(f"neigh replace {host.address} lladdr {host.mac} dev {host.name} nud permanent")
            # IPv6 wants the source on that very device, and chooses the address of lo by itself
            src = f" src {a.address}" if topo.underlay == "ipv4" else ""
            lines.append(f"route add {host.address}/{topo.prefix_len} dev {host.name}{src}")
        ip_batch(lines, a.netns)

    for host in topo.hosts:
        box = host.asys.address
        net = f"{box.rsplit('.', 1)[0]}.0/24" if topo.underlay == "ipv4" else f"{box[:-1]}/64"
        nodad = " nodad" if topo.underlay == "ipv6" else ""
        ip_batch(["link set lo up", "link set eth0 addrgenmode none", "link set eth0 up",
                  f"addr add {host.address}/{topo.prefix_len} dev eth0{nodad}",
                  f"neigh replace {box} lladdr {_gateway_mac(host)} dev eth0 nud permanent",
                  f"route add {box}/{topo.prefix_len} dev eth0 src {host.address}",
                  f"route add {net} via {box} dev eth0 src {host.address}"], host.netns)


def _gateway_mac(host):
    return "02:00:02" + host.mac[8:]


def delete(names_to_delete):
    for name in names_to_delete:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        # What a killed `ip netns add` leaves: a plain file where the namespace should be mounted.
        path = os.path.join(RUN_NETNS, name)
        if os.path.lexists(path):
            os.unlink(path)
