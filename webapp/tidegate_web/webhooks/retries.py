"""When a delivery that was not taken is sent again: soon at first, then for about three days. Pure.

The delays are those that Standard Webhooks recommends; each is stretched by up to a tenth, so that a receiver that was down
isn't met by everything at once.
"""

from datetime import datetime, timedelta

DELAYS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds after the first, second, … attempt."""


def next_attempt(*, attempts: int, now: datetime, jitter: float) -> datetime | None:
    """When to try again after so many attempts, None when it is given up. ``jitter`` is in [0, 1]."""
    if attempts > len(DELAYS):
        return None
    return now + timedelta(seconds=DELAYS[attempts - 1] * (1 + 0.1 * jitter))
