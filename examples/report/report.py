"""What the shop sold yesterday: a row of a table, written by night."""

from __future__ import annotations

import datetime as dt
import os
from zoneinfo import ZoneInfo

import psycopg
from tidegate import AbortRun, Retry, current_run, log, task

ZONE = ZoneInfo("Europe/Berlin")
SCHEMA = "CREATE TABLE IF NOT EXISTS reports (day date PRIMARY KEY, orders bigint NOT NULL, cents bigint NOT NULL)"
# One statement, and the same row however often it is written: a retry, or a replay a week later, does no harm.
REPORT = """
    INSERT INTO reports SELECT %(day)s, count(*), coalesce(sum(cents), 0) FROM orders WHERE day = %(day)s
    ON CONFLICT (day) DO UPDATE SET orders = excluded.orders, cents = excluded.cents
    RETURNING orders, cents
"""


@task(timeout=600, retry=Retry(max_attempts=10, initial_delay=10, max_delay=600))
def nightly_report(day: str | None = None) -> dict[str, object]:
    """Report on a day, like 2026-01-31.

    Without one: on the day before the tick of the schedule.
    """
    reported = _day(day) if day else day_before(current_run().name, now=dt.datetime.now(dt.UTC))
    with psycopg.connect(os.environ["WAREHOUSE_URL"]) as warehouse:
        warehouse.execute(SCHEMA)
        row = warehouse.execute(REPORT, {"day": reported}).fetchone()
    assert row is not None
    log.info("reported", day=reported.isoformat(), orders=row[0])
    return {"day": reported.isoformat(), "orders": row[0], "cents": int(row[1])}


def day_before(run: str, *, now: dt.datetime) -> dt.date:
    """The day to report on. A run of a schedule has its tick in its name: one that is late still reports on its own day."""
    minutes = run.rpartition("-")[2]
    moment = dt.datetime.fromtimestamp(int(minutes) * 60, dt.UTC) if minutes.isdecimal() else now
    return moment.astimezone(ZONE).date() - dt.timedelta(days=1)


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise AbortRun(f"day is a date like 2026-01-31, not {text!r}") from None
