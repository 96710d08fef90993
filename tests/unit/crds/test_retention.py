"""tidegate_api/retention: from when a finished run's TTL counts."""

from typing import Any

import pytest
from tidegate_api.retention import kept_since

ENDED, SEEN = "2026-11-24T11:00:00.000Z", "2026-11-24T11:10:00.000Z"


def a_condition(**fields: Any) -> dict[str, Any]:
    return {"type": "Finished", "status": "True", "lastTransitionTime": SEEN, **fields}


def test_it_begins_when_the_condition_became_true() -> None:
    others = {"type": "Succeeded", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    assert kept_since({"finishedAt": ENDED, "conditions": [others, a_condition()]}) == SEEN


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        [],
        "text",
        [None, 3],
        [a_condition(status="False")],
        [a_condition(lastTransitionTime=None)],
        [a_condition(lastTransitionTime=5)],
    ],
)
def test_without_such_a_condition_it_begins_at_the_end(conditions: object) -> None:
    assert kept_since({"finishedAt": ENDED, "conditions": conditions}) == ENDED


@pytest.mark.parametrize("status", [{}, {"finishedAt": None}, {"finishedAt": 7}, {"finishedAt": ""}])
def test_a_status_without_times_says_nothing(status: dict[str, Any]) -> None:
    assert kept_since(status) is None
