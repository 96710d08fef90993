"""time_histogram: a quantile of times that are counted in buckets is near the true one, and sums are as good as their parts."""

import math
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_web.shared.time_histogram import BUCKETS, LEAST_SECONDS, MOST_SECONDS, quantile, total

WIDTH = math.log(MOST_SECONDS / LEAST_SECONDS) / BUCKETS


def bucket(seconds: float) -> str:
    """As Postgres' width_bucket."""
    return str(min(BUCKETS + 1, max(0, math.floor(math.log(seconds / LEAST_SECONDS) / WIDTH) + 1)))


@given(st.lists(st.floats(0.002, 9e6), min_size=1, max_size=50), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_right_to_six_percent(times: list[float], share: float) -> None:
    found = quantile(Counter(map(bucket, times)), share)
    true = sorted(times)[math.ceil(share * len(times)) - 1]
    assert found is not None
    assert abs(math.log(found / true)) <= WIDTH / 2 + 1e-6


def test_without_times_there_is_none() -> None:
    assert quantile({}, 0.5) is None
    assert quantile(total([]), 0.5) is None


def test_sums() -> None:
    slow, fast = {bucket(100): 3}, {bucket(1): 1, bucket(100): 1}
    assert total([slow, fast]) == {bucket(100): 4, bucket(1): 1}


@pytest.mark.parametrize("edge", [0.0001, 1e9])
def test_times_beyond_the_edges_count_at_them(edge: float) -> None:
    found = quantile({bucket(edge): 1}, 0.5)
    assert found is not None
    assert LEAST_SECONDS <= found <= MOST_SECONDS
    assert statistics.median([LEAST_SECONDS, found, MOST_SECONDS]) == found
