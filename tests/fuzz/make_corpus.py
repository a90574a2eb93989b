#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the first files of tests/fuzz/corpus/ from tests/vectors and from a list of texts.

Other files in the corpus directories (crashes that were found) are left alone.
"""
import pathlib
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
}
for name, options in OPTIONS.items():
    write('tcp_options', name, options)
