"""Counts and durations over time, and batches, over HTTP."""

import base64
import binascii
import json
from datetime import datetime, timedelta

from flask import Blueprint, Response, jsonify, request

from tidegate_web.api.common import parse_filter
from tidegate_web.api.parameters import AFTER, FROM, LIMIT, QUEUE, TASK, TO
from tidegate_web.api.response_types import BatchOfRuns, Page, Percentiles, Stats
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.stats import batches, counted
from tidegate_web.services import Services
from tidegate_web.shared.paging import cut
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries.stats import BatchRow, Window

STATS_DEFAULT, STATS_MOST = timedelta(days=1), timedelta(days=400)
BATCHES_DEFAULT, BATCHES_MOST = timedelta(days=7), timedelta(days=31)


def wanted_window(made: Services, project: str, *, default: timedelta, most: timedelta) -> Window:
    """The time and what else is asked for; up to now when no end is named."""
    wanted = parse_filter(request.args)
    until = wanted.until or made.clock.now()
    try:
        since = wanted.since or until - default
    except OverflowError:
        raise Problem(422, "'to' is too early.") from None
    if not timedelta(0) < until - since <= most:
        raise Problem(422, f"'to' must be after 'from', by {most.days} days at most.")
    return Window(project=project, since=since, until=until, task=wanted.task, queue=wanted.queue)


def percentiles(found: list[float] | None) -> Percentiles | None:
    """In seconds; None where there are no runs."""
    return None if found is None or found[0] is None else {"p50": round(found[0], 3), "p95": round(found[1], 3)}


def stats_json(made: Services, window: Window) -> Stats:
    """The window as one, and by bucket."""
    found = counted(made, window)
    created, times = found.created, found.times_by_bucket
    phases: dict[datetime, dict[str, int]] = {}
    total: dict[str, int] = {}
    for row in found.ended:
        phases.setdefault(row.at, {})[row.phase] = row.number
        total[row.phase] = total.get(row.phase, 0) + row.number
    return {
        "from": rfc3339(window.since),
        "to": rfc3339(window.until),
        "bucketSeconds": window.step,
        "created": sum(created.values()),
        "phases": total,
        "durationSeconds": percentiles(found.times.took),
        "waitSeconds": percentiles(found.times.waited),
        "items": [
            {
                "at": rfc3339(at),
                "created": created.get(at, 0),
                "phases": phases.get(at, {}),
                "durationSeconds": percentiles(times[at].took) if at in times else None,
                "waitSeconds": percentiles(times[at].waited) if at in times else None,
            }
            for at in window.buckets
        ],
    }


def batches_json(
    made: Services, window: Window, *, limit: int, after: tuple[datetime, str] | None
) -> Page[BatchOfRuns]:
    """A piece of the list of batches, and where the next begins."""
    return batches_answer(batches(made, window, limit=limit + 1, after=after), limit=limit)


def batches_answer(found: list[BatchRow], *, limit: int) -> Page[BatchOfRuns]:
    """Rows of which there is one more than is wanted if there is another piece."""
    rows, last = cut(found, limit)
    items: list[BatchOfRuns] = [
        {
            "batch": row.batch,
            "total": sum(row.phases.values()),
            "phases": row.phases,
            "firstCreatedAt": rfc3339(row.first),
            "lastCreatedAt": rfc3339(row.last),
        }
        for row in rows
    ]
    return {"items": items, "after": None if last is None else cursor(last.last, last.batch)}


def cursor(last: datetime, batch: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([last.isoformat(), batch]).encode()).decode().rstrip("=")


def wanted_after() -> tuple[datetime, str] | None:
    """The cursor asked for."""
    cursor = request.args.get("after")
    if not cursor:
        return None
    try:
        last, batch = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        parsed = datetime.fromisoformat(last)
        if parsed.tzinfo is None or not isinstance(batch, str) or "\x00" in batch:
            raise ValueError("no cursor")
        batch.encode()
    except (ValueError, TypeError, binascii.Error):
        raise Problem(422, "'after' is not a cursor of this list") from None
    return parsed, batch


def add_routes(area: Blueprint) -> None:
    """The routes of counts."""

    @area.get("/projects/<project>/stats")
    @requires(Permission.VIEWER)
    @describes("Count runs and how long they took, over time", parameters=[FROM, TO, TASK, QUEUE], answer=Stats)
    def get_stats(project: str) -> Response:
        made = services()
        require_project(made, project)
        return jsonify(stats_json(made, wanted_window(made, project, default=STATS_DEFAULT, most=STATS_MOST)))

    @area.get("/projects/<project>/batches")
    @requires(Permission.VIEWER)
    @describes("List batches, the latest first", parameters=[FROM, TO, LIMIT, AFTER], answer=Page[BatchOfRuns])
    def list_batches(project: str) -> Response:
        made = services()
        require_project(made, project)
        window = wanted_window(made, project, default=BATCHES_DEFAULT, most=BATCHES_MOST)
        return jsonify(batches_json(made, window, limit=LIMIT.asked(), after=wanted_after()))
