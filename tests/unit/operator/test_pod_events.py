"""What is said of a pod that has a node and doesn't run, from its Events."""

from typing import Any

import pytest
from tidegate_operator.executors.pod_events import newest_event, trouble_of_pod


def event(reason: str, message: str = "", *, at: int = 0, version: int = 1, **fields: Any) -> Any:
    return {
        "type": "Normal",
        "reason": reason,
        "message": message,
        "lastTimestamp": f"2026-11-27T06:00:{at:02}Z",
        "metadata": {"resourceVersion": str(version)},
    } | fields


PULLING = event(
    "Pulling",
    'Pulling image "registry.invalid/migrate:1"',
    at=2,
    involvedObject={"fieldPath": "spec.initContainers{migrate}"},
)
MOUNT = event("FailedMount", 'secret "nowhere" not found', at=1, type="Warning")


@pytest.mark.parametrize(
    ("events", "reason", "message"),
    [
        ([], "PullingImage", "starting on node n1"),
        ([event("Scheduled", "Successfully assigned")], "PullingImage", "starting on node n1"),
        ([PULLING], "PullingImage", 'init container migrate: Pulling image "registry.invalid/migrate:1" on node n1'),
        ([PULLING, event("Pulled", "Successfully pulled", at=3)], "PullingImage", "starting on node n1"),
        ([PULLING, event("Pulled", "Successfully pulled", at=2, version=2)], "PullingImage", "starting on node n1"),
        ([MOUNT, PULLING], "FailedMount", 'secret "nowhere" not found'),
        ([PULLING | {"involvedObject": None}], "PullingImage", 'Pulling image "registry.invalid/migrate:1" on node n1'),
    ],
)
def test_warnings_come_first_and_then_the_image_that_is_pulled(events: Any, reason: str, message: str) -> None:
    trouble = trouble_of_pod(events, node="n1")
    assert (trouble.reason, trouble.message) == (reason, message)


def test_an_event_without_words_says_nothing() -> None:
    assert newest_event([event("Failed")]) is None
    assert newest_event([{}]) is None
