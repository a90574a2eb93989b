#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the first files of tests/fuzz/corpus/ from tests/vectors and from a list of texts.

Other files in the corpus directories (crashes that were found) are left alone.
"""
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / 'vectors'

TEXTS = ['1-64512', '65535-ffff:ffff:ffff', '2-0:0:fc00', '1-64512,10.0.0.1',
         '1-ff00:0:110,2001:db8::1', '1-64512,[::1]', '[1-64512,10.0.0.1]:9000',
         '1-64512,10.0.0.1:9000', '1-64512,[::1]:9000',
         '[65535-ffff:ffff:ffff,2001:db8:1234:5678:9abc:def0:1234:5678]:65535',
         '[1-1,::ffff:1.2.3.4]:0', '1-ff00:0:300]:14,[1.2.3.4]']
sys.dont_write_bytecode = True
sys.path.insert(0, str(VECTORS))
import make_frame  # noqa: E402


def load(path):
    return bytes.fromhex(''.join(line.split('#')[0] for line in path.read_text().splitlines()))


def path_of(packet):
    """The raw path of a SCION packet; hosts are 4 or 16 bytes."""
    hosts = sum(4 * ((packet[9] >> s & 3) + 1) for s in (4, 0))
    return packet[28 + hosts:4 * packet[5]]


def write(target, name, data):
    folder = HERE / 'corpus' / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


for vector in sorted([*VECTORS.glob('scion_*.hex'), VECTORS / 'router6_udp_delivered.hex']):
    packet = load(vector)
    write('scion_packet', vector.stem, packet)
    if packet[8] == 1:
        write('scion_path', vector.stem, path_of(packet))
for vector in sorted([*VECTORS.glob('scmp_*.hex'), VECTORS / 'router6_ext_if_down.hex']):
    packet = load(vector)
    if len(packet) < 500:
        write('scmp', vector.stem, packet)
for vector in [*VECTORS.glob('config/good/*.yaml'), *VECTORS.glob('config/bad/*_text.yaml')]:
    write('config', vector.stem, vector.read_bytes())
for i, text in enumerate(TEXTS):
    write('scion_addr', 'text_%02d' % i, text.encode())
for vector in sorted(VECTORS.glob('frame_*.hex')):
    write('frame', vector.stem, load(vector))

CLIENT4, SERVER4, CLIENT6, SERVER6 = '10.7.1.1', '10.70.1.5', 'fd07::1', 'fd70::5'
segment = bytes.fromhex('9c401451 01020304 05060708 80180100 00000003 0101080a 01020304 05060708') + b'data!'
tcp4 = make_frame.ip_packet(CLIENT4, SERVER4, 6, segment, 16)
tcp6 = make_frame.ip_packet(CLIENT6, SERVER6, 6, segment, 16)
unreachable = bytes.fromhex('0301000000000000')
too_big = bytes.fromhex('0200000000000500')


def extended(packet, chain):
    """With IPv6 extension headers (hex) whose first has type @packet[6]."""
    chain = bytes.fromhex(chain)
    size = int.from_bytes(packet[4:6], 'big') + len(chain) - 1
    return packet[:4] + size.to_bytes(2, 'big') + chain[:1] + packet[7:40] + chain[1:] + packet[40:]


INET = {
    'tcp4': tcp4,
    'tcp6': tcp6,
    'udp4': make_frame.UDP,
    'udp6': make_frame.udp_packet(CLIENT6, SERVER6, 1, 53, b'odd'),
    'ping4': make_frame.ip_packet(CLIENT4, SERVER4, 1, bytes.fromhex('08000000 7788 0001'), 2),
    'ping6': make_frame.ip_packet(CLIENT6, SERVER6, 58, bytes.fromhex('80000000 7788 0001'), 2),
    'error4': make_frame.ip_packet(SERVER4, CLIENT4, 1, unreachable + tcp4, 2),
    'error4_udp': make_frame.ip_packet(SERVER4, CLIENT4, 1, unreachable + make_frame.UDP, 2),
    'error4_short': make_frame.ip_packet(SERVER4, CLIENT4, 1, unreachable + tcp4[:28], 2),
    'error6': make_frame.ip_packet(SERVER6, CLIENT6, 58, too_big + tcp6, 2),
    'fragment4': tcp4[:6] + b'\x20\x00' + tcp4[8:],
    'later4': tcp4[:6] + b'\x00\xb9' + tcp4[8:],
    'extended6': extended(tcp6, '00 3c00010400000000 2b00010400000000 0600000000000000'),
    'fragment6': extended(tcp6, '2c 0600000112345678'),
    'later6': extended(tcp6, '2c 0600000812345678'),
}
for name, packet in INET.items():
    write('inet', name, packet)
OPTIONS = {
    'syn': make_frame.CAPABLE_SYN, 'syn_ack': make_frame.CAPABLE_SYN_ACK, 'join': make_frame.JOIN_SYN,
    'dss': make_frame.DSS, 'third_ack': bytes.fromhex('1e140101') + make_frame.KEY_A + make_frame.KEY_B,
    'join_syn_ack': bytes.fromhex('1e101000f0887d55805502e13c2b3181'), 'fast_open': bytes.fromhex('22020101'),
    'join_ack': bytes.fromhex('1e181000a5a2277fd88c1392c6255784f63aae7ee01647cf'),
    'fast_open_experiment': bytes.fromhex('020405b4fe04f989'),
    'mptcp_short': 38 * b'\x01' + b'\x1e\x02', 'dss_short': 37 * b'\x01' + b'\x1e\x03\x20',  # to the last byte
}
for name, options in OPTIONS.items():
    write('tcp_options', name, options)


# What fuzz_inbound and fuzz_outbound begin with is described there.
def record(kind, flow, data):
    return bytes([kind, flow]) + len(data).to_bytes(2, 'big') + data


def thin(seq, flags=0x10, options=b''):
    return struct.pack('>IIBBH', seq, 7, (20 + len(options)) // 4 << 4, flags, 500) + options


DATA, DATAGRAM, ALIVE = b'\x07\x00\x00', b'\x08\x00\x00', b'\x06\x00\x00'
DSS = make_frame.DSS
udp4 = make_frame.udp_packet('10.7.1.1', '10.70.1.5', 40003, 5201, b'datagram' * 30)
udp6 = make_frame.udp_packet('fd07::1', 'fd70:1::5', 40004, 5201, b'datagram')
echo = make_frame.ip_packet('10.7.1.1', '10.70.1.5', 1, bytes.fromhex('08000000 9c45 0001'), 2)
echo6 = make_frame.ip_packet('fd07::1', 'fd70:1::5', 58, bytes.fromhex('80000000 9c46 0001'), 2)
quoted = make_frame.ip_packet('10.70.1.5', '10.7.1.1', 6, bytes.fromhex('14519c41 00000001 00000002 50100000 00000000'), 16)
error = make_frame.ip_packet('10.7.1.1', '10.70.1.5', 1, unreachable + quoted, 2)
INBOUND = {
    'merge': b''.join(record(2, 0, DATA + thin(100 * i, 0x18 if i == 5 else 0x10, DSS) + b'x' * 100) for i in range(6)),
    'two_flows': b''.join(record(2, i % 2, DATA + thin(10 * (i // 2)) + b'0123456789') for i in range(8)),
    'flags': b''.join(record(2, 0, DATA + thin(0, 1 << i) + b'x' * (4 + i)) for i in range(8)),
    'ack': record(2, 0, DATA + thin(1, 0x10)) * 3 + record(2, 1, ALIVE),
    'moved': record(2, 0, b'\x07\x00\x05' + thin(1) + b'x') + record(2, 2, b'\x08\x00\x05' + udp4),
    'datagrams': b''.join(record(2, f, DATAGRAM + p) for f, p in [(2, udp4), (3, udp6), (4, echo), (5, echo6), (0, error)]),
    'parts': record(2, 2, b'\x08\x01\x00\0\x07\0\0' + udp4[:100]) + record(2, 2, b'\x08\x03\x00\0\x07\0\0' + udp4[100:]),
    'parts_reversed': (record(2, 2, b'\x08\x03\x00\0\x07\0\0' + udp4[99:]) +
                       record(2, 2, b'\x08\x01\x00\0\x07\0\0' + udp4[:99])),
    'frames': b''.join(record(1, 0, load(v)) for v in sorted(VECTORS.glob('frame_*.hex'))),
    'raw': record(0, 0, load(VECTORS / 'scion_up_down_delivered.hex')),
}
for name, data in INBOUND.items():
    write('inbound', name, data)


def vnet(flags=1, gso_type=0, gso_size=0):
    return struct.pack('<BBHHHH', flags, gso_type, 0, gso_size, 20, 16)


large = make_frame.ip_packet('10.7.1.1', '10.70.1.5', 6, segment[:32] + bytes(range(256)) * 11, 16)
large6 = make_frame.ip_packet('fd07::1', 'fd70:1::5', 6, segment[:32] + bytes(range(256)) * 11, 16)
OUTBOUND = {
    'tso4': b'\x80' + vnet(1, 1, 500) + large, 'tso6': b'\x81' + vnet(1, 4, 100) + large6, 'single': b'\x80' + vnet() + large,
    'ack': b'\x80' + vnet() + tcp4[:52], 'complete': b'\x80' + vnet(0) + tcp4, 'udp4': b'\x82' + vnet(0) + udp4,
    'udp6': b'\x83' + vnet(1) + udp6, 'parts': b'\x82' + vnet(0) + large, 'echo': b'\x84' + vnet(0) + echo, 'echo6': b'\x85' + vnet(0) + echo6,
    'datagrams4': b'\x82' + vnet(1, 5, 64) + udp4, 'datagrams6': b'\x83' + vnet(1, 5, 3) + udp6,
    'no_flow': b'\x00' + vnet() + tcp4, 'tiny_segments': b'\x80' + vnet(1, 1, 1) + large[:1200],
}
for name, data in OUTBOUND.items():
    write('outbound', name, data)

# State files: flags, then changes (place, number of bytes, bytes) to a small good one; see shila/store/layout.h.
RAW, SEAL = b'\x01', b'\x0e'
PEERS, PATHS, FLOWS, UNDO = 4096, 8192, 16384, 1024


def change(at, data):
    return struct.pack('>HB', at, len(data)) + data


STORE = {
    'good': b'\x00',
    'foreign': RAW + b'#!/bin/sh\n' * 500,
    'header': SEAL + change(12, struct.pack('=I', 2)) + change(89, b'\x04'),
    'byte_order': SEAL + change(8, struct.pack('>I', 0x01020304)),
    'shape': SEAL + change(20, struct.pack('=4I', 8, 1 << 19, 1 << 20, 1 << 20)),
    'peer': SEAL + change(PEERS + 2 * 64 + 4, struct.pack('=BBBxQQ16s8HH', 1, 16, 8, 1 << 48 | 7, 9, bytes(range(16)),
                                                         *range(1, 9), 31654)),
    'path': SEAL + change(PATHS + 4, b'\x01\x01' + struct.pack('=HHH', 0, 0, 1400)),
    'flow': SEAL + change(FLOWS + 128 + 4, b'\x34\x1f\x02\x06'),
    'datagram': SEAL + change(FLOWS + 2 * 128 + 4, b'\x41\x11\x00\x11') + change(FLOWS + 2 * 128 + 80, bytes(4)),
    'same_key': SEAL + change(FLOWS + 3 * 128 + 88, struct.pack('=HH', 40001, 5001)) + change(FLOWS + 3 * 128 + 6, b'\x01'),
    'hot': b'\x00' + change(FLOWS + 128 + 104, b'\xff' * 24),
    'undo': SEAL + change(UNDO, struct.pack('=IIQ', 1, 64, PEERS) + bytes(8) + bytes(64)),
    'undo_far': SEAL + change(UNDO, struct.pack('=IIQ', 1, 64, (1 << 64) - 8)),
}
for name, data in STORE.items():
    write('store', name, data)


def record(op, which, data=b''):
    """Of fuzz_control.c."""
    return bytes([op, which]) + struct.pack('>H', len(data)) + data


SYN = bytes.fromhex('0fa00050 01020304 00000000 6002ffff 00000000 020405b4')
SYN_MP = bytes.fromhex('0fa10050 01020304 00000000 8002ffff 00000000 020405b4 1e040101')
syn4 = make_frame.ip_packet(CLIENT4, '10.70.2.9', 6, SYN, 16)
syn6 = make_frame.ip_packet('fd00:7::1', 'fd00:72::9', 6, SYN_MP, 16)
dns = make_frame.ip_packet(CLIENT4, '10.70.2.9', 17, bytes.fromhex('0fa20035 000c0000 61626364'), 6)
ping = make_frame.ip_packet(CLIENT4, '10.70.2.9', 1, bytes.fromhex('0800f7fb 00030001'), 2)
frames = {v.stem[6:]: load(v) for v in sorted(VECTORS.glob('frame_*.hex'))}
opened = record(5, 0) + record(0, 1, syn4) + record(0, 1, syn6) + record(0, 1, dns)
for name, frame in frames.items():
    for peer in (0, 1):
        write('control', f'{name}_{peer}', record(2, peer, frame) + record(2, peer | 2, frame))
    write('control', f'{name}_of_a_flow', opened + record(3, 0, frame) + record(3, 5, frame) + record(3, 0x88, frame))
write('control', 'no_path', record(0, 1, syn4) + record(0, 1, ping) + record(5, 1) + record(5, 2))
write('control', 'held_then_path', record(0, 1, syn4) + record(0, 1, dns) + record(0, 1, dns) + record(5, 0))
offers = b''.join(record(2, 0, frames[n]) for n in frames if n.startswith('open'))
write('control', 'offers', record(5, 0) + offers + offers + record(4, 3) + record(3, 0, frames['alive']))
write('control', 'scmp', opened + b''.join(record(1, 0, load(v)) for v in sorted(VECTORS.glob('scmp_*.hex'))
                                           if len(load(v)) < 500))

# What Linux says about MPTCP, family 0x21, as in tests/unit/io/test_mptcp_pm.c
HEAD = '2100 0000 00000000 00000000'
TOKEN = '08000100 db663e09'
ENDS = ('06000200 02000000 08000500 7f000001 08000700 7f000001 06000900 c55e0000 06000a00 15b30000'
        '05000300 00000000 05000400 00000000')
ENDS6 = ('06000200 0a000000 14000600 00000000 00000000 0000ffff 0a070102 14000800 00000000 00000000 0000ffff 0a070009'
         '06000900 9c400000 06000a00 13890000 05000c00 68000000')
established = bytes.fromhex('54000000' + HEAD + '02010000' + TOKEN + ENDS)
lost = bytes.fromhex('64000000' + HEAD + '0b010000' + TOKEN + ENDS6)
over = bytes.fromhex('1c000000' + HEAD + '03010000' + TOKEN)
refused = bytes.fromhex('3800000002000003 07000000 00000000 eaffffff 64000000 2100 0500 07000000 00000000'
                        '12000100 696e76616c696420746f6b656e000000')
for name, data in (('established', established), ('lost', lost), ('over', over), ('refused', refused),
                   ('all', established + lost + over + refused)):
    write('mptcp_pm', name, data)

# What tests/tools/scion_daemon.py makes of two good paths
sys.path.insert(0, str(HERE.parent / 'tools'))
import scion_daemon  # noqa: E402

ASKED = 1 << 48 | 64513
two = scion_daemon.invented(b'', ASKED, 2, 0xf0000000)
for name, mode in scion_daemon.PATH_MODES.items():
    if name in ('random', 'expired'):
        continue  # another one each time
    data = mode(two, ASKED)
    if len(data) < 3000:
        write('scion_daemon', 'daemon_' + name, data + struct.pack('>Q', ASKED))

# Packets for a router of 1-64512 with links 1 to 5; their MACs are made by the target.
HOSTS = bytes.fromhex('0a020002 0a010002')


def routed(meta, infos, hops, payload, proto=17, dst=65000, src=65001):
    """infos: (flags, SegID); hops: (flags, ingress, egress)"""
    raw = struct.pack('>I', meta)
    raw += b''.join(struct.pack('>BBHI', f, 0, s, 1699990000) for f, s in infos)
    raw += b''.join(struct.pack('>BBHH', f, 255, i, e) + bytes(6) for f, i, e in hops)
    head = struct.pack('>IBBHBBHQQ', 1, proto, (36 + len(raw)) // 4, len(payload), 1, 0, 0, 1 << 48 | dst, 1 << 48 | src)
    return head + HOSTS + raw + payload


UDP8 = bytes.fromhex('7918791900080000')
ECHO = bytes.fromhex('8000000079180001')
TRACE = bytes.fromhex('8200000079180001') + bytes(16)
UP_DOWN = ((0, 0x1234), (1, 0x5678))
MIDDLE = 1 << 24 | 3 << 12
for name, flags, seg_len, packet in (
        ('core_to_core', 1 << 3 | 2, 0, routed(MIDDLE, [(1, 7)], [(0, 0, 9), (0, 1, 5), (0, 9, 0)], UDP8)),
        ('child_to_parent', 3 << 3 | 2, 0, routed(MIDDLE, [(0, 7)], [(0, 9, 0), (0, 2, 3), (0, 0, 9)], UDP8)),
        ('xover', 3 << 3 | 4, 0, routed(1 << 24 | 2 << 12 | 2 << 6, UP_DOWN,
                                        [(0, 9, 0), (0, 0, 3), (0, 0, 3), (0, 9, 0)], UDP8)),
        ('peering', 4 << 3 | 2, 0, routed(1 << 30 | 2 << 24 | 2 << 12 | 2 << 6, ((2, 1), (3, 1)),
                                          [(0, 9, 0), (0, 8, 9), (0, 4, 3), (0, 9, 0)], UDP8)),
        ('from_host', 2, 0, routed(2 << 12, [(1, 7)], [(0, 0, 1), (0, 9, 0)], UDP8, src=64512)),
        ('deliver', 1 << 3 | 2, 0, routed(1 << 24 | 2 << 12, [(1, 7)], [(0, 0, 9), (0, 1, 0)], UDP8, dst=64512)),
        ('deliver_echo', 1 << 3 | 2, 0, routed(1 << 24 | 2 << 12, [(1, 7)], [(0, 0, 9), (0, 1, 0)], ECHO, 202, 64512)),
        ('link_down', 1 << 3 | 2, 0, routed(MIDDLE, [(1, 7)], [(0, 0, 9), (0, 1, 5), (0, 9, 0)], UDP8)),
        ('traceroute', 1 << 3 | 2, 0, routed(MIDDLE, [(1, 7)], [(0, 0, 9), (2, 1, 5), (0, 9, 0)], TRACE, 202)),
        ('bad_mac', 1 << 3, 0, routed(MIDDLE, [(1, 7)], [(0, 0, 9), (0, 1, 5), (0, 9, 0)], UDP8 + bytes(1200)))):
    write('router', name, bytes([flags, seg_len]) + packet)
quote = routed(2 << 12, [(1, 7)], [(0, 0, 9), (0, 1, 0)], UDP8)
write('router', 'deliver_error', bytes([1 << 3 | 2, 0]) + routed(
    1 << 24 | 2 << 12, [(1, 7)], [(0, 0, 9), (0, 1, 0)], bytes([5, 0, 0, 0]) + bytes(16) + quote, 202, 64512))
one = routed(2 << 12, [(1, 7)], [(0, 0, 1), (0, 9, 0)], UDP8, src=64512)
write('router', 'train', bytes([3, len(one) // 8]) + one * 5)
