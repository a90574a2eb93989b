#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends the packets of a file over and over, at a rate: what a host of the same AS could do. For tests, on networks of their own.

    spray.py ADDRESS FILE PACKETS_PER_SECOND SECONDS

Each line of the file is a UDP port and the bytes in hex. Prints how many were sent.
"""

import socket
import sys
import time

MAX_RATE, MAX_SECONDS = 100000, 120


def spray(s, packets, rate, seconds):
    """packets: [((address, port), bytes)]. How many were sent."""
    rate, seconds = min(rate, MAX_RATE), min(seconds, MAX_SECONDS)
    sent, began = 0, time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        due = int(now * rate)
        if due - sent > rate // 5:
            due = sent + rate // 5  # it was not running: no burst for that
        for n in range(sent, due):
            to, data = packets[n % len(packets)]
            try:
                s.sendto(data, to)
            except ConnectionRefusedError:
                pass
        sent = max(sent, due)
        time.sleep(0.002)
    return sent


def main(address, path, rate, seconds):
    with open(path, encoding="ascii") as f:
        packets = [((address, int(port)), bytes.fromhex(data)) for port, data in map(str.split, f)]
    print(spray(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM), packets, int(rate), float(seconds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
