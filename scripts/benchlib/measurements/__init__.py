# SPDX-License-Identifier: Apache-2.0
"""Each module here is one measurement:

    NAME        for --only
    WHAT        one line
    COLUMNS     [(name of a value, heading, digits)]: what its table shows
    SET_UPS     where it is measured, if not everywhere
    derived(figures, row, base)
                optional: {name: value} for COLUMNS that follow from two rows; base: a contender
    steps(bench, set_up, contenders)
                a list of Step; contenders: those that take part, in order. Interleaved: what is to be
                compared takes turns.
"""

from . import connects, datagrams, idle, many, paths, rr, throughput

# In the order in which they run: connections that have ended are remembered for a minute, so connects comes last.
ALL = [throughput, paths, idle, rr, datagrams, many, connects]
