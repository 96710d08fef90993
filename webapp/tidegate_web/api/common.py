"""What the API's areas share: query parameters, the check of the project, the audit of writes."""

from datetime import datetime

import structlog
from werkzeug.datastructures import MultiDict

from tidegate_web.api.parameters import PHASES
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.times import parse_given_time
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
        for name in ("reason", "task", "queue", "tag", "batch", "schedule", "parent", "key", "requestedBy", "q")
    }
    if any(text is not None and "\x00" in text for text in texts.values()):
        raise Problem(422, "The query has a NUL character.")
    return RunFilter(
        phases=tuple(phases),
        reason=texts["reason"],
        task=texts["task"],
        queue=texts["queue"],
        tag=texts["tag"],
        batch=texts["batch"],
        schedule=texts["schedule"],
        parent=texts["parent"],
        key=texts["key"],
        requested_by=texts["requestedBy"],
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
