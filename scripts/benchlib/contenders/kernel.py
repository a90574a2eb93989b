# SPDX-License-Identifier: Apache-2.0
"""Plain TCP and MPTCP of the kernel over the veth: what everybody is measured by."""

from ..contender import Contender

ORDER = 0


class Tcp(Contender):
    name = "tcp"
    what = "plain TCP over the veth"
    measurements = ("throughput", "rr", "connects", "many", "datagrams")
    cases = ("up", "down", "ipv6", "parallel")
    wrapper = ()

    def start(self, bed):
        self.bed = bed

    def server_command(self, argv):
        return self.bed.inside(self.bed.server, [*self.wrapper, *argv])

    def client_command(self, argv):
        return self.bed.inside(self.bed.client, [*self.wrapper, *argv])

    def address(self, family=4):
        return self.bed.address(self.bed.server, family)


class Mptcp(Tcp):
    name = "mptcp"
    what = "plain MPTCP over the veth, one subflow"
    measurements = ("throughput", "rr", "connects")
    wrapper = ("mptcpize", "run")


CONTENDERS = [Tcp, Mptcp]
