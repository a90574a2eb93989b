#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Captures what real SCION routers send to a host, and writes it beside itself as router_*.hex.

Starts a lab (scripts/lab, leaf with 2 + 2 links) over IPv4 and one over IPv6, listens with tcpdump on
the devices of both hosts, sends from h1 what makes routers answer, and stores one packet of each
kind. MACs and times differ each time. Needs root and takes half a minute.

    capture.py [DIRECTORY]
"""
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True

import make_scion  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
LAB = HERE.parent.parent / 'scripts' / 'lab'
WAIT_S = 10
SPORT, DPORT = 31000, 31001
# Sends one datagram from a port: a host's namespace, local address, port, peer, port, bytes in hex.
SEND = '''import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
s.sendto(bytes.fromhex(sys.argv[5]), (sys.argv[3], int(sys.argv[4])))
'''


class Lab:
    def __init__(self, underlay):
        self.name = 'vec%d%s' % (os.getpid(), underlay)
        self.info = json.loads(self.run('up', '--topology', 'leaf', '--links', '2', '--underlay',
                                        underlay, '--timeout', '60', '--json'))
        self.hosts = {h['name']: h for h in self.info['hosts']}

    def run(self, command, *args, check=True):
        p = subprocess.run([LAB, command, '--name', self.name, *args], capture_output=True, text=True)
        if check and p.returncode:
            raise SystemExit('lab %s: %s%s' % (command, p.stdout, p.stderr))
        return p.stdout

    def down(self):
        self.run('down', check=False)

    def enter(self, host, *cmd):
        return ['nsenter', '--net=/run/netns/' + self.hosts[host]['netns'], *cmd]


class Tap:
    """Payloads of the UDP datagrams that cross a host's device."""

    def __init__(self, lab, host):
        self.seen = []
        self.new = threading.Condition()
        self.proc = subprocess.Popen(
            lab.enter(host, 'tcpdump', '-U', '-n', '-w', '-', '-i', lab.hosts[host]['device'], 'udp'),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while b'listening on' not in self.proc.stderr.readline():
            if self.proc.poll() is not None:
                raise SystemExit('tcpdump did not start')
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        out = self.proc.stdout
        out.read(24)
        while len(head := out.read(16)) == 16:
            frame = out.read(struct.unpack('=IIII', head)[2])
            ip = frame[14:]
            ip_len = 40 if ip[0] >> 4 == 6 else 4 * (ip[0] & 15)
            udp_len = int.from_bytes(ip[ip_len + 4:ip_len + 6], 'big')
            with self.new:
                self.seen.append(ip[ip_len + 8:ip_len + udp_len])
                self.new.notify_all()

    def get(self, what, wanted):
        """The first payload that @wanted says yes to; awaited."""
        until = time.monotonic() + WAIT_S
        with self.new:
            while True:
                for p in self.seen:
                    if wanted(Parsed(p)):
                        return p
                left = until - time.monotonic()
                if left <= 0:
                    raise SystemExit('no %s came' % what)
                self.new.wait(left)

    def close(self):
        self.proc.terminate()
        self.proc.wait()


class Parsed:
    """Enough of a SCION packet to recognise and to annotate it."""

    def __init__(self, p):
        self.p = p
        self.lens = [4 * ((p[9] >> s & 3) + 1) for s in (4, 0)]
        self.path_at = 28 + sum(self.lens)
        self.l4_at = 4 * p[5]
        self.l4 = p[self.l4_at:]
        self.proto = p[4]

    def scmp(self, kind, code=0):
        return self.proto == make_scion.SCMP and self.l4[0] == kind and self.l4[1] == code

    def text(self, at):
        ia = self.p[12:28]
        host = self.p[28:28 + self.lens[0]] if at == 0 else self.p[28 + self.lens[0]:self.path_at]
        family = socket.AF_INET if len(host) == 4 else socket.AF_INET6
        isd = int.from_bytes(ia[8 * at:8 * at + 2], 'big')
        asn = int.from_bytes(ia[8 * at + 2:8 * at + 8], 'big')
        return '%d-%d' % (isd, asn), socket.inet_ntop(family, host)

    def rows(self):
        p = self.p
        yield 'version, traffic class, flow id', p[:4]
        yield ('next header %d, header %d bytes, payload %d bytes'
               % (p[4], self.l4_at, int.from_bytes(p[6:8], 'big')), p[4:8])
        yield 'path type, host types', p[8:12]
        yield 'to %s' % self.text(0)[0], p[12:20]
        yield 'from %s' % self.text(1)[0], p[20:28]
        yield 'to %s' % self.text(0)[1], p[28:28 + self.lens[0]]
        yield 'from %s' % self.text(1)[1], p[28 + self.lens[0]:self.path_at]
        meta = int.from_bytes(p[self.path_at:self.path_at + 4], 'big')
        segs = [n for n in (meta >> 12 & 63, meta >> 6 & 63, meta & 63) if n]
        at = self.path_at
        yield 'path meta', p[at:at + 4]
        at += 4
        for i in range(len(segs)):
            yield 'info %d' % i, p[at:at + 8]
            at += 8
        for i in range(sum(segs)):
            yield 'hop %d' % i, p[at:at + 12]
            at += 12
        head = 8 if self.proto == make_scion.UDP else 4
        yield ('UDP' if head == 8 else 'SCMP type %d code %d' % tuple(self.l4[:2])), self.l4[:head]
        if self.l4[head:]:
            yield 'behind it', self.l4[head:]


def udp_from(request, data):
    """The packet @request with UDP in the place of its own layer 4."""
    q = Parsed(request)
    addr = request[12:q.path_at]
    head = struct.pack('>HHH', SPORT, DPORT, 8 + len(data))
    pseudo = addr + make_scion.be(8 + len(data), 4) + make_scion.be(make_scion.UDP, 4)
    csum = make_scion.csum(pseudo + head + bytes(2) + data) or 0xffff
    p = bytearray(request[:q.l4_at] + head + make_scion.be(csum, 2) + data)
    p[4] = make_scion.UDP
    p[6:8] = make_scion.be(8 + len(data), 2)
    return p


def capture(lab, prefix, save):
    h1, h2 = lab.hosts['h1'], lab.hosts['h2']
    dst = '%s,%s' % (h2['isd_as'], h2['address'])
    way = '%s#0,1 1-64512#101,3 %s#103,0' % (h1['isd_as'], h2['isd_as'])
    router = next(a['address'] for a in lab.info['ases'] if a['isd_as'] == h1['isd_as'])
    one, two = Tap(lab, 'h1'), Tap(lab, 'h2')

    def scion(*args):
        lab.run('exec', 'h1', 'scion', *args, '--sequence', way, check=False)

    def send(packet):
        subprocess.run(lab.enter('h1', sys.executable, '-c', SEND, h1['address'], str(SPORT), router,
                                 '30042', bytes(packet).hex()), check=True)

    def first_if_down(ia, ifid):
        block = make_scion.ia(ia) + make_scion.be(ifid, 8)
        return lambda q: q.scmp(5) and q.l4[4:20] == block

    try:
        scion('ping', dst, '-c', '1', '-s', '21', '--timeout', '100ms')
        sent = one.get('echo request', lambda q: q.scmp(128))
        save(prefix + 'echo_sent', 'Echo request of `scion ping`, as h1 sends it.', sent)
        save(prefix + 'echo_delivered', 'The same at h2.', two.get('echo', lambda q: q.scmp(128)))

        good = udp_from(sent, b'from h1 to h2, by way of three routers')
        send(good)
        save(prefix + 'udp_delivered', 'UDP over the same path, at h2.',
             two.get('UDP', lambda q: q.proto == make_scion.UDP))

        scion('traceroute', dst)
        for ia, ifid, name in ((h1['isd_as'], 1, 'local'), ('1-64512', 101, 'core'),
                               (h2['isd_as'], 103, 'far')):
            block = make_scion.ia(ia) + make_scion.be(ifid, 8)
            save(prefix + 'traceroute_' + name, 'Traceroute reply of %s, interface %d.' % (ia, ifid),
                 one.get('traceroute reply', lambda q: q.scmp(131) and q.l4[8:24] == block))

        at = Parsed(sent).path_at
        save(prefix + 'traceroute_request', 'What `scion traceroute` asked the far end of link 3.',
             one.get('traceroute request', lambda q: q.scmp(130) and q.p[at + 56]))
        for name, code, why, offset, value in (
                ('invalid_mac', 51, 'Parameter problem: MAC of hop 0 changed.', at + 20 + 11, 1),
                ('path_expired', 52, 'Parameter problem: a year ago.', at + 4 + 4, 2),
                ('wrong_size', 19, 'Parameter problem: PayloadLen one more than there is.', 7, 1)):
            bad = bytearray(good)
            bad[offset] = (bad[offset] + value if offset == 7 else
                           bad[offset] - value if offset == at + 8 else bad[offset] ^ value)
            send(bad)
            save(prefix + name, why, one.get(name, lambda q: q.scmp(4, code)))

        lab.run('link', '3', 'cut', '--wait')
        send(good)
        save(prefix + 'ext_if_down', 'Link 3 is cut: interface 3 of the core AS is down.',
             one.get('SCMP 5', first_if_down('1-64512', 3)))
        lab.run('link', '1', 'cut', '--wait')
        send(good)
        save(prefix + 'ext_if_down_local', "Link 1 is cut: interface 1 of h1's own AS is down.",
             one.get('SCMP 5', first_if_down(h1['isd_as'], 1)))
    finally:
        one.close()
        two.close()


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE

    def save(name, why, packet):
        text = make_scion.hex_text(why, 'Captured by tests/vectors/capture.py: routers of scionproto '
                                   'v0.15.1.', Parsed(bytes(packet)).rows())
        (folder / (name + '.hex')).write_text(text)

    for underlay, prefix in (('ipv4', 'router_'), ('ipv6', 'router6_')):
        lab = Lab(underlay)
        try:
            capture(lab, prefix, save)
        finally:
            lab.down()


if __name__ == '__main__':
    main()
