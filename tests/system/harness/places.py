# SPDX-License-Identifier: Apache-2.0
"""Where things are."""

import os

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
TOOLS = os.path.join(ROOT, "tests", "tools")
TRAFFIC = os.path.join(TOOLS, "traffic.py")
LAB = os.path.join(ROOT, "scripts", "lab")
BUILD = os.path.join(ROOT, os.environ.get("SHILA_BUILD", "build"))
