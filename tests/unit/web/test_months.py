"""Months as partitions have them: in UTC, named so that they sort."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from tidegate_web.store.partitions import Month, is_partition


def test_a_month_is_one_of_utc() -> None:
    late = datetime(2026, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert Month.of(late) == Month(2027, 1)
    assert Month.of(datetime(2026, 11, 1, tzinfo=UTC)) == Month(2026, 11)


def test_a_month_ends_where_the_next_begins() -> None:
    december = Month(2026, 12)
    assert december.begin == datetime(2026, 12, 1, tzinfo=UTC)
    assert december.end == Month(2027, 1).begin
    assert december.after(14) == Month(2028, 2)
    assert december.after(-12) == Month(2025, 12)
    assert Month(2026, 2) < december < Month(2027, 1)


@pytest.mark.parametrize(
    ("name", "found"),
    [("runs_2026_11", True), ("log_chunks_2026_11", True), ("runs", False), ("run_keys", False), ("runs_2026", False)],
)
def test_names_of_partitions(name: str, found: bool) -> None:
    assert is_partition(name) is found
    assert is_partition(Month(2026, 1).partition_of("log_chunks"))
