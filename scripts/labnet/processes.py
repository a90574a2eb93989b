# SPDX-License-Identifier: Apache-2.0
"""Start and stop of programs, so that nothing is left behind.

A process is known by its id and start time: an id alone may belong to somebody else by now. Signals
go through a pidfd, opened before the start time is compared, so they cannot hit a stranger. What is
not on the list is found by its network namespace.
"""

import os
import select
import signal
import subprocess
import time

from . import netns


def _stat(pid):
    """The fields of /proc/PID/stat from the state on; None if there is none (or a zombie)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            # the name in parentheses may hold anything, also parentheses
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields


def start_time(pid):
    """Clock ticks from boot to the start of the process; None if there is none (or a zombie)."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def identify(pid):
    return {"pid": pid, "start": start_time(pid)}


def alive(ident):
    return ident["start"] is not None and start_time(ident["pid"]) == ident["start"]


def paused(ident):
    """Whether it is there and was stopped by SIGSTOP."""
    fields = _stat(ident["pid"])
    return alive(ident) and fields is not None and fields[0] == "T"


def send(ident, sig):
    """Whether the process was there to get the signal."""
    try:
        fd = os.pidfd_open(ident["pid"])
    except OSError:
        return False
    try:
        if not alive(ident):
            return False
        signal.pidfd_send_signal(fd, sig)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def start(netns_name, argv, log_path):
    with open(log_path, "ab") as log:
        p = subprocess.Popen(netns.command(netns_name, argv), stdin=subprocess.DEVNULL, stdout=log,
                             stderr=log, cwd="/", start_new_session=True,
                             # two cores are shared by up to a dozen of these
                             env={**os.environ, "GOMAXPROCS": "1"})
    return p


def in_namespaces(names):
    """Ids of all processes whose network namespace is one of these."""
    inodes = set()
    for name in names:
        try:
            st = os.stat(os.path.join(netns.RUN_NETNS, name))
            inodes.add((st.st_dev, st.st_ino))
        except OSError:
            pass
    found = []
    for entry in os.listdir("/proc") if inodes else []:
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                st = os.stat(f"/proc/{entry}/ns/net")
            except OSError:
                continue
            if (st.st_dev, st.st_ino) in inodes:
                found.append(int(entry))
    return found


def stop(idents, grace_s, first=signal.SIGTERM):
    """SIGTERM, or another first signal, then SIGKILL after the grace time; waits until all are gone."""
    fds = {}
    for ident in idents:
        try:
            fd = os.pidfd_open(ident["pid"])
        except OSError:
            continue
        if alive(ident):
            fds[fd] = ident["pid"]
        else:
            os.close(fd)
    try:
        for sig, wait_s in ((first, grace_s), (signal.SIGKILL, 5)):
            for fd in fds:
                try:
                    signal.pidfd_send_signal(fd, sig)
                    signal.pidfd_send_signal(fd, signal.SIGCONT)  # who is paused ends by no other signal
                except ProcessLookupError:
                    pass
            deadline = time.monotonic() + wait_s
            poller = select.poll()
            for fd in fds:
                poller.register(fd, select.POLLIN)
            while fds:
                left = deadline - time.monotonic()
                events = poller.poll(left * 1000) if left > 0 else []
                if not events:
                    break
                for fd, _ in events:  # readable: it has ended
                    poller.unregister(fd)
                    _reap(fds.pop(fd))
                    os.close(fd)
    finally:
        for fd in fds:
            os.close(fd)
    return len(fds)


def _reap(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # not ours, or already reaped
