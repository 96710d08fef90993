"""Cron expressions in words, and their next ticks."""

from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_api.cron import Cron
from tidegate_web.pages.cron_words import NEXT, in_words, next_ticks

FRIDAY = datetime(2026, 3, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("30 2 * * MON-FRI", "At 02:30, Monday through Friday"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0  9\t* * MON#1", "At 09:00, on the first Monday of the month"),
        ("0 22 * * 7", "At 22:00, only on Sunday"),
        ("0 3 13 * 5", "At 03:00, on day 13 of the month, or on Friday"),
    ],
)
def test_an_expression_in_words(cron: str, words: str) -> None:
    assert in_words(cron) == words


def test_no_words_are_better_than_wrong_ones() -> None:
    """With a day that begins with ``*`` both days must fit, which the library calls "or"."""
    first = next(Cron.parse("0 0 */2 * 1", "UTC").after(FRIDAY.timestamp()))
    assert datetime.fromtimestamp(first, UTC).weekday() == 0
    assert in_words("0 0 */2 * 1") == ""


@given(st.text(max_size=40))
def test_what_is_no_expression_has_no_words_and_breaks_nothing(text: str) -> None:
    assert isinstance(in_words(text), str)
    assert isinstance(in_words(f"{text} * * * *"), str)


def test_the_next_ticks_are_those_of_the_operator() -> None:
    found = next_ticks("30 2 * * *", "Europe/Berlin", now=FRIDAY)
    # The clock skips 02:30 on 29 March, and is an hour ahead from then on.
    assert [time.strftime("%d %H:%M") for time in found.times] == [
        "28 01:30",
        "29 01:00",
        "30 00:30",
        "31 00:30",
        "01 00:30",
    ]
    ticks = islice(Cron.parse("30 2 * * *", "Europe/Berlin").after(FRIDAY.timestamp()), NEXT)
    assert [time.timestamp() for time in found.times] == list(ticks)


def test_an_expression_that_never_comes_true_has_no_ticks() -> None:
    assert next_ticks("0 0 31 2 *", "UTC", now=FRIDAY).times == []


@pytest.mark.parametrize(
    ("cron", "zone", "said"), [("61 * * * *", "UTC", "cron"), ("0 0 * * *", "Mars/Base", "timeZone")]
)
def test_what_cannot_be_used_is_said(cron: str, zone: str, said: str) -> None:
    found = next_ticks(cron, zone, now=FRIDAY)
    assert found.times == []
    assert said in found.problem
