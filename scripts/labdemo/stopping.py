# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and its relatives become an exception, once, and never while something is being started.

The first signal raises Stopped; from then on signals are ignored, so that the cleaning up is not
interrupted. Within `with shielded():` the exception waits for the end of the block.
"""

import contextlib
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    def __init__(self, signum):
        super().__init__(signum)
        self.exit_code = 128 + signum


_depth = 0
_pending = None


def _on_signal(signum, _frame):
    global _pending
    ignore()
    if _depth:
        _pending = signum
    else:
        raise Stopped(signum)


def install():
    for sig in SIGNALS:
        signal.signal(sig, _on_signal)


def ignore():
    for sig in SIGNALS:
        signal.signal(sig, signal.SIG_IGN)


@contextlib.contextmanager
def shielded():
    global _depth, _pending
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth and _pending is not None:
            signum, _pending = _pending, None
            raise Stopped(signum)
