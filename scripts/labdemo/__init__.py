# SPDX-License-Identifier: Apache-2.0
"""The parts of scripts/demo: two hosts with shila in a lab, and what is shown with them.

    stopping   Ctrl-C, so that nothing is started and then forgotten
    screen     steps, and a picture that changes in place where that is possible
    network    lab, daemons and programs: started, remembered, removed
    control    the control socket of a shilad
    flows      which subflow is on which links, and how fast
    traffic    iperf3 and the file transfer
    demo       the order in which all this happens
    cli        command line
"""


class DemoError(Exception):
    """Something the user should read: one sentence, maybe with a log below it."""
