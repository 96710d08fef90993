"""What a run that is made over HTTP costs: counted by Postgres, Redis and the apiserver themselves, never timed."""

from typing import Any

import pytest
from support.callers import WithKey
from support.costs import CostMeter
from support.web import Parts, Stack

BODY: dict[str, Any] = {"taskRef": {"name": "resize"}, "payload": {"width": 800}}


@pytest.fixture
def key(parts: Parts) -> WithKey:
    return parts.key("operator")


@pytest.fixture
def meter(stack: Stack, parts: Parts, key: WithKey) -> CostMeter:
    """After the first runs, which open connections and look up what is remembered for a while."""
    stack.runs.task("resize", image="busybox")
    made = CostMeter(stack, parts, actor="web")
    for _ in range(3):
        assert key.post("runs", BODY).status_code == 201
    return made


def test_a_run_asks_postgres_twice_and_redis_once(meter: CostMeter, key: WithKey) -> None:
    with meter.measured() as costs:
        answer = key.post("runs", BODY)
    assert answer.status_code == 201
    assert len(costs.statements) == 2, costs.statements
    assert costs.redis == 1
    assert costs.apiserver.count("create taskruns") == 1
