# SPDX-License-Identifier: Apache-2.0
"""The other end of libfaults.so (faults.c): what a machine with faults does to a program that runs.

    faults = Faults(file)
    env = faults.environment("build/tests")     # for the program
    faults.set(clock_s=3600)
    faults.count("send_failed")
    faults.off()
"""

import mmap
import os
import struct

WORDS = ["magic", "clock_s", "boot_s", "memory_every", "libraries", "fd_errno", "send_errno", "send_every", "write_errno",
         "interrupt_every", "short_every", "memory_failed", "fd_failed", "send_failed", "write_failed", "interrupted",
         "shortened"]
MAGIC = 0x73746C7561666873
SETTINGS = WORDS[1:11]


class Faults:
    def __init__(self, file):
        self.file = file
        with open(file, "wb") as f:
            f.write(bytes(8 * len(WORDS)))
        with open(file, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8 * len(WORDS))

    def environment(self, folder, memory=True):
        """memory=False: for programs with a sanitizer."""
        name = "libfaults.so" if memory else "libfaults_without_memory.so"
        env = {"LD_PRELOAD": os.path.join(folder, name), "SHILA_FAULTS": self.file}
        if not memory:
            env["ASAN_OPTIONS"] = "detect_leaks=1:exitcode=99:handle_abort=1:verify_asan_link_order=0"
        return env

    def loaded(self):
        return self.count("magic") == MAGIC

    def set(self, **values):
        for name, value in values.items():
            if name not in SETTINGS:
                raise KeyError(name)
            struct.pack_into("<q", self.map, 8 * WORDS.index(name), value)

    def off(self):
        self.set(**dict.fromkeys(SETTINGS, 0))

    def count(self, name):
        return struct.unpack_from("<Q", self.map, 8 * WORDS.index(name))[0]
