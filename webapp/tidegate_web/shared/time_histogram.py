"""Times as a histogram that can be added up: 200 buckets from a millisecond to 115 days, each 12 % wider than the one before. So a
quantile that is read from it is right to 6 %, whatever the times were."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

LEAST_SECONDS: Final = 0.001
MOST_SECONDS: Final = 1e7
BUCKETS: Final = 200
_WIDTH: Final = math.log(MOST_SECONDS / LEAST_SECONDS) / BUCKETS

Histogram = Mapping[str, int]
"""How many times are in each bucket, by its number. JSON has texts as keys."""


def total(histograms: Iterable[Histogram]) -> dict[str, int]:
    """Their sum."""
    found: dict[str, int] = {}
    for histogram in histograms:
        for bucket, number in histogram.items():
            found[bucket] = found.get(bucket, 0) + number
    return found


def quantile(histogram: Histogram, share: float) -> float | None:
    """Seconds below which this share of the times is; None where there are none. The middle of its bucket."""
    wanted = share * sum(histogram.values())
    passed = 0
    for bucket in sorted(map(int, histogram)):
        passed += histogram[str(bucket)]
        if passed >= wanted:
            return LEAST_SECONDS * math.exp((min(max(bucket, 1), BUCKETS) - 0.5) * _WIDTH)
    return None
