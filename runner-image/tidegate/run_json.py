"""Runs as JSON: the body of a new one, what the API says of those that are there, and what a run reports of itself."""

from __future__ import annotations

import json
from typing import Mapping, Optional, TypedDict


class TaskRef(TypedDict):
    """The Task of a run."""

    name: str


class RunBody(TypedDict, total=False):
    """The spec of a new TaskRun, and its name."""

    name: str
    taskRef: TaskRef
    payload: Mapping[str, object]
    priority: int
    startAfter: str
    idempotencyKey: str
    queue: str
    concurrencyKey: str
    dependsOn: list[TaskRef]
    tags: list[str]
    batch: str


class ResultRef(TypedDict):
    """A result that stands elsewhere."""

    bytes: int


class RunStatus(TypedDict, total=False):
    """The status of a TaskRun."""

    phase: Optional[str]
    reason: Optional[str]
    message: Optional[str]
    result: object
    resultRef: Optional[ResultRef]


class RunJson(TypedDict, total=False):
    """A run of the API, whole or in a list."""

    name: str
    uid: str
    phase: Optional[str]
    reason: Optional[str]
    message: Optional[str]
    result: object
    resultRef: Optional[ResultRef]
    parent: Optional[str]
    spec: RunBody
    status: Optional[RunStatus]


class RunPage(TypedDict):
    """A page of a list of runs."""

    items: list[RunJson]
    after: Optional[str]


Change = Mapping[str, Mapping[str, object]]
"""Changes of metadata: how (set, append, increment), key, value."""


class Progress(TypedDict):
    """How far a run is."""

    progress: float
    message: str


def encoded(body: Mapping[str, object]) -> bytes:
    """JSON of what is sent; TypeError for what is none."""
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise TypeError(f"the payload is not JSON: {error}") from error
