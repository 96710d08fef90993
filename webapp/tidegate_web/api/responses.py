"""What goes out: rows of Postgres as the API's JSON."""

from collections.abc import Mapping

from tidegate_web.api.response_types import FromCluster, ListedRun, Requester, Run, RunSummary
from tidegate_web.shared.json_types import JsonObject, as_objects, whole_number
from tidegate_web.shared.run_status import attempts_of
from tidegate_web.shared.run_summary import run_summary
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries.runs import ProgressRow
from tidegate_web.store.run_rows import ListedRunRow, RunRow, RunSummaryRow


def requester(row: RunSummaryRow) -> Requester | None:
    """Who asked for a run: verified when this web app wrote it, else only what the object claims."""
    if row.submitted_by:
        return {"name": row.submitted_by, "verified": True}
    return {"name": row.requested_by, "verified": False} if row.requested_by else None


def summary(row: RunSummaryRow) -> RunSummary:
    """A run in a list."""
    return {
        **run_summary(row),
        "parent": row.parent_run,
        "queuedAt": rfc3339(row.queued_at),
        "deletedAt": rfc3339(row.deleted_at),
        "requestedBy": requester(row),
    }


def source(from_cluster: bool) -> FromCluster:
    """The mark on what comes from the cluster alone, while Postgres is away."""
    return {"source": "cluster"} if from_cluster else {}


def listed(row: ListedRunRow) -> ListedRun:
    """A run in a list, with the progress of its last attempt."""
    return {**summary(row), "progress": row.progress, "progressMessage": row.progress_message}


def whole(row: RunRow, progress: Mapping[int, ProgressRow], *, metadata: Mapping[str, object] | None = None) -> Run:
    """A run by itself, with the progress of its last attempt."""
    numbers = {*progress, *(attempt.number for attempt in attempts_of(row.status))}
    last = progress.get(max(numbers, default=0))
    return {
        **summary(row),
        **source(row.from_cluster),
        "progress": None if last is None else last.progress,
        "progressMessage": None if last is None else last.message,
        "metadata": dict(metadata or {}),
        "labels": row.labels,
        "spec": row.spec,
        "status": row.status,
    }


def attempts(row: RunRow, reported: Mapping[int, ProgressRow]) -> list[JsonObject]:
    """A run's attempts, each with the last progress it reported. One that reported some but isn't in the status yet is there
    too: the status is written a little later than the pod starts."""
    stored = as_objects(row.status.get("attempts"))
    found = {whole_number(attempt.get("number")) or 0: dict(attempt) for attempt in stored}
    for number in reported:
        found.setdefault(number, {"number": number})
    for number, attempt in found.items():
        progress = reported.get(number)
        attempt["progress"] = progress.progress if progress is not None else None
        attempt["progressMessage"] = progress.message if progress is not None else None
    return [found[number] for number in sorted(found)]
