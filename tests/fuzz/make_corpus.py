#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the first files of tests/fuzz/corpus/ from tests/vectors/*.hex and from a list of texts.

Other files in the corpus directories (crashes that were found) are left alone.
"""
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / 'vectors'

TEXTS = ['1-64512', '65535-ffff:ffff:ffff', '2-0:0:fc00', '1-64512,10.0.0.1',
         '1-ff00:0:110,2001:db8::1', '1-64512,[::1]', '[1-64512,10.0.0.1]:9000',
         '1-64512,10.0.0.1:9000', '1-64512,[::1]:9000',
         '[65535-ffff:ffff:ffff,2001:db8:1234:5678:9abc:def0:1234:5678]:65535',
         '[1-1,::ffff:1.2.3.4]:0', '1-ff00:0:300]:14,[1.2.3.4]']


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


for vector in sorted(VECTORS.glob('scion_*.hex')):
    packet = load(vector)
    write('scion_packet', vector.stem, packet)
    if packet[8] == 1:
        write('scion_path', vector.stem, path_of(packet))
for vector in sorted(VECTORS.glob('scmp_*.hex')):
    packet = load(vector)
    if len(packet) < 500:
        write('scmp', vector.stem, packet)
for i, text in enumerate(TEXTS):
    write('scion_addr', 'text_%02d' % i, text.encode())
