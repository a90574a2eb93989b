#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the file of libcount_calls.so: count_calls.py FILE PID prints the calls of each thread so far.

    SHILA_COUNT_CALLS=/tmp/calls LD_PRELOAD=build/tests/libcount_calls.so build/shila/shilad --config FILE
"""
import os
import struct
import sys

MAGIC = 0x73636331
CALLS = ["malloc", "calloc", "realloc", "free", "aligned", "mmap", "mutex", "rwlock"]
SLOT = struct.Struct(f"=ii{len(CALLS)}Q")


def read(file, pid):
    """{"worker 0": {"malloc": 3, ...}, ...} for the threads that run; one without calls has zeros."""
    with open(file, "rb") as f:
        data = f.read()
    magic, used = struct.unpack_from("=II", data)
    if magic != MAGIC:
        raise ValueError(f"{file} is not of libcount_calls.so")
    calls = {}
    for i in range(min(used, (len(data) - 8) // SLOT.size)):
        tid, _, *counts = SLOT.unpack_from(data, 8 + i * SLOT.size)
        calls[tid] = counts
    threads = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8") as f:
            name = f.read().strip()
        threads[name if name not in threads else f"{name} ({tid})"] = dict(
            zip(CALLS, calls.get(int(tid), [0] * len(CALLS))))
    return threads


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    table = read(sys.argv[1], int(sys.argv[2]))
    print(f"{'thread':16}" + "".join(f"{c:>9}" for c in CALLS))
    for thread, row in sorted(table.items()):
        print(f"{thread:16}" + "".join(f"{row[c]:9}" for c in CALLS))
