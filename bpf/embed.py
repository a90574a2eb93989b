#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write a file as a C array: embed.py NAME INPUT OUTPUT"""
import sys

name, source, target = sys.argv[1:]
with open(source, 'rb') as f:
    data = f.read()
rows = [', '.join(map(str, data[i:i + 20])) for i in range(0, len(data), 20)]
with open(target, 'w') as f:
    # libbpf reads the object in place, as ELF structures
    f.write('static const unsigned char %s[] __attribute__((aligned(8))) = {\n\t%s\n};\n' % (name, ',\n\t'.join(rows)))
