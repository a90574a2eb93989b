# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates of all ASes, made new for every lab by scion-pki."""

import base64
import os
import shutil
import subprocess

from . import LabError


def as_dir(state_dir, asys):
    return os.path.join(state_dir, "gen", f"AS{asys.asn}")


def make(topo, state_dir, tools):
    issuer = next(a for a in topo.ases if a.core)
    lines = ["ASes:"]
    for a in topo.ases:
        if a is issuer:
            what = "core: true, voting: true, authoritative: true, issuing: true"
        else:
            what = f"{'core: true, ' if a.core else ''}cert_issuer: {issuer.isd_as}"
        lines.append(f'  "{a.isd_as}": {{{what}}}')
    description = os.path.join(state_dir, "net.topo")
    with open(description, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")

    gen = os.path.join(state_dir, "gen")
    # AS certificates last three days by default, which is less than some tests
    run = subprocess.run([os.path.join(tools, "scion-pki"), "testcrypto", "-t", description, "-o", gen,
                          "--as-validity", "365d"],
                         capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise LabError(f"scion-pki failed:\n{run.stderr.strip()[-2000:]}")

    for a in topo.ases:
        base = as_dir(state_dir, a)
        os.makedirs(os.path.join(base, "certs"), exist_ok=True)
        os.makedirs(os.path.join(base, "keys"), exist_ok=True)
        # testcrypto leaves these to whoever installs the AS
        shutil.copy(os.path.join(gen, "ISD1", "trcs", "ISD1-B1-S1.trc"), os.path.join(base, "certs"))
        for key in ("master0.key", "master1.key"):
            with open(os.path.join(base, "keys", key), "w", encoding="ascii") as f:
                f.write(base64.b64encode(os.urandom(16)).decode())
