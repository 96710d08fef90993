"""What a TaskRun's status says of its attempts. Any client may have written it, so a field of another type counts as missing."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate_web.shared.json_types import as_objects, as_text, whole_number


@dataclass(frozen=True, slots=True)
class AttemptStatus:
    """An attempt, as the operator wrote it."""

    number: int
    job_name: str | None
    pod_name: str | None
    has_started: bool
    handover: str | None = None
    """Of an attempt in a pool: what its log is kept under."""


def attempts_of(status: Mapping[str, object]) -> list[AttemptStatus]:
    """The attempts of a run, oldest first."""
    return [
        AttemptStatus(
            number=whole_number(attempt.get("number")) or 0,
            job_name=as_text(attempt.get("jobName")) or None,
            pod_name=as_text(attempt.get("podName")) or None,
            has_started=attempt.get("startedAt") is not None,
            handover=as_text(attempt.get("handover")) or None,
        )
        for attempt in as_objects(status.get("attempts"))
    ]
