#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records what TUN devices hand to shilad, for the guard: record.py writes trains/*.hex beside itself.

Transfers of iperf3 between two hosts of one AS, each read of a TUN seen by strace. Of each kind of train
one is kept: virtio_net_hdr and headers as they were, the payload only as the length that the IP header
tells, as no instruction depends on what is in it. Needs root and a quarter of a minute.
"""
import os
import re
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))
sys.dont_write_bytecode = True

from harness import Lab, Shilad, temporary, wait_for  # noqa: E402

TUN = "".join(f"\\x{b:02x}" for b in b"/dev/net/tun")
READ = re.compile(r'read\(\d+<' + re.escape(TUN) + r'>, "((?:\\x[0-9a-f]{2})+)"')
TCP, UDP, SYN_FIN_RST = 6, 17, 0x07
DSS = (30, 2)


class Packet:
    """virtio_net_hdr and the first bytes of a packet."""

    def __init__(self, raw):
        self.gso_type, self.gso_size = raw[1], struct.unpack_from("<H", raw, 4)[0]
        ip = raw[10:]
        self.version = ip[0] >> 4
        if self.version == 4:
            l4, self.proto, self.len = (ip[0] & 15) * 4, ip[9], struct.unpack_from(">H", ip, 2)[0]
        else:
            l4, self.proto, self.len = 40, ip[6], 40 + struct.unpack_from(">H", ip, 4)[0]
        size = (ip[l4 + 12] >> 4) * 4 if self.proto == TCP else 8
        self.flags = ip[l4 + 13] if self.proto == TCP else 0
        self.payload = self.len - l4 - size
        self.headers = raw[:10 + l4 + size]
        self.options = ip[l4 + 20:l4 + size]

    def has_dss(self):
        i = 0
        while i + 2 < len(self.options) and self.options[i]:
            if self.options[i] == 1:
                i += 1
                continue
            if (self.options[i], self.options[i + 2] >> 4) == DSS:
                return True
            i += max(2, self.options[i + 1])
        return False


def transfer(name, client, server, cli, srv):
    """All packets that the TUNs of the client and of the server gave: {host: [Packet]}."""
    files = {h: os.path.join(temporary(), f"{name}.{h.host}") for h in (client, server)}
    listening = subprocess.Popen(srv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server.wait_listening(5201)
    traces = [subprocess.Popen(["strace", "-f", "-y", "-e", "trace=read", "-xx", "-s", "128", "-o", file, "-p",
                                str(h.process.pid)], stderr=subprocess.DEVNULL) for h, file in files.items()]
    wait_for(lambda: all(os.path.exists(f) for f in files.values()), 5, "strace")
    time.sleep(0.7)  # it attaches one thread after the other
    subprocess.run(cli, stdout=subprocess.DEVNULL, timeout=60, check=True)
    for t in traces:
        t.terminate()
        t.wait()
    listening.wait(10)
    packets = {}
    for h, file in files.items():
        with open(file, encoding="ascii") as f:
            packets[h] = [Packet(bytes.fromhex(m.group(1).replace("\\x", ""))) for m in map(READ.search, f) if m]
    return packets


def write(name, what, packet, origin):
    lines = [packet.headers[:10], packet.headers[10:]]
    text = f"# {what}\n# Made by tests/guard/record.py: {origin}.\n\n"
    text += f"{lines[0].hex()}  # virtio_net_hdr: gso_size {packet.gso_size}\n"
    for at in range(0, len(lines[1]), 20):
        part = lines[1][at:at + 20]
        text += " ".join(part[i:i + 4].hex() for i in range(0, len(part), 4)) + "\n"
    text += f"# and {packet.payload} bytes of payload\n"
    with open(os.path.join(HERE, "trains", name + ".hex"), "w", encoding="ascii") as f:
        f.write(text)
    print(f"{name}: {packet.payload} bytes, gso_size {packet.gso_size}, options {packet.options.hex()}")


def pick(packets, which, key):
    found = [p for p in packets if which(p)]
    if not found:
        sys.exit(f"record: no such train among {len(packets)}")
    return max(found, key=key)


def main():
    lab = Lab(topology="local")
    h2 = Shilad(lab, "h2", interfaces=1, log_level="info")
    h1 = Shilad(lab, "h1", interfaces=1, log_level="info")
    h1.wait_paths(1)
    os.makedirs(os.path.join(HERE, "trains"), exist_ok=True)
    for family in (4, 6):
        for mptcp in (False, True):
            name = f"{'mptcp' if mptcp else 'tcp'}{family}"
            program = f"iperf3 -C cubic, {'MPTCP' if mptcp else 'TCP'} over IPv{family}, hosts of one AS"
            seen = transfer(name, h1, h2,
                            h1.command(["iperf3", "-C", "cubic", "-n", "40M", "-c", h2.address(family)], mptcp=mptcp),
                            h2.command(["iperf3", "-s", "-1"], ingress=True, mptcp=mptcp))
            write(f"{name}_bulk", "The longest train of an upload.",
                  pick(seen[h1], lambda p: p.proto == TCP and p.gso_type and not p.flags & SYN_FIN_RST
                       and p.has_dss() == mptcp, lambda p: p.payload), program)
            write(f"{name}_ack", "A pure ACK of the receiver.",
                  pick(seen[h2], lambda p: p.proto == TCP and not p.payload and not p.flags & SYN_FIN_RST
                       and p.has_dss() == mptcp, lambda p: -len(p.options)), program)
    seen = transfer("udp4", h1, h2,
                    h1.command(["iperf3", "-u", "-l", "64", "-b", "1M", "-t", "1", "-c", h2.address(4)]),
                    h2.command(["iperf3", "-s", "-1"], ingress=True))
    write("udp4_small", "A datagram of 64 bytes.",
          pick(seen[h1], lambda p: p.proto == UDP and p.payload == 64, lambda p: p.len), "iperf3 -u -l 64")


if __name__ == "__main__":
    main()
