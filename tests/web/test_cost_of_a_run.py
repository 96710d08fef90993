"""What a run that is made over HTTP costs: counted by Postgres, Redis and the apiserver themselves, never timed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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


def test_one_with_an_idempotency_key_reserves_that_before(meter: CostMeter, key: WithKey) -> None:
    with meter.measured() as costs:
        answer = key.post("runs", BODY, headers={"Idempotency-Key": "order-17"})
    assert answer.status_code == 201
    assert len(costs.statements) == 2 + 4, costs.statements  # BEGIN, the key, whether its run is there, COMMIT


def test_many_in_one_batch_ask_postgres_hardly_more_than_one(meter: CostMeter, key: WithKey) -> None:
    with meter.measured() as costs:
        answer = key.post("runs:batch", {"runs": [BODY] * 20})
    assert [item["status"] for item in (answer.json or {})["items"]] == [201] * 20
    # The key, what was made, and the audit rows: as a rule one statement each. On a busy machine what is made late comes after.
    assert 3 <= len(costs.statements) <= 5, costs.statements
    assert costs.apiserver.count("create taskruns") == 20


def test_one_that_is_refused_leaves_an_audit_row_alone(meter: CostMeter, key: WithKey) -> None:
    with meter.measured() as costs:
        assert key.post("runs", BODY | {"priority": 5000}).status_code == 422
    assert len(costs.statements) == 2, costs.statements
    assert costs.statements[1].startswith("INSERT INTO audit")


def test_what_was_made_is_read_at_once_and_written_down_once(parts: Parts, key: WithKey) -> None:
    made = key.post("runs", BODY).json or {}
    assert (key.get(f"runs/{made['uid']}").json or {})["name"] == made["name"]
    rows = parts.rows("SELECT outcome FROM audit WHERE action = 'run.create' AND target = :name", name=made["name"])
    assert [row.outcome for row in rows] == ["done"]


def test_many_at_once_are_each_kept_and_written_down(parts: Parts, key: WithKey) -> None:
    """Requests of one moment share what they ask; nothing of it may get lost or be another's."""

    def post(number: int) -> str:
        answer = replace(key, client=parts.client()).post("runs", BODY | {"payload": {"n": number}})
        assert answer.status_code == 201, answer.text
        made = answer.json or {}
        assert made["spec"]["payload"] == {"n": number}
        return str(made["name"])

    with ThreadPoolExecutor(max_workers=8) as pool:
        names = sorted(pool.map(post, range(80)))
    assert sorted(row.name for row in parts.rows("SELECT name FROM runs")) == names
    reported = parts.rows("SELECT target FROM audit WHERE action = 'run.create' AND outcome = 'done'")
    assert sorted(row.target for row in reported) == names
