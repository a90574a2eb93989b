# SPDX-License-Identifier: Apache-2.0
"""How many bytes a daemon sends for each byte that it gets: every frame type, in every state of a flow.

Each cell has a socket of its own, sends some packets and counts all that comes back until the kernel behind
the daemon has repeated what it repeats. Bytes are those of the SCION packets. The bytes of a cell are those of
the whole exchange: those of the OPEN that made its flow, and of the answer to that, are among them.

A client whose frame had the right name got the answer to its OPEN, so it is where it says. What a service sends to
such a client is the service's business: there it is one that sends back what it gets. To all others it wants to
send a hundred times what it gets.
"""

import collections
import time

import inject
from inject import (ACCEPT, ACK, ALIVE, CLOSE, DATA, DATAGRAM, DGRAM, HELLO, HELLO_ACK, OPEN, PROBE, PROBE_REPLY, PSH,
                    REJECT, SYN, UNKNOWN, TcpClient, frame, thin)

NAMES = {HELLO: "HELLO", HELLO_ACK: "HELLO-ACK", OPEN: "OPEN", ACCEPT: "ACCEPT", REJECT: "REJECT", ALIVE: "ALIVE",
         DATA: "DATA", DATAGRAM: "DATAGRAM", PROBE: "PROBE", PROBE_REPLY: "PROBE-REPLY", CLOSE: "CLOSE",
         UNKNOWN: "UNKNOWN"}
TIMES = 5  # packets of a cell
QUIET_S = 3.5  # the kernel repeats a SYN/ACK after 1 and 3 s

Cell = collections.namedtuple("Cell", "type port flow state socket")
Row = collections.namedtuple("Row", "type port flow state packets_in bytes_in packets_out bytes_out")


def well_formed(kind, to, mine, ports, tcp, seq, ack):
    """A frame of that type as it would be sent to that flow."""
    if kind in (HELLO, HELLO_ACK):
        return inject.hello(kind)
    if kind == OPEN:
        body = None if tcp else inject.udp_packet("10.7.9.9", "10.70.2.1", *ports, b"question")
        return inject.open_frame(mine, ports, body, inject.PLAIN if tcp else DGRAM, 6 if tcp else 17)
    if kind == ACCEPT:
        return inject.accept(to, mine, body=thin(1, 1, SYN | ACK))
    if kind in (REJECT, CLOSE):
        return inject.end(kind, to, mine, 7)
    if kind == ALIVE:
        return frame(ALIVE, to=to)
    if kind == DATA:
        return frame(DATA, thin(seq, ack, ACK), to=to)
    if kind == DATAGRAM:
        return frame(DATAGRAM, inject.udp_packet("10.7.9.9", "10.70.2.1", *ports, b"question"), to=to)
    if kind in (PROBE, PROBE_REPLY):
        return inject.probe(kind)
    return inject.unknown(mine, to[0] >> 12)


