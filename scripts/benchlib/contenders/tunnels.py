# SPDX-License-Identifier: Apache-2.0
"""Other tunnels in user space between the two hosts of one AS, in the namespaces of the hosts."""

import os
import shutil
import socket
import subprocess

from harness import Failed, run, spawn, wait_for

from .. import ROOT
from ..tunnel import Tunnel

ORDER = 20
BUILD = os.path.join(ROOT, "scripts", "bench-tools", "build")
READY_S = 10  # seconds: socket, device


class DeviceTunnel(Tunnel):
    """A TUN device for each; the address of host N in the tunnel is PREFIX.N."""

    prefix = None

    def inner(self, host):
        return f"{self.prefix}.{host[1:]}"

    def raise_device(self, host, device, mtu):
        ip = ["ip", "-n", self.bed.lab.netns(host)]
        run([*ip, "address", "add", f"{self.inner(host)}/24", "dev", device])
        run([*ip, "link", "set", device, "mtu", mtu, "up"])


class WireGuard(DeviceTunnel):
    """Configured over its own socket (https://www.wireguard.com/xplatform), so `wg` is not needed."""

    name = "wireguard-go"
    what = "wireguard-go, the user space WireGuard: encrypts"
    prefix = "172.21.0"
    port = 51820
    mtu = 1440  # what 1500 leaves after IPv4, UDP, WireGuard's header and its tag

    def missing(self):
        return None if self._program() else "not built: scripts/setup bench"

    @staticmethod
    def _program():
        found = subprocess.run([BUILD, "--check"], capture_output=True, text=True, check=False)
        return os.path.join(found.stdout.strip(), "wireguard") if found.returncode == 0 else None

    def version(self):
        with open(os.path.join(os.path.dirname(BUILD), "go.mod"), encoding="utf-8") as f:
            return next(line.split()[1] for line in f if line.split()[:1] == ["golang.zx2c4.com/wireguard"])

    def configure(self):
        self.keys = {h: _x25519_key(os.path.join(self.bed.dir, f"wg-{h}.pem"))
                     for h in (self.bed.client, self.bed.server)}

    def device(self, host):
        # its socket is in a directory that all hosts share
        return f"wg-{os.getpid() % 1000000}{host}"

    def start_on(self, host):
        device, other = self.device(host), self.other(host)
        self.processes[host] = spawn(self.bed.inside(host, [self._program(), "--foreground", device]))
        path = f"/var/run/wireguard/{device}.sock"
        wait_for(lambda: os.path.exists(path) or self.processes[host].poll() is not None, READY_S, path)
        _wireguard_set(path, {
            "private_key": self.keys[host][0], "listen_port": self.port, "replace_peers": "true",
            "public_key": self.keys[other][1], "endpoint": f"{self.bed.address(other)}:{self.port}",
            "replace_allowed_ips": "true", "allowed_ip": f"{self.inner(other)}/32",
        })
        self.raise_device(host, device, self.mtu)


def _x25519_key(path):
    """(private, public) as hex digits; a DER of such a key ends with its 32 bytes."""
    run(["openssl", "genpkey", "-algorithm", "X25519", "-out", path])
    ders = [subprocess.run(["openssl", "pkey", "-in", path, "-outform", "DER", *option], check=True,
                           capture_output=True).stdout for option in ([], ["-pubout"])]
    return [der[-32:].hex() for der in ders]


def _wireguard_set(path, values):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(READY_S)
        s.connect(path)
        s.sendall(("set=1\n" + "".join(f"{k}={v}\n" for k, v in values.items()) + "\n").encode())
        answer = s.recv(1 << 12).decode()
    if answer.strip() != "errno=0":
        raise Failed(f"wireguard-go refused its configuration: {answer}")


class Fastd(DeviceTunnel):
    name = "fastd"
    what = "fastd from Debian, method null: neither encrypts nor authenticates data"
    prefix = "172.22.0"
    port = 10000
    device = "fastd0"
    mtu = 1471  # what 1500 leaves after IPv4, UDP and fastd's one byte

    def missing(self):
        return None if shutil.which("fastd") else "not installed: scripts/setup bench"

    def version(self):
        return run(["dpkg-query", "-W", "-f", "${Version}", "fastd"], check=False).stdout or \
            run(["fastd", "--version"]).stdout.strip()

    def configure(self):
        self.keys = {}
        for host in (self.bed.client, self.bed.server):
            text = run(["fastd", "--generate-key", "--machine-readable"]).stdout.split()
            path = os.path.join(self.bed.dir, f"fastd-{host}.conf")
            with open(path, "w", encoding="ascii") as f:
                f.write(f'secret "{text[0]}";\n')
            public = run(["fastd", "--config", path, "--show-key", "--machine-readable"]).stdout.strip()
            self.keys[host] = (text[0], public)

    def start_on(self, host):
        other = self.other(host)
        path = os.path.join(self.bed.dir, f"fastd-{host}.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(f"""mode tun;
interface "{self.device}";
mtu {self.mtu};
method "null";
bind {self.bed.address(host)}:{self.port};
secret "{self.keys[host][0]}";
log level warn;
peer "{other}" {{
	key "{self.keys[other][1]}";
	remote {self.bed.address(other)}:{self.port};
}}
""")
        self.processes[host] = spawn(self.bed.inside(host, ["fastd", "--config", path]))
        present = ["ip", "-n", self.bed.lab.netns(host), "link", "show", self.device]
        wait_for(lambda: run(present, check=False).returncode == 0 or self.processes[host].poll() is not None,
                 READY_S, f"device of fastd on {host}")
        self.raise_device(host, self.device, self.mtu)


CONTENDERS = [WireGuard, Fastd]
