"""policies/pool_task: what a run in a pool may not ask for."""

from typing import Any

import pytest
from tidegate_operator.policies.pool_task import ENV_MAX, refuse_pool_task

POOLED: dict[str, Any] = {"pool": "warm", "entrypoint": "a:b"}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"entrypoint": ""}, "needs an entrypoint"),
        ({"image": "x"}, "image"),
        ({"resources": {"limits": {"cpu": "1"}}}, "resources"),
        ({"podTemplate": {"spec": {}}}, "podTemplate"),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {}}}]}, "env A"),
        ({"env": [{"name": "A", "value": "x" * ENV_MAX}]}, "at most 65536"),
    ],
)
def test_what_its_pool_has_already_is_refused_by_name(task: dict[str, Any], words: str) -> None:
    refusal = refuse_pool_task({**POOLED, **task})  # type: ignore[typeddict-item]
    assert refusal is not None
    assert refusal.reason == "InvalidTask"
    assert words in refusal.message


@pytest.mark.parametrize(
    "task", [POOLED, {**POOLED, "env": [{"name": "A", "value": "x"}]}, {"image": "x", "resources": {"limits": {}}}]
)
def test_others_are_none_of_its_business(task: Any) -> None:
    assert refuse_pool_task(task) is None
