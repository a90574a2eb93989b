# SPDX-License-Identifier: Apache-2.0
"""What is remembered between two commands: one directory per lab, on a tmpfs if there is one.

    lab.json       how the lab was asked for, rates set later, programs with their start times
    gen/ db/ log/  keys and configuration, databases, logs

The directory itself is the lock: it is there before anything else is made and goes last.
"""

import contextlib
import fcntl
import json
import os
import shutil
import time

from . import LabError


def base_dir():
    """Databases on a disk would wait for it at every beacon."""
    tmpfs = set()
    with open("/proc/mounts", encoding="utf-8", errors="replace") as f:
        for line in f:
            words = line.split()
            if words[2] == "tmpfs" and "rw" in words[3].split(","):
                tmpfs.add(words[1])
    for candidate in ("/run", "/dev/shm"):
        if candidate in tmpfs:
            return os.path.join(candidate, "shila-lab")
    return "/run/shila-lab" if os.access("/run", os.W_OK) else "/tmp/shila-lab"


def lab_dir(name):
    return os.path.join(base_dir(), name)


def names():
    try:
        return sorted(os.listdir(base_dir()))
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def locked(name, create=False, wait_s=0):
    """Holds the lab; LabError if another command does. Gives False if there is no such lab."""
    path = lab_dir(name)
    deadline = time.monotonic() + wait_s
    while True:
        if create:
            # Only root: there are private keys in it.
            os.makedirs(path, mode=0o700, exist_ok=True)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been removed, and made again, between open and lock.
            if os.path.exists(path) and os.path.samestat(os.fstat(fd), os.stat(path)):
                break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                raise LabError(f"another command is at work on the lab {name}") from None
            time.sleep(0.05)
        os.close(fd)
    try:
        yield True
    finally:
        os.close(fd)


def load(name):
    """The content of lab.json, or None."""
    try:
        with open(os.path.join(lab_dir(name), "lab.json"), encoding="utf-8") as f:
            return json.load(f)
    except (FileNotFoundError, NotADirectoryError):
        return None


def save(name, content):
    path = os.path.join(lab_dir(name), "lab.json")
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(content, f, indent=1)
    os.replace(path + ".new", path)


def remove(name):
    shutil.rmtree(lab_dir(name), ignore_errors=True)
    try:
        os.rmdir(base_dir())
    except OSError:
        pass  # other labs
