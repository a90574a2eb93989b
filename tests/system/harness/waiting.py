# SPDX-License-Identifier: Apache-2.0
"""Failing, waiting, asking again."""

import time


class Failed(AssertionError):
    """Something is not as it must be; an AssertionError, so that unittest counts a failure."""


def wait_for(condition, seconds=10, what=None, every=0.02):
    """Calls it until it returns something true, and returns that. No sleep is ever a guess."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what or condition}; last seen: {value!r}")
        time.sleep(every)


def asked_again(question, times=3):
    """For what routers may lose a packet of: the first good answer. The last attempt's failure is the result."""
    for last in [False] * (times - 1) + [True]:
        try:
            return question()
        except AssertionError:
            if last:
                raise
