# SPDX-License-Identifier: Apache-2.0
"""The control socket of a shilad: JSON-RPC 2.0, one message a line (docs/control-socket.md)."""

import json
import socket

from . import DemoError


def call(path, method, timeout_s=3.0):
    """The result of a method; OSError if nobody answers."""
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(timeout_s)
        s.connect(path)
        s.sendall(request.encode() + b"\n")
        with s.makefile("rb") as answers:
            line = answers.readline()
    if not line.endswith(b"\n"):
        raise ConnectionError(f"{path} gave no answer")
    answer = json.loads(line)
    if "error" in answer:
        raise DemoError(f"shilad refused {method}: {answer['error']['message']}")
    return answer["result"]