class Matrix:
    """new_injector: () -> Injector that poses as an allowed host. Ports of services: see STATES."""

    STATES = ("none", "TCP half-open", "TCP half-open, bare ACCEPT", "TCP established", "UDP half-open", "UDP established")

    def __init__(self, new_injector, stranger, contact, workers, tcp=8000, slow=8001, udp=9000, echo=9001):
        self.new, self.stranger, self.contact, self.workers = new_injector, stranger, contact, workers
        self.services = {"none": tcp, "TCP half-open": tcp, "TCP half-open, bare ACCEPT": slow,
                         "TCP established": tcp, "UDP half-open": udp, "UDP established": echo}
        self.echo = echo
        self.index = 0x400
        self.client_port = 20000
        self.cells = []

    def worker_of(self, a, b):
        return self.workers[((((a ^ b) * 0x9E3779B1) & 0xFFFFFFFF) >> 16) % len(self.workers)]

    def set_up(self, socket, state, source, proves):
        """Brings a flow into the state: (its name, our name, ports, seq, ack)."""
        self.index += 1
        self.client_port += 1
        service = self.echo if state == "UDP half-open" and proves else self.services[state]
        mine, ports = (self.index << 12 | 0x321, 0x7654), (self.client_port, service)
        if state == "none":
            return (0x33333 << 12 | 0x1, 0x1), mine, ports, 1000, 1
        if state.startswith("TCP"):
            c = TcpClient(socket, ports, self.index, self.contact, source)
            mine = c.name
            c.open(confirm=state == "TCP established", bare="bare" in state, port=self.worker_of(*ports) if self.index % 2 else self.contact)
            return c.peer, mine, ports, c.seq, c.ack
        question = well_formed(OPEN, None, mine, ports, False, 0, 0)
        if service == self.echo:
            question += bytes(1200 - len(question))  # as docs/protocol.md wants it, for the answer's sake
        socket.send(self.contact, question, source=source)
        peer = next(f.sender for f in socket.receive(5, ACCEPT) if f.type == ACCEPT)
        if state == "UDP established":
            socket.send(self.worker_of(*ports), frame(ALIVE, to=peer), source=source)
        return peer, mine, ports, 0, 0

    def add(self, kind, contact, known, state, source=None, who=""):
        socket = self.new()
        to, mine, ports, seq, ack = self.set_up(socket, state, source, known and kind in (ALIVE, DATA, DATAGRAM))
        port = self.contact if contact else self.worker_of(*ports)
        if not known:
            to, mine = (to[0] ^ 0x5, to[1]), (mine[0] ^ 0x5000, mine[1])
            if kind == OPEN:
                ports = (ports[0] + 20000, ports[1])  # else it is the same client that comes again
        for n in range(TIMES):
            socket.send(port, well_formed(kind, to, mine, ports, state.startswith("TCP") or state == "none", seq, ack),
                        source=source, flow=mine[0] >> 12)
        self.cells.append(Cell(NAMES[kind], "contact" if contact else "worker",
                               (("its name" if known else "another") if state != "none" else "none") + who, state, socket))

    def measure(self):
        for contact in (True, False):
            for kind in NAMES:
                for state in self.STATES:
                    for known in (True, False) if state != "none" else (False,):
                        self.add(kind, contact, known, state)
                self.add(kind, contact, False, "none", self.stranger, ", a stranger")
        end = time.monotonic() + QUIET_S
        while time.monotonic() < end:
            for c in self.cells:
                c.socket.receive()
            time.sleep(0.05)
        rows = [Row(c.type, c.port, c.flow, c.state, c.socket.packets_sent, c.socket.sent, c.socket.packets_got,
                    c.socket.got) for c in self.cells]
        for c in self.cells:
            c.socket.close()
        return rows


def table(rows):
    """Markdown: a line for each type, a column for each state of the flow that is named, the worse of both ports."""
    states = Matrix.STATES[1:]
    lines = ["| frame | names | no flow | a stranger's | " + " | ".join(states) + " |", "| --- " * (4 + len(states)) + "|"]

    def worst(**want):
        found = [r.bytes_out / r.bytes_in for r in rows if all(getattr(r, k) == v for k, v in want.items())]
        return f"{max(found):.2f}" if found else ""
    for kind in NAMES.values():
        for flow in ("its name", "another"):
            first = flow == "its name"
            lines.append(f"| {kind if first else ''} | {flow} | {worst(type=kind, flow='none') if first else ''} | "
                         f"{worst(type=kind, flow='none, a stranger') if first else ''} | " +
                         " | ".join(worst(type=kind, flow=flow, state=s) for s in states) + " |")
    total_in, total_out = sum(r.bytes_in for r in rows), sum(r.bytes_out for r in rows)
    worst_row = max(rows, key=lambda r: r.bytes_out / r.bytes_in)
    lines += ["", f"{len(rows)} cells: {total_in} bytes in {sum(r.packets_in for r in rows)} packets in, {total_out} bytes in "
              f"{sum(r.packets_out for r in rows)} packets out, {total_out / total_in:.2f}. The largest of a cell: "
              f"{worst_row.bytes_out / worst_row.bytes_in:.2f}."]
    return "\n".join(lines)
