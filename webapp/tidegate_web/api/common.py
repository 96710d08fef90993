"""What the API's areas share: query parameters, the check of the project, the audit of writes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog
from flask import request
from tidegate_api.projects import is_former
from werkzeug.datastructures import MultiDict

from tidegate_web.api.parameters import PHASES
from tidegate_web.audit.recording import DONE, AuditAction, Entry
from tidegate_web.auth.guard import actor_name
from tidegate_web.services import Services
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.times import parse_given_time
from tidegate_web.store.engine import at_once, with_fallback
from tidegate_web.store.queries import audit, run_list
from tidegate_web.store.queries.run_list import RunFilter

log = structlog.stdlib.get_logger(__name__)


def parse_filter(arguments: MultiDict[str, str]) -> RunFilter:
    """The filters of a list of runs. ``phase`` may be given more than once, or as a comma-separated list."""
    phases: list[str] = []
    for part in arguments.getlist("phase"):
        phases += [name for name in part.split(",") if name]
    unknown = [name for name in phases if name not in PHASES]
    if unknown:
        raise Problem(422, f"'phase' must be of {', '.join(PHASES)}.")
    texts = {
        name: (arguments.get(name) or "").strip() or None
        for name in ("task", "queue", "tag", "batch", "schedule", "parent", "q")
    }
    if any(text is not None and "\x00" in text for text in texts.values()):
        raise Problem(422, "The query has a NUL character.")
    return RunFilter(
        phases=tuple(phases),
        task=texts["task"],
        queue=texts["queue"],
        tag=texts["tag"],
        batch=texts["batch"],
        schedule=texts["schedule"],
        parent=texts["parent"],
        text=texts["q"],
        since=_time(arguments, "from"),
        until=_time(arguments, "to"),
    )


def _time(arguments: MultiDict[str, str], name: str) -> datetime | None:
    text = arguments.get(name)
    if text is None:
        return None
    time = parse_given_time(text)
    if time is None:
        raise Problem(422, f"'{name}' must be an RFC 3339 time.")
    return time


def require_project(made: Services, project: str, *, to_write: bool = False) -> None:
    """404 for what is no project, and never was: one that lost its label, or its namespace, is still read, but not written to."""
    if is_dns_label(project) or is_former(project):
        if project in made.projects:
            return
        if not to_write:
            with made.engine.connect() as connection:
                if run_list.page(connection, project=project, wanted=RunFilter(), limit=1).rows:
                    return
    raise Problem(404, "There is no such project.")


@contextmanager
def audited(
    made: Services,
    action: str,
    *,
    project: str | None = None,
    target: str | None = None,
    detail: Mapping[str, Any] | None = None,
    actor: str | None = None,
) -> Iterator[AuditAction]:
    """Write down a write and its outcome, whatever becomes of it. The actor is whoever is signed in, unless given."""
    deed = AuditAction(
        clock=made.clock,
        actor=actor or actor_name(),
        address=request.remote_addr or "",
        action=action,
        project=project,
        target=target,
        detail={} if detail is None else detail,
    )
    outcome = "failed"
    try:
        yield deed
        outcome = DONE
    except Problem as problem:
        outcome = f"refused {problem.status}"
        raise
    finally:
        if not deed.written:
            entry = deed.entry(outcome)
            with_fallback(lambda: _write(made, entry), lambda: _write_later(made, entry))


def _write(made: Services, entry: Entry) -> None:
    with at_once(made.engine) as connection:
        audit.write(connection, **asdict(entry))


def _write_later(made: Services, entry: Entry) -> None:
    kept = made.audit.keep(entry)
    log.warning("audit", kept=kept, **asdict(entry) | {"at": entry.at.isoformat()})
