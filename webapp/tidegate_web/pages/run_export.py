"""The list of runs as a file: what its filters find, all of it, as CSV for spreadsheets or as JSON."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Final

from flask import Blueprint, request
from werkzeug.wrappers import Response

from tidegate_web.api import responses
from tidegate_web.api.common import parse_filter
from tidegate_web.current_app import services
from tidegate_web.runs.export import export
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.run_rows import ListedRunRow

COLUMNS: Final[dict[str, Callable[[ListedRunRow], str | int | None]]] = {
    "name": lambda run: run.name,
    "uid": lambda run: run.uid,
    "phase": lambda run: run.phase,
    "reason": lambda run: run.reason,
    "message": lambda run: run.message,
    "task": lambda run: run.task,
    "queue": lambda run: run.queue or "default",
    "schedule": lambda run: run.schedule,
    "batch": lambda run: run.batch,
    "parent": lambda run: run.parent_run,
    "tags": lambda run: " ".join(run.tags),
    "attempts": lambda run: run.attempt,
    "createdAt": lambda run: rfc3339(run.created),
    "queuedAt": lambda run: rfc3339(run.queued_at),
    "startedAt": lambda run: rfc3339(run.started_at),
    "finishedAt": lambda run: rfc3339(run.finished_at),
    "requestedBy": lambda run: run.submitted_by or run.requested_by,
}
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets take a cell that begins so as a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""


def as_csv(rows: Iterator[ListedRunRow]) -> Iterator[str]:
    """RFC 4180, with a line of names first."""
    yield _line(list(COLUMNS))
    for row in rows:
        yield _line([_cell(value(row)) for value in COLUMNS.values()])


def as_json(rows: Iterator[ListedRunRow]) -> Iterator[str]:
    """One object with ``items``, each as the API lists it."""
    yield '{"items":['
    for number, row in enumerate(rows):
        yield ("," if number else "") + json.dumps(responses.listed(row))
    yield "]}\n"


def _cell(value: str | int | None) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _file(project: str, ending: str, kind: str, written: Callable[[Iterator[ListedRunRow]], Iterator[str]]) -> Response:
    rows = export(services(), project, parse_filter(request.args))
    response = Response(written(rows), content_type=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{project}-runs.{ending}"'
    return response


def add_routes(area: Blueprint) -> None:
    """The routes of these files."""

    @area.get("/projects/<project>/runs.csv")
    @requires(Permission.VIEWER)
    def runs_as_csv(project: str) -> Response:
        return _file(project, "csv", "text/csv; charset=utf-8", as_csv)

    @area.get("/projects/<project>/runs.json")
    @requires(Permission.VIEWER)
    def runs_as_json(project: str) -> Response:
        return _file(project, "json", "application/json", as_json)
