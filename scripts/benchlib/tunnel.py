# SPDX-License-Identifier: Apache-2.0
"""What all tunnels between the two hosts have in common."""

from harness import Failed, run, wait_for

from .contender import Contender


class Tunnel(Contender):
    """Two daemons, one on each host, that programs reach each other through."""

    ready_s = 10

    def configure(self):
        """What both need before one of them starts."""

    def start_on(self, host):
        """Starts the daemon of that host, to be found in self.processes."""
        raise NotImplementedError

    def inner(self, host):
        """The address of the host in the tunnel."""
        raise NotImplementedError

    def start(self, bed):
        self.bed = bed
        self.processes = {}
        self.configure()
        for host in (bed.server, bed.client):
            self.start_on(host)
        wait_for(self.answers, self.ready_s, f"{self.name} carries a ping")

    def stop(self):
        for p in getattr(self, "processes", {}).values():
            p.close()

    def answers(self):
        for host, p in self.processes.items():
            if p.poll() is not None:
                raise Failed(f"{self.name} on {host} ended with {p.returncode}: {p.output()[-2000:]}")
        return run(self.client_command(["ping", "-c1", "-W1", self.address()]), check=False).returncode == 0

    def other(self, host):
        return self.bed.client if host == self.bed.server else self.bed.server

    def server_command(self, argv):
        return self.bed.inside(self.bed.server, argv)

    def client_command(self, argv):
        return self.bed.inside(self.bed.client, argv)

    def address(self, family=4):
        return self.inner(self.bed.server)

    def pids(self):
        return [p.pid for p in self.processes.values()]
