# SPDX-License-Identifier: Apache-2.0
"""What scripts/demo starts once everything is built."""

import os
import sys

# As root this would leave files of root in the tree of the user.
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

from labdemo import cli  # noqa: E402

if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
