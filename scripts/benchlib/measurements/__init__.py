# SPDX-License-Identifier: Apache-2.0
"""Each module here is one measurement:

    NAME        for --only
    WHAT        one line
    COLUMNS     [(name of a value, heading, digits)]: what its table shows
    steps(bench, set_up, contenders)
                a list of Step; contenders: those that take part, in order. Interleaved: what is to be
                compared takes turns.
"""

from . import throughput

ALL = [throughput]
