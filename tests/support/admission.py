"""Runs that wait in queues, for tests of what lets them in."""

from typing import Any

from tidegate_api.bodies import QueueSpecBody
from tidegate_operator.queueing.admission import Admission
from tidegate_operator.queueing.fair_queue import QueueEntry

NOW = 1_000_000.0


def a_ticket(uid: str, **fields: Any) -> QueueEntry:
    base: dict[str, Any] = {
        "uid": uid,
        "name": uid,
        "namespace": "default",
        "queue": "q",
        "key": "",
        "priority": 0,
        "queued_at": NOW,
        "number": 1,
        "first": True,
    }
    return QueueEntry(**{**base, **fields})


def with_queue(spec: QueueSpecBody | None = None, **limits: int | None) -> Admission:
    admission = Admission(**limits)
    admission.set_queue("default", "q", spec=spec or {}, bucket=None)
    return admission


def admitted(admission: Admission, now: float = NOW) -> list[str]:
    return [t.uid for t in admission.admit(now)]


def ask(admission: Admission, *entries: QueueEntry) -> None:
    for entry in entries:
        admission.ask(entry)
