#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the vectors scion_*.hex, scmp_*.hex and golden_*.hex beside itself.

Packets are put together from their description, independently of the C code: checksums are
computed here, hop field MACs are constants. golden_* are the packets which scionproto/scion keeps as
pkg/slayers/testdata/*.bin, rebuilt field by field.

    make_scion.py            write
    make_scion.py --check    exit 1 if a file differs
"""
import ipaddress
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
UDP, HBH, E2E, SCMP, BFD = 17, 200, 201, 202, 203


def be(n, size):
    return n.to_bytes(size, 'big')


def ia(text):
    isd, asn = text.split('-')
    num = 0
    if ':' in asn:
        for group in asn.split(':'):
            num = num << 16 | int(group, 16)
    else:
        num = int(asn)
    return be(int(isd) << 48 | num, 8)


def host(text):
    return ipaddress.ip_address(text).packed


def csum(data):
    data += bytes(len(data) % 2)
    total = sum(int.from_bytes(data[i:i + 2], 'big') for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


class Path:
    """segments: (flags, segid, timestamp, [(flags, exp, in, eg, mac), ...])"""

    def __init__(self, segments, inf=0, hf=0):
        lens = [len(s[3]) for s in segments] + [0] * (3 - len(segments))
        self.meta = be(inf << 30 | hf << 24 | lens[0] << 12 | lens[1] << 6 | lens[2], 4)
        self.infos = [bytes([s[0], 0]) + be(s[1], 2) + be(s[2], 4) for s in segments]
        self.hops = [bytes([h[0], h[1]]) + be(h[2], 2) + be(h[3], 2) + bytes.fromhex(h[4])
                     for s in segments for h in s[3]]

    def rows(self):
        yield 'path meta', self.meta
        for i, b in enumerate(self.infos):
            yield 'info %d' % i, b
        for i, b in enumerate(self.hops):
            yield 'hop %d' % i, b


class Packet:
    def __init__(self, dst, src, path, flow, tc=0):
        self.dst, self.src, self.path, self.flow, self.tc = dst, src, path, flow, tc
        self.ext = []  # (row name, number, bytes behind the next header field)

    def addr(self):
        return ia(self.dst[0]) + ia(self.src[0]) + host(self.dst[1]) + host(self.src[1])

    def rows(self, proto, l4_rows):
        nibble = {4: 0, 16: 3}
        path = list(self.path.rows()) if self.path else []
        hdr = 12 + len(self.addr()) + sum(len(b) for _, b in path)
        nexts = [number for _, number, _ in self.ext] + [proto]
        ext = [(name, bytes([nexts[i + 1]]) + b) for i, (name, _, b) in enumerate(self.ext)]
        payload = sum(len(b) for _, b in ext + l4_rows)
        types = nibble[len(host(self.dst[1]))] << 4 | nibble[len(host(self.src[1]))]
        yield ('version, traffic class %02x, flow id %05x' % (self.tc, self.flow),
               be(self.tc << 20 | self.flow, 4))
        yield ('next header %d, header %d bytes, payload %d bytes' % (nexts[0], hdr, payload),
               bytes([nexts[0], hdr // 4]) + be(payload, 2))
        yield 'path type, host types', bytes([1 if self.path else 0, types, 0, 0])
        yield 'to ' + self.dst[0], ia(self.dst[0])
        yield 'from ' + self.src[0], ia(self.src[0])
        yield 'to ' + self.dst[1], host(self.dst[1])
        yield 'from ' + self.src[1], host(self.src[1])
        yield from path
        yield from ext
        yield from l4_rows

    def csum(self, proto, l4):
        return csum(self.addr() + be(len(l4), 4) + be(proto, 4) + l4)

    def udp(self, sport, dport, data):
        head = be(sport, 2) + be(dport, 2) + be(8 + len(data), 2)
        head += be(self.csum(UDP, head + bytes(2) + data) or 0xffff, 2)
        return list(self.rows(UDP, [('UDP %d to %d' % (sport, dport), head), ('data', data)]))

    def scmp(self, kind, code, body, data, with_csum=True):
        zero = bytes([kind, code, 0, 0]) + body + data
        c = self.csum(SCMP, zero) if with_csum else 0
        return list(self.rows(SCMP, [('SCMP type %d code %d' % (kind, code),
                                      bytes([kind, code]) + be(c, 2)),
                                     ('its block', body), ('quote or data', data)]))

    def bfd(self, data):
        return list(self.rows(BFD, [('BFD', data)]))


def raw(rows):
    return b''.join(b for _, b in rows)


VECTORS = {}


def hex_text(why, origin, rows):
    out = ['# %s' % line for line in why.split('\n')] + ['# %s' % origin, '']
    for comment, data in rows:
        for i in range(0, len(data), 16):
            row = data[i:i + 16].hex(' ', -4)
            out.append(row if i else '%-36s # %s' % (row, comment))
    return '\n'.join(out) + '\n'


def vector(name, why, rows):
    VECTORS[name] = hex_text(why, 'Made by tests/vectors/make_scion.py.', rows)


# ---- one and two segments ----

A, B = ('1-ff00:0:111', '10.1.0.2'), ('1-ff00:0:112', '10.2.0.2')

one = [(1, 0x1234, 0x66000000, [(0, 63, 0, 1, 'aabbccddeeff'), (0, 63, 41, 0, '112233445566')])]
vector('scion_one_segment_sent', 'One segment in construction direction, as its source sends it.',
       Packet(B, A, Path(one), 1).udp(31000, 31001, b'hello'))
vector('scion_one_segment_delivered', 'The same at its destination.',
       Packet(B, A, Path(one, 0, 1), 1).udp(31000, 31001, b'hello'))

# Real MACs: master key 000102..0f in all ASes, AES-CMAC over beta, timestamp, expiry, interfaces.
UP = [(0, 63, 41, 0, 'a48b27ba9270'), (0, 63, 0, 1, '6f33f2598167')]
DOWN = [(0, 63, 0, 2, '3db4bdf13ebf'), (0, 63, 42, 0, 'b76e32848f08')]
vector('scion_up_down_sent', 'Up and down through one core AS, real MACs, as its source sends it.',
       Packet(B, A, Path([(0, 0x7d07, 0x66000000, UP), (1, 0x5678, 0x66000100, DOWN)]), 1)
       .udp(31000, 31001, b'hello'))
vector('scion_up_down_delivered', 'The same at its destination: pointers and SegIDs have moved.',
       Packet(B, A, Path([(0, 0x1234, 0x66000000, UP), (1, 0x6bcc, 0x66000100, DOWN)], 1, 3), 1)
       .udp(31000, 31001, b'hello'))
vector('scion_up_down_reply', 'The answer, on the received path reversed.',
       Packet(A, B, Path([(0, 0x6bcc, 0x66000100, DOWN[::-1]), (1, 0x1234, 0x66000000, UP[::-1])]),
              1).udp(31001, 31000, b'world'))

# ---- every field used: IPv6, three segments, shortcut, peering, no path, extensions ----

C, D = ('2-64513', '2001:db8::c'), ('65535-ffff:ffff:fffe', 'fd00:1:2:3:4:5:6:d')


def hop(n, i, e):
    return (0, n * 37 & 0xff, i, e, '%012x' % (n * 0x0102030405 + 0xc00000000000))


three = [(0, 0xbeef, 1752000000, [hop(1, 11, 0), hop(2, 13, 12), hop(3, 15, 14),
                                  hop(4, 0, 16)]),
         (0, 0x0102, 1752000600, [hop(5, 22, 0), hop(6, 24, 23), hop(7, 0, 25)]),
         (1, 0xfedc, 1752001200, [hop(8, 0, 31), hop(9, 32, 33), hop(10, 34, 0)])]
vector('scion_three_segments', 'IPv6 hosts, up, core and down segment, all fields different.',
       Packet(D, C, Path(three, 2, 9), 0xabcde, 0xb8).udp(30000, 65535, bytes(range(1, 100))))
short = [(0, 0x1111, 1752000000, [hop(11, 41, 0), hop(12, 43, 42)]),
         (1, 0x2222, 1752000000, [hop(13, 44, 51), hop(14, 52, 0)])]
vector('scion_shortcut',
       'IPv4 to IPv6; segments cut at a common AS, whose interfaces to its core (43, 44) stay.',
       Packet(D, A, Path(short, 1, 3), 0x12345).udp(40000, 40001, b'shortcut'))
peer = [(2, 0x3333, 1752000000, [hop(15, 61, 0), hop(16, 71, 62)]),
        (3, 0x4444, 1752000000, [hop(17, 72, 63), hop(18, 64, 0)])]
vector('scion_peering', 'IPv6 to IPv4; up and down segment joined by a peering link (71, 72).',
       Packet(B, C, Path(peer, 1, 3), 0x54321, 0x02).udp(40002, 40003, b'peering'))
peer1 = [(2, 0x3333, 1752000000, [hop(19, 71, 0)]), (3, 0x4444, 1752000000, [hop(20, 72, 0)])]
vector('scion_peering_one_hop', 'A peering link alone: each segment has one hop.',
       Packet(B, A, Path(peer1, 1, 1), 0x99999).udp(40004, 40005, b'one hop'))
vector('scion_no_path', 'Inside of one AS, IPv6, no data.',
       Packet(('1-64512', '2001:db8::1'), ('1-64512', '2001:db8::2'), None, 0xfffff, 0xff)
       .udp(1, 2, b''))
ext = Packet(B, A, Path(one, 0, 1), 0x00e5)
ext.ext = [('hop-by-hop, an experimental option', HBH, bytes.fromhex('01 fd04 01020304')),
           ('end-to-end, PadN', E2E, bytes.fromhex('00 0100'))]
vector('scion_extensions', 'Hop-by-hop and end-to-end extension header before UDP.',
       ext.udp(31000, 31001, b'behind extensions'))

# ---- golden packets ----

G6, G4 = ('1-ff00:0:111', '2001:db8::68'), ('2-ff00:0:222', '10.0.0.100')
MAC = '010203040506'
gold = Path([(0, 0x0111, 0x100, [(0, 63, 1, 0, MAC), (0, 63, 3, 2, MAC)]),
             (1, 0x0222, 0x100, [(0, 63, 0, 2, MAC), (0, 63, 1, 0, MAC)])])
DATA = bytes(i & 0xff for i in range(1024))


def golden():
    return Packet(G6, G4, gold, 0xdead, 0xb8)


UPSTREAM = 'Equal to scionproto/scion: pkg/slayers/testdata/%s.bin.'
vector('golden_empty_udp', UPSTREAM % 'empty-udp',
       Packet(G6, ('1-ff00:0:111', '10.0.0.100'), None, 0xdead, 0xb8).udp(1280, 80, DATA))
vector('golden_scion_udp', UPSTREAM % 'scion-udp', golden().udp(1280, 80, DATA))
opt1e = '1e0c aaaaaaaa bbbbbbbbbbbbbbbb'
opt3e = '3e07 11222244444444'
gext = golden()
gext.ext = [('hop-by-hop', HBH, bytes.fromhex('06' + opt1e + '010100' + opt3e)),
            ('end-to-end', E2E, bytes.fromhex('07 00' + opt3e + '0104 00000000' + opt1e))]
vector('golden_scion_udp_extn', UPSTREAM % 'scion-udp-extn', gext.udp(1280, 80, DATA))
NOSUM = '\nIts checksum field is 0, which is wrong.'
vector('golden_scmp_dest_unreachable', UPSTREAM % 'scion-scmp-dest-unreachable' + NOSUM,
       golden().scmp(1, 6, bytes(4), b'\xff' * 18, False))
vector('golden_scmp_ext_int_down', UPSTREAM % 'scion-scmp-ext-int-down' + NOSUM,
       golden().scmp(5, 0, ia('1-ff00:0:111') + be(5, 8), b'\xff' * 18, False))
vector('golden_scmp_int_conn_down', UPSTREAM % 'scion-scmp-int-conn-down' + NOSUM,
       golden().scmp(6, 0, ia('1-ff00:0:111') + be(5, 8) + be(15, 8), b'\xff' * 18, False))
vector('golden_bfd', UPSTREAM % 'scion-bfd',
       Packet(('1-ff00:0:110', '127.0.0.9'), ('1-ff00:0:110', '127.0.0.10'), None, 0xdead, 0xb8)
       .bfd(bytes.fromhex('20c003185fa1e9cb7cd1c05d00030d4000030d4000000000')))

# ---- SCMP, with right checksums; a quote is a packet as it was on its way ----

ROUTER = ('1-ff00:0:110', '10.9.9.9')
back = Path([(1, 0x1234, 0x66000000, UP[::-1])], 0, 1)
quote = raw(Packet(B, A, Path([(0, 0x1234, 0x66000000, UP), (1, 0x5678, 0x66000100, DOWN)], 1, 2),
                   0x77777, 0x02).udp(31000, 31001, bytes(700)))


def error(name, why, kind, code, body, q=quote):
    vector('scmp_' + name, why, Packet(A, ROUTER, back, 0x77777, 0x02).scmp(kind, code, body, q))


IA, IF1, IF2 = ia('1-ff00:0:110'), be(1, 8), be(2, 8)
error('dest_unreachable', 'Destination unreachable: no route.', 1, 0, bytes(4))
error('too_big', 'The MTU of the next hop is 1280.', 2, 0, be(0, 2) + be(1280, 2))
error('path_expired', 'Parameter problem: path expired; the quote is cut in the payload.', 4, 52,
      be(0, 2) + be(0x60, 2), quote[:300])
error('ext_if_down', 'External interface 2 of 1-ff00:0:110 is down.', 5, 0, IA + IF2)
error('int_conn_down', 'From interface 1 to 2 inside of 1-ff00:0:110; the quote ends with the ports.',
      6, 0, IA + IF1 + IF2, quote[:108])
echo_sent = Packet(B, A, Path(one), 0x42).scmp(128, 0, be(31000, 2) + be(7, 2), b'ping')
error('quotes_echo', 'External interface down, quoting an echo request.', 5, 0, IA + IF2,
      raw(echo_sent))
vector('scmp_echo_request', 'Echo request at its destination.',
       Packet(B, A, Path(one, 0, 1), 0x42).scmp(128, 0, be(31000, 2) + be(7, 2), b'odd'))
vector('scmp_echo_reply', 'Echo reply, IPv6, no path.',
       Packet(('1-64512', 'fd00::1'), ('1-64512', 'fd00::2'), None, 0x43)
       .scmp(129, 0, be(31000, 2) + be(65535, 2), bytes(range(64))))
vector('scmp_traceroute_request', 'Traceroute request at a destination that no router answered for.',
       Packet(B, A, Path(one, 0, 1), 0x44).scmp(130, 0, be(31002, 2) + be(3, 2) + bytes(16), b''))
vector('scmp_traceroute_reply', 'Interface 41 of 1-ff00:0:112 answers.',
       Packet(A, B, Path([(0, 0x1234, 0x66000000, one[0][3][::-1])], 0, 1), 0x44)
       .scmp(131, 0, be(31002, 2) + be(3, 2) + ia('1-ff00:0:112') + be(41, 8), b''))


def main():
    bad = 0
    for name, text in VECTORS.items():
        path = HERE / (name + '.hex')
        if '--check' in sys.argv:
            if not path.exists() or path.read_text() != text:
                print('%s differs' % path.name)
                bad = 1
        else:
            path.write_text(text)
    return bad


if __name__ == '__main__':
    sys.exit(main())
