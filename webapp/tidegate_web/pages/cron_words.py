"""A cron expression in words, and when it comes true next. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from cron_descriptor import FormatError, Options, get_description  # type: ignore[import-untyped]
from tidegate_api.cron import BadCronError, Cron

NEXT: Final = 5


@dataclass(frozen=True, kw_only=True)
class Ticks:
    """The next ticks, or why there are none."""

    times: list[datetime]
    problem: str = ""


def in_words(expression: str) -> str:
    """``At 02:30, Monday through Friday``; empty where the words would not say the same as the operator does.

    The library joins a day of the month and a day of the week by "or". As in Debian's cron, both must fit where one of them begins
    with ``*``, as in ``0 0 */2 * 1``.
    """
    fields = expression.split()
    if len(fields) != 5:
        return ""
    days = (fields[2], fields[4])
    if all(day != "*" for day in days) and any(day.startswith("*") for day in days):
        return ""
    options = Options()
    options.locale_code = "en_US"  # else it asks the process
    options.use_24hour_time_format = True
    options.verbose = False
    try:
        return str(get_description(" ".join(fields), options))
    except (FormatError, ValueError, IndexError, KeyError, TypeError):
        return ""


def next_ticks(expression: str, zone: str, *, now: datetime) -> Ticks:
    """In UTC. An expression may never come true, such as on 31 February."""
    try:
        found = islice(Cron.parse(expression, zone).after(now.timestamp()), NEXT)
        return Ticks(times=[datetime.fromtimestamp(tick, UTC) for tick in found])
    except BadCronError as error:
        return Ticks(times=[], problem=str(error))
