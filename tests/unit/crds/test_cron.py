"""tidegate_api/cron: ticks, and what becomes of them where clocks are put forward and back."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_api.cron import BadCronError, Cron

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/Santiago")
EXPRESSIONS = (
    "* * * * *",
    "*/7 * * * *",
    "30 * * * *",
    "0 */2 * * *",
    "* 1-3 * * *",
    "30 2 * * *",
    "15,45 0-3 * * *",
    "0 3 * * SUN",
    "59 23 L * *",
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def ticks(expression: str, zone: str, after: str, count: int) -> list[str]:
    """In the zone's own time, with its offset."""
    cron = Cron.parse(expression, zone)
    found = islice(cron.after(at(after)), count)
    return [datetime.fromtimestamp(t, cron.zone).strftime("%d %H:%M%z") for t in found]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # Europe/Berlin, 2026-03-29: 02:00 is followed by 03:00.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00+01:00", ["29 03:00+0200", "30 02:30+0200"]),
        ("0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00+01:00", ["29 03:00+0200", "30 02:00+0200"]),
        ("0 * * * *", "Europe/Berlin", "2026-03-29T00:30+01:00", ["29 01:00+0100", "29 03:00+0200"]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00+01:00", ["30 02:00+0200", "30 02:30+0200"]),
        # 2026-10-25: 03:00 is followed by 02:00.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00+02:00", ["25 02:30+0200", "26 02:30+0100"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T02:10+01:00", ["26 02:30+0100", "27 02:30+0100"]),
        ("30 * * * *", "Europe/Berlin", "2026-10-25T02:00+02:00", ["25 02:30+0200", "25 02:30+0100", "25 03:30+0100"]),
        ("30 * * * *", "Europe/Berlin", "2026-10-25T02:45+02:00", ["25 02:30+0100", "25 03:30+0100"]),
        # America/New_York, 2026-03-08 and 2026-11-01.
        ("15 2 * * *", "America/New_York", "2026-03-07T12:00-05:00", ["08 03:00-0400", "09 02:15-0400"]),
        ("15 1 * * *", "America/New_York", "2026-10-31T12:00-04:00", ["01 01:15-0400", "02 01:15-0500"]),
        # Australia/Lord_Howe turns by half an hour: 2026-04-05 back from 02:00, 2026-10-04 on from 02:00.
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00+11:00", ["05 01:45+1100", "06 01:45+1030"]),
        ("0 */2 * * *", "Australia/Lord_Howe", "2026-04-05T00:30+11:00", ["05 02:00+1030", "05 04:00+1030"]),
        ("*/15 * * * *", "Australia/Lord_Howe", "2026-04-05T01:40+11:00", ["05 01:45+1100", "05 01:30+1030"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00+10:30", ["04 02:30+1100", "05 02:15+1100"]),
        ("*/15 * * * *", "Australia/Lord_Howe", "2026-10-04T01:40+10:30", ["04 01:45+1030", "04 02:30+1100"]),
        ("30 4 29 2 *", "UTC", "2026-01-01T00:00+00:00", ["29 04:30+0000", "29 04:30+0000"]),
    ],
)
def test_skipped_and_doubled_hours(expression: str, zone: str, after: str, expected: list[str]) -> None:
    assert ticks(expression, zone, after, len(expected)) == expected


moments = st.floats(at("2025-01-01T00:00+00:00"), at("2028-01-01T00:00+00:00"))
turns = st.sampled_from(
    ["2026-03-29T01:00Z", "2026-10-25T01:00Z", "2026-03-08T07:00Z", "2026-11-01T06:00Z", "2026-04-04T15:00Z"]
).flatmap(lambda turn: st.floats(-10_800, 10_800).map(lambda offset: at(turn.replace("Z", "+00:00")) + offset))


@given(expression=st.sampled_from(EXPRESSIONS), zone=st.sampled_from(ZONES), moment=st.one_of(moments, turns))
def test_ticks_are_whole_minutes_in_order_wherever_one_begins(expression: str, zone: str, moment: float) -> None:
    cron = Cron.parse(expression, zone)
    found = list(islice(cron.after(moment), 70))
    assert all(t % 60 == 0 for t in found)
    assert all(a < b for a, b in zip([moment, *found], found, strict=False))
    # To begin at a tick, or anywhere between two, is to go on with the next.
    for i in (0, 30, 60):
        assert cron.next(found[i]) == found[i + 1]
        assert cron.next((found[i] + found[i + 1]) / 2) == found[i + 1]


def test_the_last_moment_before_a_tick_is_before_it() -> None:
    assert Cron.parse("* * * * *", "UTC").next(1_830_297_599.9999998) == 1_830_297_600


@given(zone=st.sampled_from(ZONES), moment=st.one_of(moments, turns))
def test_a_rhythm_is_every_moment_at_which_the_clock_shows_it(zone: str, moment: float) -> None:
    minutes = [(moment // 60 + i) * 60 for i in range(1, 400)]
    clock = [datetime.fromtimestamp(m, ZoneInfo(zone)) for m in minutes]
    expected = [m for m, t in zip(minutes, clock, strict=True) if t.minute % 15 == 0 and t.hour % 2 == 0]
    cron = Cron.parse("*/15 */2 * * *", zone)
    assert list(islice(cron.after(moment), len(expected))) == expected


@given(zone=st.sampled_from(ZONES), hour=st.integers(0, 23), minute=st.integers(0, 59), year=st.integers(2020, 2030))
def test_a_time_of_day_comes_once_every_day(zone: str, hour: int, minute: int, year: int) -> None:
    cron = Cron.parse(f"{minute} {hour} * * *", zone)
    begin = datetime(year, 1, 1, tzinfo=cron.zone) - timedelta(seconds=1)
    days = [datetime.fromtimestamp(t, cron.zone).date() for t in islice(cron.after(begin.timestamp()), 365)]
    assert days == [begin.date() + timedelta(days=i) for i in range(1, 366)]


@given(expression=st.sampled_from(EXPRESSIONS), moment=moments, length=st.floats(0, 300_000), count=st.integers(1, 100))
def test_the_latest_ticks_are_the_last_of_all(expression: str, moment: float, length: float, count: int) -> None:
    cron = Cron.parse(expression, "Europe/Berlin")
    everything = []
    for tick in cron.after(moment):
        if tick > moment + length:
            break
        everything.append(tick)
    assert cron.latest(after=moment, until=moment + length, count=count) == everything[-count:]


def test_the_latest_tick_of_a_year_of_minutes_is_found_at_once() -> None:
    now = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC).timestamp()
    assert Cron.parse("* * * * *", "UTC").latest(after=0, until=now, count=1) == [now - 30]


@pytest.mark.parametrize(
    ("expression", "zone", "words"),
    [
        ("61 * * * *", "UTC", "Bad minute"),
        ("0 0 30 2 *", "UTC", "Bad day-of-month"),
        ("0 0 * * * *", "UTC", "6 fields"),
        ("@daily", "UTC", "1 fields"),
        ("0 0 * * *", "Europe/Atlantis", "Europe/Atlantis"),
        ("0 0 * * *", "Europe", "not a zone"),
        ("0 0 * * *", "../../etc/passwd", "not a zone"),
    ],
)
def test_what_cannot_be_used_is_reported_with_its_reason(expression: str, zone: str, words: str) -> None:
    with pytest.raises(BadCronError, match=words) as caught:
        Cron.parse(expression, zone)
    assert caught.value.reason == ("InvalidCron" if zone == "UTC" else "InvalidTimeZone")


@given(st.text(alphabet="0123456789*/,-#LW SUNMOJAN٣", max_size=30))
def test_any_text_is_either_understood_or_refused(expression: str) -> None:
    try:
        cron = Cron.parse(expression, "UTC")
    except BadCronError:
        return
    cron.next(0)
