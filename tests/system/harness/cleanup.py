# SPDX-License-Identifier: Apache-2.0
"""What is to be removed at the end of the program, whatever ends it, the last first."""

import atexit
import os
import shutil
import signal
import sys
import tempfile

_open = []  # in order of its opening


def opened(thing):
    """Its close() is called at the end of the program, unless it is closed() before."""
    _open.append(thing)


def closed(thing):
    if thing in _open:
        _open.remove(thing)


def is_open(thing):
    return thing in _open


def all_open():
    return list(_open)


def _close_all():
    # A second Ctrl-C must not stop the cleaning up.
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_IGN)
    while _open:
        thing = _open[-1]  # still on the list: who is not takes itself for closed
        try:
            thing.close()
        except Exception as e:  # the rest is to be removed all the same
            print(f"while cleaning up: {e}", file=sys.stderr)
        closed(thing)


def _interrupt(_number, _frame):
    # unittest would take SystemExit for the failure of one test, and go on
    raise KeyboardInterrupt


atexit.register(_close_all)
for _signal in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, _interrupt)


def temporary():
    """A directory that goes with the program."""
    path = tempfile.mkdtemp(prefix="shila-test-")
    os.chmod(path, 0o755)  # sshd and nginx give up root
    opened(_Directory(path))
    return path


class _Directory:
    def __init__(self, path):
        self.path = path

    def close(self):
        closed(self)
        shutil.rmtree(self.path, ignore_errors=True)
