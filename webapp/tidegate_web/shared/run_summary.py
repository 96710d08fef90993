"""The summary of a run that lists and webhooks give. Pure."""

from datetime import datetime
from typing import Annotated, Protocol, cast

from pydantic import Field
from tidegate_api.names import Phase
from typing_extensions import TypedDict

from tidegate_web.shared.times import Time, rfc3339


class RunSummaryFields(TypedDict):
    """What lists and webhooks have in common."""

    uid: str
    name: str
    project: str
    phase: Phase
    reason: str | None
    message: str | None
    task: Annotated[str | None, Field(description="The Task; null for an inline one.")]
    queue: str | None
    schedule: str | None
    batch: str | None
    tags: list[str]
    attempt: Annotated[int, Field(description="Number of the last attempt; 0 before the first.")]
    createdAt: Time
    startedAt: Time | None
    finishedAt: Time | None


class RunColumns(Protocol):
    """The columns of a run that a summary is made of: its record has them, and each of its rows."""

    @property
    def uid(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def project(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def message(self) -> str | None: ...
    @property
    def task(self) -> str | None: ...
    @property
    def queue(self) -> str | None: ...
    @property
    def schedule(self) -> str | None: ...
    @property
    def batch(self) -> str | None: ...
    @property
    def tags(self) -> list[str]: ...
    @property
    def attempt(self) -> int: ...
    @property
    def created(self) -> datetime: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def finished_at(self) -> datetime | None: ...


def as_phase(text: str) -> Phase:
    """A phase in an answer, where it is its text: a phase that a client made up is given as it is."""
    return cast("Phase", text)


def run_summary(run: RunColumns) -> RunSummaryFields:
    """A run as a summary."""
    return {
        "uid": run.uid,
        "name": run.name,
        "project": run.project,
        "phase": as_phase(run.phase),
        "reason": run.reason,
        "message": run.message,
        "task": run.task,
        "queue": run.queue,
        "schedule": run.schedule,
        "batch": run.batch,
        "tags": run.tags,
        "attempt": run.attempt,
        "createdAt": rfc3339(run.created),
        "startedAt": rfc3339(run.started_at),
        "finishedAt": rfc3339(run.finished_at),
    }
