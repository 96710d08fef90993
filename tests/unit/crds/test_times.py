"""timestamps: every time that the apiserver lets through is understood, and held within what can be computed with."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_api.times import EARLIEST, LATEST, format_micro, format_second, format_time, parse_time

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-26T12:00:00Z",
        "2026-11-26T12:00:00z",
        "2026-11-26t12:00:00z",
        "2026-11-26T12:00:00.000Z",
        "2026-11-26T12:00:00,000z",
        "2026-11-26T13:00:00+01:00",
        "2026-11-27T01:45:00+13:45",
        "2026-11-25T12:01:00-23:59",
        "2026-11-26 12:00:00Z",
        "2026-11-26T13:00:00+0100",
        "2026-11-26T11:59:60Z",
        "2026-11-26T12:00:00ztt",
        "2026-11-26T12:00:00.0000000000000000000000000001Z",
    ],
)
def test_every_spelling_of_noon_is_noon(text: str) -> None:
    assert parse_time(text) == pytest.approx(NOON, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0000-01-01T00:00:00Z", EARLIEST),
        ("0001-01-01T00:00:00Z", EARLIEST),
        ("0001-01-01T00:00:00+23:59", EARLIEST),
        ("1969-12-31T23:59:59Z", EARLIEST),
        ("9999-12-31T23:59:59Z", LATEST),
        ("9999-12-31T23:59:59-23:59", LATEST),
        ("9999-12-31T23:59:59.999999999-99:99", LATEST),
    ],
)
def test_years_beyond_the_contracts_are_its_nearest_moment(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


def test_an_absent_time_is_none() -> None:
    assert parse_time(None) is None
    assert parse_time("") is None


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "2026-11-26",
        "2026-13-26T12:00:00Z",
        "2026-11-26T12:00:00",
        "12:00:00Z",
        "2026-W48-4T12:00:00Z",
        "20261126T120000Z",
    ],
)
def test_what_is_no_time_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|month"):
        parse_time(text)


@given(st.floats(allow_nan=False))
def test_every_moment_can_be_written_and_read_again(seconds: float) -> None:
    held = min(max(seconds, EARLIEST), LATEST)
    assert parse_time(format_time(seconds)) == pytest.approx(held, abs=0.001)
    assert parse_time(format_second(seconds)) == pytest.approx(held, abs=1.0)


def test_a_time_has_the_fraction_that_its_reader_wants() -> None:
    moment = NOON + 0.123456
    assert format_second(moment) == "2026-11-26T12:00:00Z"
    assert format_time(moment) == "2026-11-26T12:00:00.123Z"
    assert format_micro(moment) == "2026-11-26T12:00:00.123456Z"
