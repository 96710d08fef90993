"""Waiting on conditions with a deadline: the one place that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .errors import ClusterError

T = TypeVar("T")


def until(condition: Callable[[], T], *, what: str, seconds: float, every: float = 0.05) -> T:
    """Return the condition's first true value; after `seconds` fail with `what` was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise ClusterError(f"gave up after {seconds:.0f} s of waiting for {what}")
        time.sleep(every)
