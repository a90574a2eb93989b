# SPDX-License-Identifier: Apache-2.0
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

from benchlib import cli  # noqa: E402

sys.exit(cli.main(sys.argv[1:]))
