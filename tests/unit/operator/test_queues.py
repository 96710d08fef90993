"""status: what is written about a Queue."""

from tidegate_api.bodies import QueueSpecBody, QueueStatusBody
from tidegate_api.times import format_time
from tidegate_operator.policies.status import queue_status
from tidegate_operator.queueing.admission import Admission
from tidegate_operator.queueing.fair_queue import QueueEntry
from tidegate_operator.queueing.queue_state import QueueState
from tidegate_operator.records.definitions import QueueRecord

NOW = 1_000_000.0


def a_queue_record(spec: QueueSpecBody, status: QueueStatusBody | None = None) -> QueueRecord:
    return QueueRecord("uid", "default", "q", 5, 3, spec, status or {})


def state_of(spec: QueueSpecBody, *waiting_since: float, running: int = 0) -> QueueState:
    admission = Admission()
    admission.set_queue("default", "q", spec=spec, bucket=None)
    for i in range(running):
        admission.hold(f"running-{i}", namespace="default", queue="q", key="")
    for i, at in enumerate(waiting_since):
        admission.ask(
            QueueEntry(
                uid=f"r{i}",
                name=f"r{i}",
                namespace="default",
                queue="q",
                key="",
                priority=0,
                queued_at=at,
                number=1,
                first=True,
            )
        )
    state = admission.queue("default", "q")
    assert state is not None
    return state


def test_it_counts_who_waits_and_who_runs_and_since_when() -> None:
    spec: QueueSpecBody = {"concurrencyLimit": 2}
    status = queue_status(a_queue_record(spec), state_of(spec, NOW - 9, NOW - 30, running=2), now=NOW)
    assert status == {
        "observedGeneration": 3,
        "pending": 2,
        "running": 2,
        "oldestPendingAt": format_time(NOW - 30),
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Ready",
                "message": "its limits are kept",
                "observedGeneration": 3,
                "lastTransitionTime": format_time(NOW),
            }
        ],
    }


def test_the_same_state_is_the_same_status_so_that_nothing_is_written() -> None:
    before = queue_status(a_queue_record({}), state_of({}), now=NOW)
    assert queue_status(a_queue_record({}, before), state_of({}), now=NOW + 60) == before


def test_what_is_left_of_the_rate_is_never_rounded_up() -> None:
    spec: QueueSpecBody = {"rateLimit": {"runs": 3, "perSeconds": 1}}
    state = state_of(spec)
    assert state.bucket is not None
    state.bucket.tokens, state.bucket.at = 1.9999, NOW
    assert queue_status(a_queue_record(spec), state, now=NOW)["rateBucket"] == {
        "tokens": "1.999",
        "at": format_time(NOW),
    }


def test_a_queue_that_is_ready_again_is_so_since_now() -> None:
    before = queue_status(a_queue_record({}), state_of({}), now=NOW - 60)
    before["conditions"][0]["status"] = "False"
    status = queue_status(a_queue_record({}, before), state_of({}), now=NOW)
    assert status["conditions"][0]["lastTransitionTime"] == format_time(NOW)
