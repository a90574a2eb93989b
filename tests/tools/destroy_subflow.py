#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ends a subflow as any path manager may, by a command to the kernel; in the network namespace of its client.

    destroy_subflow.py TOKEN LOCAL PORT REMOTE PORT      token: the kernel's own of the connection, as `ss -ti` shows it
"""

import socket
import struct
import sys

NETLINK_GENERIC, GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 16, 3
REQUEST_ACK = 5
SUBFLOW_DESTROY = 11


def attribute(kind, payload):
    return struct.pack("=HH", len(payload) + 4, kind) + payload + bytes(-len(payload) % 4)


def attributes(data):
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3fff, data[4:size]
        data = data[(size + 3) & ~3:]


def ask(s, family, command, payload):
    """The payload of the answer, or OSError."""
    body = struct.pack("=BBH", command, 1, 0) + payload
    s.send(struct.pack("=IHHII", 16 + len(body), family, REQUEST_ACK, 1, 0) + body)
    answer = b""
    while True:
        data = s.recv(65536)
        while data:
            size, kind = struct.unpack_from("=IH", data)
            if kind == 2:  # NLMSG_ERROR
                error = struct.unpack_from("=i", data, 16)[0]
                if error:
                    raise OSError(-error, "the kernel refuses")
                return answer
            answer = data[20:size]
            data = data[(size + 3) & ~3:]


def address(number, ip, port):
    v6 = ":" in ip
    return attribute(number | 0x8000,
                     attribute(1, struct.pack("=H", socket.AF_INET6 if v6 else socket.AF_INET)) +
                     attribute(4 if v6 else 3, socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, ip)) +
                     attribute(5, struct.pack("=H", port)))


def main():
    token, local, local_port, remote, remote_port = sys.argv[1:]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as s:
        s.bind((0, 0))
        answer = ask(s, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, attribute(2, b"mptcp_pm\0"))
        family = struct.unpack("=H", dict(attributes(answer))[1])[0]
        ask(s, family, SUBFLOW_DESTROY, address(1, local, int(local_port)) + attribute(4, struct.pack("=I", int(token, 16))) +
            address(6, remote, int(remote_port)))


if __name__ == "__main__":
    main()
